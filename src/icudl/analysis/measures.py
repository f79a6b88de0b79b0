"""GMP, GAP, GPP, S, GANZP and sensitivity: measures of each hour and variable over adversarial examples of N stays.

With P_kij the change of hour i and variable j in the example of stay k (0 where nothing changed):

======================  ==========================================================================
GMP_ij                  max_k abs(P_kij), the global maximum perturbation
GAP_ij                  (1 / N) sum_k abs(P_kij), the global average perturbation
GPP_ij                  share of the N stays with P_kij != 0, the global perturbation probability
S_ij, S_j               GMP_ij * GPP_ij, the susceptibility; S_j = sum_i S_ij
GANZP_ij                mean of the non-zero abs(P_kij), the global average non-zero perturbation
sensitivity_ij, _j      GPP_ij / GANZP_ij; sensitivity_j = sum_i sensitivity_ij
======================  ==========================================================================

The first four are those of Sun et al. 2018 ("Identify susceptible locations in medical records via adversarial attacks
on deep predictive models", KDD), the last two those of the original study. All follow from three statistics of a cell,
so that the same few functions serve a cell, a variable, an hour and each bootstrap resample.

Undefined values are NaN: every measure where N = 0, GANZP where nothing was changed. The sensitivity of a cell that was
never changed is 0 (its GPP is 0), so that it adds nothing to a sum over hours.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class CellStatistics:
    """The statistics behind all measures; the arrays share one shape, mostly (T, F).

    Attributes:
        n: Number of observations of each cell: N stays, or N times the cells pooled.
        changed: Observations with a non-zero change.
        total: Sum of the magnitudes of change.
        largest: Largest magnitude, 0 where nothing was changed.
    """

    n: int
    changed: Doubles
    total: Doubles
    largest: Doubles

    def pooled(self, axis: int | None = None) -> CellStatistics:
        """Treat all cells along ``axis`` (all cells where None) as observations of one cell."""
        cells = self.changed.size if axis is None else self.changed.shape[axis]
        if cells == 0:
            empty = self.changed.sum(axis)
            return CellStatistics(0, empty, empty, empty)
        return CellStatistics(
            self.n * cells, self.changed.sum(axis), self.total.sum(axis), np.asarray(self.largest.max(axis))
        )


class CellTally:
    """Collects the statistics of each cell from sparse lists of changes, one list after another.

    Args:
        shape: (T, F).
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._changed, self._total, self._largest = (np.zeros(shape[0] * shape[1]) for _ in range(3))

    def add(
        self,
        hour: npt.NDArray[Any],
        variable: npt.NDArray[Any],
        magnitude: npt.NDArray[Any],
        weight: npt.NDArray[Any] | None = None,
    ) -> None:
        """Count K changes. Dividing them into other lists changes no bit of the result.

        Args:
            hour: (K,) hour of each change.
            variable: (K,) variable index of each change.
            magnitude: (K,) absolute change, in any one scale.
            weight: (K,) how often the stay of each change was drawn in a resample; None counts each once.
        """
        cell = hour.astype(np.int64) * self._shape[1] + variable.astype(np.int64)
        magnitude = magnitude.astype(np.float64)
        once = np.ones(len(cell)) if weight is None else weight.astype(np.float64)
        drawn = once > 0
        np.add.at(self._changed, cell, once)
        np.add.at(self._total, cell, once * magnitude)
        np.maximum.at(self._largest, cell[drawn], magnitude[drawn])

    def statistics(self, n_stays: int) -> CellStatistics:
        """Return the statistics, of shape (T, F), of N stays with an example, whatever it changes."""
        return CellStatistics(
            n=n_stays,
            changed=self._changed.reshape(self._shape),
            total=self._total.reshape(self._shape),
            largest=self._largest.reshape(self._shape),
        )


def _ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Doubles:
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def gmp(cells: CellStatistics) -> Doubles:
    """Global maximum perturbation: max over stays of the magnitude."""
    return np.where(cells.n > 0, cells.largest, np.nan)


def gap(cells: CellStatistics) -> Doubles:
    """Global average perturbation: mean magnitude over all N stays, changed there or not."""
    return _ratio(cells.total, cells.n)


def gpp(cells: CellStatistics) -> Doubles:
    """Global perturbation probability: share of stays with a change."""
    return _ratio(cells.changed, cells.n)


def ganzp(cells: CellStatistics) -> Doubles:
    """Global average non-zero perturbation: mean magnitude over the stays with a change."""
    return _ratio(cells.total, cells.changed)


def susceptibility(cells: CellStatistics) -> Doubles:
    """S = GMP * GPP."""
    return gmp(cells) * gpp(cells)


def sensitivity(cells: CellStatistics) -> Doubles:
    """GPP / GANZP: high where a change is frequent in spite of being small; 0 where GPP is 0."""
    share = gpp(cells)
    return np.where(share == 0, 0.0, _ratio(share, ganzp(cells)))


MEASURES = {
    "gmp": gmp,
    "gap": gap,
    "gpp": gpp,
    "s": susceptibility,
    "ganzp": ganzp,
    "sensitivity": sensitivity,
}
"""Measures by the name of their column."""


def along(cells: CellStatistics, axis: int) -> dict[str, Doubles]:
    """Measures of each variable (``axis`` 0 sums over hours) or of each hour (``axis`` 1).

    ``s`` and ``sensitivity`` are sums of the cells' values, as in the definition; the others are those of the pooled
    cells, so that GAP = GPP * GANZP holds here, too.
    """
    pooled = cells.pooled(axis)
    return {
        name: measure(cells).sum(axis) if name in {"s", "sensitivity"} else measure(pooled)
        for name, measure in MEASURES.items()
    }
