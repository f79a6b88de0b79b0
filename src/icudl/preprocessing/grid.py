"""From long tables to dense hourly arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import Floats, SourceTables
from icudl.errors import StageError

_ROWS_AT_ONCE = 1_000_000  # rows of the long table; intermediate arrays stay small beside table and result
_MOST_COUNTED = np.iinfo(np.uint16).max


def window_lengths(stays: pl.DataFrame, n_hours: int) -> npt.NDArray[np.int16]:
    """Return (N,) the hours of each stay that lie in the window: at least 1, at most T.

    An incomplete last hour counts: a stay of 30.4 hours has 31. A stay of unknown length counts as 1 hour
    (``select_cohort`` leaves it out).

    Args:
        stays: Rows of ``STAYS_SCHEMA``.
        n_hours: T.
    """
    hours = np.nan_to_num(stays["stay_hours"].to_numpy(), nan=1.0, posinf=n_hours, neginf=1.0)
    lengths: npt.NDArray[np.int16] = np.clip(np.ceil(hours), 1, n_hours).astype(np.int16)
    return lengths


def densify(tables: SourceTables, stays: pl.DataFrame) -> tuple[Floats, npt.NDArray[np.uint16]]:
    """Lay the hourly means of some stays out as arrays.

    Args:
        tables: Stays and hourly means from a source.
        stays: The chosen stays (rows of ``tables.stays``), in the order of the result.

    Returns:
        values (N, T, F) float32, NaN where nothing was charted or the stay was over; counts (N, T, F) uint16, the
        number of values behind each mean (65,535 stands for more).

    Raises:
        StageError: The hours lie outside the window, name an unknown variable, hold a cell twice, or lack a mean.
    """
    shape = (stays.height, tables.window_hours, len(tables.variables))
    _check_hours(tables)
    rows = _rows(stays, tables.window_hours)
    values = np.full(shape, np.nan, np.float32)
    counts = np.zeros(shape, np.uint16)
    written = 0
    for part in tables.hours.iter_slices(_ROWS_AT_ONCE):
        cells = part.join(rows, on="stay_id").filter(pl.col("hour") < pl.col("end"))
        index = tuple(cells[name].to_numpy().astype(np.int64) for name in ("row", "hour", "variable"))
        values[index] = cells["mean"].to_numpy()
        counts[index] = np.minimum(cells["count"].to_numpy(), _MOST_COUNTED)
        written += cells.height
    if np.count_nonzero(~np.isnan(values)) != written:
        raise StageError(
            "The hours hold a cell (stay, hour, variable) twice, or one without a mean. Expected one number each; "
            "extract again."
        )
    return values, counts


def _rows(stays: pl.DataFrame, n_hours: int) -> pl.DataFrame:
    ends = window_lengths(stays, n_hours)
    return stays.select("stay_id", row=pl.int_range(pl.len()), end=pl.Series(ends, dtype=pl.Int16))


def _check_hours(tables: SourceTables) -> None:
    hours = tables.hours
    outside = hours.filter(~pl.col("hour").is_between(0, tables.window_hours - 1))
    if not outside.is_empty():
        stay, hour = outside.row(0)[:2]
        raise StageError(
            f"Stay {stay} has a value in hour {hour}. Expected hours 0 to {tables.window_hours - 1}: a source must "
            "give nothing outside the window."
        )
    unknown = hours.filter(pl.col("variable") >= len(tables.variables))
    if not unknown.is_empty():
        raise StageError(
            f"The hours name variable {unknown['variable'][0]}. Expected 0 to {len(tables.variables) - 1}; "
            "extract again."
        )
