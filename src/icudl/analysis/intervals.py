"""Intervals of 95 %: Wilson's for a share of stays, bootstrap standard errors over stays for everything else.

The interval is the estimate plus and minus 1.96 standard deviations of its resamples. Percentiles of the resamples, the
more usual choice, fail for statistics with a maximum or a ratio of small counts: a resample never holds a larger change
than the sample, and its rarest cells are missing or doubled (benchmarks/training/interval_coverage.py measures both).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

NORMAL_QUANTILE = 1.959963984540054
"""97.5 % point of the standard normal distribution."""


def wilson(hits: int, n: int) -> tuple[float, float, float]:
    """Return a share and its 95 % score interval (Wilson 1927), all NaN where n is 0."""
    if n == 0:
        return math.nan, math.nan, math.nan
    share, z2 = hits / n, NORMAL_QUANTILE**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_QUANTILE / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return share, low, high


def resamples(n_stays: int, samples: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Yield ``samples`` times how often each of N stays is drawn when N are drawn with replacement: (N,)."""
    for _ in range(samples):
        yield np.bincount(rng.integers(0, n_stays, n_stays), minlength=n_stays)


def around(
    estimate: npt.NDArray[np.float64],
    draws: npt.NDArray[np.float64],
    *,
    floor: float = -math.inf,
    ceiling: float = math.inf,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the estimate minus and plus 1.96 standard deviations of its resamples, cut at ``floor`` and ``ceiling``.

    Args:
        estimate: Any shape.
        draws: (samples, ...) the same statistic of the resamples; NaN where it is undefined there.
        floor: Smallest possible value.
        ceiling: Largest possible value.

    Returns:
        Lower and upper bounds; NaN where the estimate, or all but one of the resamples, are undefined.
    """
    deviation = np.full(estimate.shape, np.nan)
    enough = (~np.isnan(draws)).sum(axis=0) > 1
    if enough.any():
        deviation[enough] = np.nanstd(draws[:, enough], axis=0, ddof=1)
    half = NORMAL_QUANTILE * deviation
    return np.maximum(estimate - half, floor), np.minimum(estimate + half, ceiling)


def percentiles(
    draws: npt.NDArray[Any], low: float = 2.5, high: float = 97.5
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return two percentiles over the first axis, without the NaN; NaN where no draw is a number."""
    bounds = np.full((2, *draws.shape[1:]), np.nan)
    known = ~np.isnan(draws).all(axis=0) if len(draws) else np.zeros(draws.shape[1:], bool)
    if known.any():
        bounds[:, known] = np.nanpercentile(draws[:, known], [low, high], axis=0)
    return bounds[0], bounds[1]
