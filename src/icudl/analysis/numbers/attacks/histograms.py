"""Histograms of what adversarial examples look like, from the table ``perturbation_properties``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.conditions import CONDITIONS, EXAMPLES
from icudl.errors import ConfigError, suggestion

PROPERTIES = ("number", "share", "sum", "mean", "largest", "smallest", "positive")
"""Columns of ``perturbation_properties``, in the order in which they are drawn."""

BINS = 25
"""Bins over the range of a property."""
MOST_WHOLE_BINS = 30
RISK_EDGES = np.linspace(0, 1, 21)


@dataclasses.dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of stays in bins that all series share.

    Attributes:
        edges: (B + 1,) limits of the bins.
        counts: (B,) stays by condition and series (``"first"`` and ``"best"``, or ``"before"`` and ``"after"``).
    """

    edges: npt.NDArray[np.float64]
    counts: Mapping[tuple[str, str], npt.NDArray[np.int64]]


def property_histogram(properties: pl.DataFrame, name: str, bins: int | Sequence[float] = BINS) -> Histogram:
    """Count the examples in each bin of one property.

    Args:
        properties: Table ``perturbation_properties``.
        name: One of ``PROPERTIES``.
        bins: Number of equal bins over the range of all conditions, or their edges.

    Raises:
        ConfigError: There is no such property.
    """
    if name not in PROPERTIES:
        raise ConfigError(f"property = {name!r} is not one of {', '.join(PROPERTIES)}." + suggestion(name, PROPERTIES))
    edges = _edges(properties[name].cast(pl.Float64).drop_nulls().drop_nans().to_numpy(), name, bins)
    counts = {}
    for condition in CONDITIONS:
        for example in EXAMPLES:
            part = properties.filter(pl.col("condition") == condition, pl.col("example") == example)
            values = part[name].cast(pl.Float64).drop_nulls().to_numpy()
            counts[condition, example] = np.histogram(values, edges)[0].astype(np.int64)
    return Histogram(edges, counts)


def risk_histogram(fragility: pl.DataFrame) -> Histogram:
    """Count the flipped stays by their risk before the change and after it (best example).

    Args:
        fragility: Table ``fragility``.
    """
    counts = {}
    for condition in CONDITIONS:
        flipped = fragility.filter(pl.col("condition") == condition, pl.col("changed").is_not_null())
        for series in ("before", "after"):
            risks = flipped[f"probability_{series}"].drop_nulls().to_numpy()
            counts[condition, series] = np.histogram(risks, RISK_EDGES)[0].astype(np.int64)
    return Histogram(RISK_EDGES, counts)


def _edges(values: npt.NDArray[np.float64], name: str, bins: int | Sequence[float]) -> npt.NDArray[np.float64]:
    if not isinstance(bins, int):
        return np.asarray(bins, dtype=np.float64)
    top = float(values.max()) if len(values) else 1.0
    if name == "positive":
        return np.linspace(0, 1, 21)
    if name == "number":
        # Whole numbers are counted in bins of whole width, centred on them.
        width = max(1, int(np.ceil(top / MOST_WHOLE_BINS)))
        return np.arange(0.5, top + width + 0.5, width)
    low = float(values.min()) if len(values) else 0.0
    low = 0.0 if low < 0.4 * top else low
    return np.linspace(low, top if top > low else low + 1.0, bins + 1)
