"""Signs that an input tells the outcome because it was written down after it, or because of it."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import GridDataset

TELLS_ALL = 0.95
"""AUROC of a single input, in either direction, from which it is called suspicious: whole records of intensive care
reach 0.85 to 0.90 for death in hospital, and no single measurement of the catalogue comes near."""

FEWEST_EVENTS = 20
"""Stays with and without the outcome below which a single input may do so by chance."""

_NAMES = re.compile(
    r"death|dead|died|deceas|expire|mortal|discharg|dischg|hospice|comfort|palliat|(^|_)(dnr|dni|cmo|dod|dnar)(_|$)|"
    r"code_?status|withdraw|organ_?don|autops"
)


def cautions(grid: GridDataset) -> tuple[str, ...]:
    """Look for inputs that tell the outcome by themselves.

    Looked at are, on all stays but those of the held-out test: whether a variable was charted at all, its last value,
    and each descriptor; and the names of the variables. A limit of what such a check can find: a leak that a
    model needs several inputs to see passes it.

    Args:
        grid: The cohort with its labels.

    Returns:
        Sentences, one an input that is suspicious.
    """
    found = [
        f"The variable {variable.name} has a name that speaks of a death, a discharge or a decision about care. What "
        "is written down because of the outcome tells it: check that it is known by the end of the window."
        for variable in grid.variables
        if _NAMES.search(variable.name.lower()) or _NAMES.search(variable.label.lower())
    ]
    rows = np.flatnonzero(~grid.is_test) if not grid.is_test.all() else np.arange(len(grid.labels))
    labels = grid.labels[rows] == 1
    for position, variable in enumerate(grid.variables):
        values = np.asarray(grid.values[rows, :, position])
        charted = ~np.isnan(values)
        some: npt.NDArray[np.bool_] = np.any(charted, axis=1)
        last = values.shape[1] - 1 - charted[:, ::-1].argmax(axis=1, keepdims=True)
        newest: npt.NDArray[np.float32] = np.take_along_axis(values, last, axis=1)[:, 0]
        inputs = {
            f"Whether {variable.name} was charted": _Told.by(some.astype(np.float64), labels),
            f"The last value of {variable.name}": _Told.by(newest[some], labels[some]),
        }
        found += [told.sentence(name) for name, told in inputs.items() if told is not None]
    for position, name in enumerate(grid.static_names):
        column: npt.NDArray[np.float32] = grid.statics[rows][:, position]
        known = ~np.isnan(column)
        told = _Told.by(column[known], labels[known])
        if told is not None:
            found.append(told.sentence(f"The descriptor {name}"))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class _Told:
    """How well one input tells the outcome."""

    auroc: float
    stays: int

    @classmethod
    def by(cls, values: npt.NDArray[Any], labels: npt.NDArray[np.bool_]) -> _Told | None:
        """Return how well values tell labels; None where they do not tell nearly all, or stays are too few."""
        events, others = int(labels.sum()), int((~labels).sum())
        if min(events, others) < FEWEST_EVENTS:
            return None
        ranks = pl.Series(values.astype(np.float64)).rank("average").to_numpy()
        auroc = (ranks[labels].sum() - events * (events + 1) / 2) / (events * others)
        best = float(max(auroc, 1 - auroc))
        return cls(best, len(labels)) if best >= TELLS_ALL else None

    def sentence(self, name: str) -> str:
        return (
            f"{name} tells the outcome almost by itself (AUROC {self.auroc:.3f} over {self.stays:,} stays). No "
            "measurement should: check that it is not written down after the outcome, or because of it."
        )
