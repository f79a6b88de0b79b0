"""Filling of unmeasured hours: a fixed linear map of the charted values, inside the window only.

Every filled cell is ``(1 - w) x[previous] + w x[next]`` of two charted hours of the same variable, or a filling value
where there is no such hour. The map depends on which cells were charted, never on their values, so an attack on
charted values can be differentiated through it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icudl.errors import StageError

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

_BLOCK = 4096  # stays worked on at once: the intermediate arrays stay small beside the data set


class ImputationMap(NamedTuple):
    """Where each cell of a (B, T, F) grid takes its value from.

    Cells beyond a stay's length point to themselves with weight 0: what is 0 there stays 0.

    Attributes:
        previous_index: (B, T, F) int64 charted hour that the value at weight ``1 - weight_next`` comes from.
        next_index: (B, T, F) int64 charted hour that the value at weight ``weight_next`` comes from.
        weight_next: (B, T, F) float32 in [0, 1); 0 in charted cells.
        missing: (B, T, F) bool, nothing charted to take a value from: the cell gets the filling value.
    """

    previous_index: Indices
    next_index: Indices
    weight_next: Floats
    missing: Bools


def inside(lengths: npt.NDArray[np.integer], n_hours: int) -> Bools:
    """Return (B, T, 1) bool: True for the hours before the end of each stay.

    Args:
        lengths: (B,) hours of each stay.
        n_hours: T.
    """
    return (np.arange(n_hours) < np.asarray(lengths, np.int64)[:, None])[:, :, None]


def last_charted(observed: Bools) -> Indices:
    """Return (B, T, F) int64: the latest charted hour at or before each hour, -1 where there is none yet.

    Args:
        observed: (B, T, F) True where something was charted.
    """
    hours = np.arange(observed.shape[1], dtype=np.int64)[None, :, None]
    return np.maximum.accumulate(np.where(observed, hours, -1), axis=1)


def imputation_map(observed: Bools, lengths: npt.NDArray[np.integer], method: str) -> ImputationMap:
    """Return where each cell takes its value from.

    Args:
        observed: (B, T, F) True where something was charted; cells beyond ``lengths`` are ignored.
        lengths: (B,) hours of each stay.
        method: ``"linear"``: on the straight line between the charted hours on both sides, constant before the first
            and after the last. ``"forward"``: the last charted value; the filling value before the first.

    Raises:
        StageError: The method is unknown.
    """
    n_hours = observed.shape[1]
    within = inside(lengths, n_hours)
    observed = observed & within
    hours = np.arange(n_hours, dtype=np.int64)[None, :, None]
    previous = last_charted(observed)
    if method == "forward":
        missing = (previous < 0) & within
        previous = np.where((previous < 0) | ~within, hours, previous)
        return ImputationMap(previous, previous, np.zeros(observed.shape, np.float32), missing)
    if method != "linear":
        raise StageError(f"Imputation {method!r} is unknown. Expected 'linear' or 'forward'.")
    # The first charted hour at or after each hour, found by the same running extreme from the other end.
    following = np.minimum.accumulate(np.where(observed, hours, n_hours)[:, ::-1], axis=1)[:, ::-1]
    missing = (previous < 0) & (following == n_hours) & within
    nowhere = missing | ~within
    before = np.where(nowhere, hours, np.where(previous < 0, following, previous))
    after = np.where(nowhere, hours, np.where(following == n_hours, previous, following))
    gap = np.maximum(after - before, 1)
    # Where only one side exists both indices are the same charted hour, and its weights add up to 1.
    weight = np.where(after > before, (hours - before) / gap, 0.0).astype(np.float32)
    return ImputationMap(before, after, weight, missing)


def impute(unit: Floats, lengths: npt.NDArray[np.integer], fill: Floats, method: str) -> Floats:
    """Fill the unmeasured hours of each stay.

    Args:
        unit: (N, T, F) float32, NaN where nothing was charted.
        lengths: (N,) hours of each stay; cells beyond are ignored and come out as 0.
        fill: (F,) value where a stay offers none.
        method: ``"linear"`` or ``"forward"`` (``imputation_map``).

    Returns:
        (N, T, F) float32 without NaN.

    Raises:
        StageError: The method is unknown.
    """
    filled = np.empty(unit.shape, np.float32)
    for start in range(0, unit.shape[0], _BLOCK):
        rows = slice(start, start + _BLOCK)
        filled[rows] = _impute_block(unit[rows], lengths[rows], fill, method)
    return filled


def _impute_block(unit: Floats, lengths: npt.NDArray[np.integer], fill: Floats, method: str) -> Floats:
    observed = ~np.isnan(unit) & inside(lengths, unit.shape[1])
    where = imputation_map(observed, lengths, method)
    charted = np.where(observed, unit, np.float32(0))
    before = np.take_along_axis(charted, where.previous_index, axis=1)
    after = np.take_along_axis(charted, where.next_index, axis=1)
    value = (1 - where.weight_next) * before + where.weight_next * after
    # Rounding may carry the sum past its ends by one unit in the last place: a filled value never leaves their range.
    value = np.clip(value, np.minimum(before, after), np.maximum(before, after))
    return np.where(where.missing, np.asarray(fill, np.float32), value)
