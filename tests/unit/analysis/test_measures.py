"""Measures of susceptibility where nothing was counted."""

from __future__ import annotations

import numpy as np

from icudl.analysis.measures import MEASURES, CellTally


def test_measures_over_no_cells_are_undefined() -> None:
    pooled = CellTally((0, 2)).statistics(3).pooled(0)
    assert pooled.n == 0
    assert pooled.changed.tolist() == pooled.total.tolist() == pooled.largest.tolist() == [0, 0]
    for name, measure in MEASURES.items():
        values = measure(pooled)
        assert np.isnan(values).all(), name
