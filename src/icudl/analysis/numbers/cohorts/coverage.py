"""How often each variable was measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from icudl.artifacts import GridDataset


@dataclasses.dataclass(frozen=True, eq=False)
class HowOftenMeasured:
    """What was charted of each of F variables.

    Attributes:
        some: (F,) share of the stays with at least one value.
        filled: (F,) share of the hours with a value.
        medians: F medians of the charted values, in the variable's unit; None where nothing was charted.
    """

    some: npt.NDArray[np.float64]
    filled: npt.NDArray[np.float64]
    medians: tuple[float | None, ...]


def how_often_measured(grid: GridDataset) -> HowOftenMeasured:
    """Count stays and hours with a value."""
    observed = ~np.isnan(grid.values)
    hours = max(float(grid.lengths.astype(np.float64).sum()), 1.0)
    return HowOftenMeasured(
        some=observed.any(axis=1).sum(axis=0) / max(len(grid.labels), 1),
        filled=observed.sum(axis=(0, 1)) / hours,
        medians=tuple(
            float(np.median(grid.values[:, :, j][observed[:, :, j]])) if observed[:, :, j].any() else None
            for j in range(len(grid.variables))
        ),
    )
