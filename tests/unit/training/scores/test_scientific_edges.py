"""Edges that a check by mutation found untested: each of these lines could be changed and no other test failed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from icudl.analysis.intervals import around, percentiles, resamples, wilson
from icudl.analysis.measures import MEASURES, CellTally
from icudl.errors import StageError
from icudl.preprocessing.grid import window_lengths
from icudl.preprocessing.imputation import impute
from icudl.preprocessing.scaling import InputOptions, _fit_static, _fit_variable
from icudl.preprocessing.splits import SplitOptions, split_patients
from tables_by_hand import stay, tables


def test_measures_over_no_cells_are_undefined() -> None:
    pooled = CellTally((0, 2)).statistics(3).pooled(0)
    assert pooled.n == 0
    assert pooled.changed.tolist() == pooled.total.tolist() == pooled.largest.tolist() == [0, 0]
    for name, measure in MEASURES.items():
        values = measure(pooled)
        assert np.isnan(values).all(), name


@pytest.mark.parametrize("scaling", ["minmax", "standard"])
def test_a_variable_or_descriptor_without_values_is_left_as_it_is(scaling: str) -> None:
    options = InputOptions(scaling=scaling)
    assert _fit_variable(np.zeros(0, np.float32), options) == (0.0, 1.0, 0.0, 0.0, 1.0)
    assert _fit_static(np.zeros(0, np.float32), options) == (0.0, 0.0, 1.0)


def test_small_deviations_are_scaled_and_none_is_left() -> None:
    options = InputOptions(scaling="standard", winsor_low=0, winsor_high=100)
    values = np.array([1.0, 1.5, 2.0], np.float32)
    assert _fit_variable(values, options)[3:] == pytest.approx((1.5, values.std()))
    assert _fit_static(values, options) == pytest.approx((1.5, 1.5, values.std()))
    assert _fit_static(np.ones(3, np.float32), options) == (1.0, 1.0, 1.0)
    assert _fit_variable(np.ones(3, np.float32), options) == (0.5, 1.5, 1.0, 1.0, 1.0)


def test_limits_that_fall_together_are_told_in_proportion_to_the_value() -> None:
    options = InputOptions(winsor_low=0, winsor_high=100)
    for values, apart in (([1000, 1000.0005], False), ([1000, 1000.002], True), ([0, 9e-7], False), ([0, 2e-6], True)):
        lower, upper = _fit_variable(np.array(values, np.float32), options)[:2]
        assert upper - lower == pytest.approx(np.ptp(np.array(values, np.float32)) + (0 if apart else 1))


def test_a_stay_of_unknown_length_counts_one_hour() -> None:
    stays = tables([stay(1, stay_hours=None), stay(2, stay_hours=0.0), stay(3, stay_hours=2.5)]).stays
    assert window_lengths(stays, 48).tolist() == [1, 1, 3]


def test_as_many_folds_as_patients_who_died_are_enough() -> None:
    labels = np.array([1, 1, 1, 0, 0, 0, 0])
    for folds, enough in ((3, True), (4, False)):
        options = SplitOptions(test_fraction=0.0, folds=folds)
        arguments = (np.arange(7), labels, ("",) * 7, options, np.random.default_rng(0))
        if enough:
            assert set(split_patients(*arguments)[1].tolist()) == {0, 1, 2}
        else:
            with pytest.raises(StageError, match="who died; 3 are left"):
                split_patients(*arguments)


@pytest.mark.parametrize("method", ["linear", "forward"])
def test_imputation_is_that_of_pandas(method: str) -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(60, 12, 3)).astype(np.float32)
    values[rng.random(values.shape) < 0.7] = np.nan
    lengths = rng.integers(1, 13, 60).astype(np.int16)
    fill = np.array([10, 20, 30], np.float32)
    ours = impute(values, lengths, fill, method)
    for stay_index, length in enumerate(lengths):
        for variable in range(3):
            series = pd.Series(values[stay_index, :length, variable].astype(np.float64))
            theirs = series.ffill() if method == "forward" else series.interpolate("linear", limit_direction="both")
            expected = theirs.fillna(float(fill[variable])).to_numpy()
            assert ours[stay_index, :length, variable] == pytest.approx(expected, abs=1e-6)


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
