"""Statistics of bootstrap resamples of stays, collected while the stays are read, so that no stay is kept in memory.

N stays are drawn with replacement from N. A multinomial draw first decides how many fall into each unit of ``UNIT``
stays. Which stays of a unit are drawn is decided when the unit is read. The distribution is that of one joint draw.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from icudl.analysis.changes import Changes
from icudl.analysis.measures import CellStatistics

UNIT = 8192
"""Stays whose draws are held at a time."""

MOST_SAMPLES = 500
"""Resamples collected in one pass over the changes."""

_CHUNK = 32
"""Resamples summed at a time, so that the sums fit in the processor's cache."""

Weights = npt.NDArray[np.uint16]


def draw_units(n_stays: int, samples: int, rng: np.random.Generator) -> Iterator[tuple[int, Weights]]:
    """Yield the first stay of each unit, and how often each of its stays is drawn: (stays of the unit, samples)."""
    sizes = np.diff([*range(0, n_stays, UNIT), n_stays])
    if len(sizes) == 1:
        fallen = np.full((samples, 1), n_stays)
    else:
        fallen = rng.multinomial(n_stays, sizes / n_stays, size=samples)
    for unit, size in enumerate(sizes):
        weights = np.empty((size, samples), np.uint16)
        for sample, count in enumerate(fallen[:, unit]):
            weights[:, sample] = np.bincount(rng.integers(0, size, count), minlength=size)
        yield unit * UNIT, weights


class ResampledTally:
    """Collects the statistics of ``measures.CellTally`` for each of S resamples.

    Args:
        rows: (N,) position of each example's stay among the stays drawn from, ascending.
        n_drawn: Number of stays drawn from.
        shape: (T, F).
        samples: Number S of resamples.
        rng: Random stream of the draws.
        watched: Stays whose draws are kept.
    """

    def __init__(
        self,
        rows: npt.NDArray[np.int64],
        n_drawn: int,
        shape: tuple[int, int],
        samples: int,
        rng: np.random.Generator,
        watched: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._rows, self._shape, self._n = rows, shape, len(rows)
        self._units = draw_units(n_drawn, samples, rng)
        self._start, self._weights = 0, np.empty((0, samples), np.uint16)
        cells = shape[0] * shape[1]
        self._changed = np.zeros((cells, samples), np.int64)
        self._total = np.zeros((cells, samples))
        self._largest = np.zeros((cells, samples))
        self._touched = [np.zeros((shape[1], samples), np.int64), np.zeros((shape[0], samples), np.int64)]
        self._watched = np.empty(0, np.int64) if watched is None else watched
        self._watched_weights = np.zeros((len(self._watched), samples), np.uint16)

    def add(self, changes: Changes) -> None:
        """Count changes; their stays must follow those counted before."""
        done = 0
        while done < len(changes.row):
            drawn = self._rows[changes.row[done:]]
            while drawn[0] >= self._start + len(self._weights):
                self._next_unit()
            here = done + int(np.searchsorted(drawn, self._start + len(self._weights)))
            part = changes.part(done, here)
            self._count(part, self._rows[part.row] - self._start)
            done = here

    def _next_unit(self) -> bool:
        unit = next(self._units, None)
        if unit is None:
            return False
        self._start, self._weights = unit
        inside = (self._watched >= self._start) & (self._watched < self._start + len(self._weights))
        self._watched_weights[inside] = self._weights[self._watched[inside] - self._start]
        return True

    def _count(self, changes: Changes, drawn: npt.NDArray[np.int64]) -> None:
        cell = changes.hour * self._shape[1] + changes.variable
        order = np.argsort(cell, kind="stable")
        self._sum(cell[order], drawn[order], np.abs(changes.change[order]))
        for touched, index in zip(self._touched, (changes.variable, changes.hour), strict=True):
            pairs = np.zeros((len(touched), len(self._weights)), np.bool_)
            pairs[index, drawn] = True
            indices, stays = np.nonzero(pairs)
            which, first = np.unique(indices, return_index=True)
            touched[which] += np.add.reduceat(self._weights[stays], first, axis=0, dtype=np.int64)

    def _sum(
        self, cell: npt.NDArray[np.int64], drawn: npt.NDArray[np.int64], magnitude: npt.NDArray[np.float64]
    ) -> None:
        which, first = np.unique(cell, return_index=True)
        for low in range(0, self._weights.shape[1], _CHUNK):
            samples = slice(low, low + _CHUNK)
            weights = np.ascontiguousarray(self._weights[:, samples])[drawn]
            self._changed[which, samples] += np.add.reduceat(weights, first, axis=0, dtype=np.int64)
            self._total[which, samples] += np.add.reduceat(weights * magnitude[:, None], first, axis=0)
            largest = np.maximum.reduceat(np.where(weights > 0, magnitude[:, None], 0.0), first, axis=0)
            self._largest[which, samples] = np.maximum(self._largest[which, samples], largest)

    def finish(self) -> None:
        """Draw the remaining stays, which have no changes."""
        while self._next_unit():
            pass

    def statistics(self, sample: int) -> CellStatistics:
        """Return the statistics of a resample, of shape (T, F)."""
        return CellStatistics(
            n=self._n,
            changed=self._changed[:, sample].reshape(self._shape).astype(np.float64),
            total=self._total[:, sample].reshape(self._shape),
            largest=self._largest[:, sample].reshape(self._shape),
        )

    def touched(self, axis: int, sample: int) -> npt.NDArray[np.int64]:
        """Return how many stays of a resample have a change of each variable (``axis`` 0) or hour (``axis`` 1)."""
        return self._touched[axis][:, sample]

    def watched(self, sample: int) -> Weights:
        """Return how often each watched stay is drawn in a resample."""
        return self._watched_weights[:, sample]
