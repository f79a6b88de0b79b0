"""What the stays of a cohort are like, by outcome: the numbers of the first table of a paper."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import GridDataset

Mask = npt.NDArray[np.bool_]

BLOCK = 4096
"""Stays whose measurements are read at a time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ByOutcome:
    """The stays of one column of the table.

    Attributes:
        label: 1 for stays with the outcome, 0 for those without it, None for all.
        stays: How many there are.
        patients: Whose they are.
    """

    label: int | None
    stays: int
    patients: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spread:
    """How a quantity is distributed over the stays of one column.

    Attributes:
        known: Stays with a value.
        missing: Stays without one.
        median: Median of the known values; None where there are none.
        low: Their first quartile.
        high: Their third quartile.
    """

    known: int
    missing: int
    median: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantity:
    """A quantity by outcome.

    Attributes:
        label: Its name for clinicians.
        unit: Its unit, or "".
        measured: Whether it is the mean of a stay's charted values, as opposed to a description of the stay.
        spreads: One for each column.
    """

    label: str
    unit: str
    measured: bool
    spreads: tuple[Spread, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Category:
    """A description of the stays that takes one of several levels.

    Attributes:
        column: Column of ``STAYS_SCHEMA``.
        levels: Stays at each level, one number for each column of the table.
        missing: Stays of which it is unknown, likewise.
    """

    column: str
    levels: dict[str, tuple[int, ...]]
    missing: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Characteristics:
    """The stays of a cohort by outcome.

    Attributes:
        columns: All stays, those without the outcome, those with it.
        quantities: Descriptions of the stays first, then each variable.
        categories: Sex and first care unit, where the source tells them.
    """

    columns: tuple[ByOutcome, ...]
    quantities: tuple[Quantity, ...]
    categories: tuple[Category, ...]


_DESCRIBED = (
    ("age_years", "Age", "years"),
    ("height_cm", "Height", "cm"),
    ("weight_kg", "Weight", "kg"),
    ("stay_hours", "Time in the ICU", "h"),
)
_LEVELLED = ("sex", "icu_type")


def characteristics(grid: GridDataset) -> Characteristics:
    """Describe the stays of a cohort by outcome.

    A measured variable is described by one number a stay: the mean of its hourly means within the window. A stay in
    which it was never charted counts as missing. A description that is unknown for every stay is left out.

    Args:
        grid: The cohort; its measurements are read some thousand stays at a time.
    """
    masks = (np.ones(len(grid.labels), bool), grid.labels == 0, grid.labels == 1)
    columns = tuple(
        ByOutcome(label=label, stays=int(mask.sum()), patients=len(np.unique(grid.patient_ids[mask])))
        for label, mask in zip((None, 0, 1), masks, strict=True)
    )
    means = _means_of_stays(grid)
    measured = (
        _quantity(variable.label, variable.unit, means[:, place], masks, measured=True)
        for place, variable in enumerate(grid.variables)
    )
    return Characteristics(
        columns=columns,
        quantities=(*_described(grid.stays, masks), *measured),
        categories=tuple(_categories(grid.stays, masks)),
    )


def _described(stays: pl.DataFrame, masks: tuple[Mask, ...]) -> Iterator[Quantity]:
    for column, label, unit in _DESCRIBED:
        values = stays[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        if np.isfinite(values).any():
            yield _quantity(label, unit, values, masks, measured=False)


def _categories(stays: pl.DataFrame, masks: tuple[Mask, ...]) -> Iterator[Category]:
    for column in _LEVELLED:
        values = stays[column]
        names = values.drop_nulls().unique().sort().to_list()
        if names:
            chosen = [values.filter(pl.Series(mask)) for mask in masks]
            yield Category(
                column=column,
                levels={str(name): tuple(int((part == name).sum()) for part in chosen) for name in names},
                missing=tuple(part.null_count() for part in chosen),
            )


def _means_of_stays(grid: GridDataset) -> npt.NDArray[np.float64]:
    """Return (N, F) means of the charted hours, NaN where nothing was charted."""
    means = np.full((len(grid.labels), len(grid.variables)), np.nan)
    for start in range(0, len(grid.labels), BLOCK):
        block = np.asarray(grid.values[start : start + BLOCK], np.float64)
        charted = (~np.isnan(block)).sum(axis=1)
        sums = np.nansum(block, axis=1)
        np.divide(sums, charted, out=means[start : start + BLOCK], where=charted > 0)
    return means


def _quantity(
    label: str, unit: str, values: npt.NDArray[np.float64], masks: tuple[Mask, ...], *, measured: bool
) -> Quantity:
    return Quantity(label=label, unit=unit, measured=measured, spreads=tuple(_spread(values[mask]) for mask in masks))


def _spread(values: npt.NDArray[np.float64]) -> Spread:
    known = values[np.isfinite(values)]
    low, median, high = np.percentile(known, [25, 50, 75]).tolist() if len(known) else (None, None, None)
    return Spread(known=len(known), missing=len(values) - len(known), median=median, low=low, high=high)
