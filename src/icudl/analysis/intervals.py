"""Intervals of 95 %: Wilson's for a share, percentiles of the bootstrap over stays for everything else."""

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


def percentiles(
    draws: npt.NDArray[Any], low: float = 2.5, high: float = 97.5
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return two percentiles over the first axis, without the NaN; NaN where no draw is a number."""
    bounds = np.full((2, *draws.shape[1:]), np.nan)
    known = ~np.isnan(draws).all(axis=0) if len(draws) else np.zeros(draws.shape[1:], bool)
    if known.any():
        bounds[:, known] = np.nanpercentile(draws[:, known], [low, high], axis=0)
    return bounds[0], bounds[1]
