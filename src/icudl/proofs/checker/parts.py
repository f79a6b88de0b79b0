"""Records that are read whole and in parts, in the arithmetic of the second program."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from icudl.proofs.checker.arithmetic import Floats


def deal(series: npt.NDArray[np.floating], length: int, parts: int) -> list[npt.NDArray[np.floating]]:
    """Return the values of a stay, then those of each part alone.

    Args:
        series: (T, F) values, NaN where nothing was charted.
        length: Hours of the stay.
        parts: How many parts the charted values are dealt to: of each variable to one after the other, beginning with
            the part of the variable's number.
    """
    hands = [np.full_like(series, np.nan) for _ in range(parts)]
    for variable in range(series.shape[1]):
        turn = variable
        for hour in range(length):
            if not np.isnan(series[hour, variable]):
                hands[turn % parts][hour, variable] = series[hour, variable]
                turn += 1
    return [series, *hands]


def held(whole: float, parts: Floats, limit: float) -> float:
    """Return the score of a record: that of the whole, no further than the limit from the middle one of its parts."""
    middle = float(np.sort(parts)[len(parts) // 2])
    return min(max(whole, middle - limit), middle + limit)
