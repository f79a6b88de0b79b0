"""Intervals at their edges: none and all, few resamples, no limits."""

from __future__ import annotations

import numpy as np
import pytest

from icudl.analysis.intervals import around, percentiles, resamples, wilson


def test_wilson_interval_ends_at_none_and_all_whatever_the_rounding() -> None:
    assert all(wilson(0, n)[1] == 0.0 for n in range(1, 300))
    assert all(wilson(n, n)[2] == 1.0 for n in range(1, 300))


def test_two_resamples_make_an_interval_and_one_makes_none() -> None:
    low, high = around(np.array([2.0, 2.0]), np.array([[1.0, 1.0], [3.0, np.nan]]))
    assert (low[0], high[0]) == pytest.approx((2 - 1.95996 * 2**0.5, 2 + 1.95996 * 2**0.5), abs=1e-4)
    assert np.isnan([low[1], high[1]]).all()


def test_every_stay_is_drawn_as_often_as_any_other() -> None:
    drawn = np.stack(list(resamples(4, 4000, np.random.default_rng(0))))
    assert (drawn.sum(axis=1) == 4).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(4), abs=0.05)


def test_an_interval_without_limits_is_not_cut() -> None:
    low, high = around(np.array([-5.0, 5.0]), np.array([[-6.0, 4.0], [-5.0, 5.0], [-4.0, 6.0]]))
    assert low.tolist() == pytest.approx([-6.95996, 3.04004], abs=1e-5)
    assert high.tolist() == pytest.approx([-3.04004, 6.95996], abs=1e-5)


def test_percentiles_hold_95_of_100_draws() -> None:
    assert [float(bound) for bound in percentiles(np.arange(1001.0))] == [25.0, 975.0]
