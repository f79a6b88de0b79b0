"""Statistics of training stays, worked out by hand, and what becomes of a stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from icudl.errors import ConfigError, StageError
from icudl.preprocessing.cohort import CohortOptions
from icudl.preprocessing.features import CHANNELS, assemble_features, assemble_values, columns_of, n_features
from icudl.preprocessing.scaling import (
    InputOptions,
    fit_scaler,
    fit_scaler_on,
    prepare_inputs,
    select_statics,
    to_clinical,
    to_unit,
)
from icudl.preprocessing.splits import SplitOptions
from icudl.stages.preprocess import preprocess
from tables_by_hand import stay, tables

NO_STATICS = np.zeros((1, 0), np.float32)


def _one_variable(values):
    return np.asarray(values, np.float32)[None, :, None]


def test_limits_are_percentiles_of_the_measured_hours_inside_the_stay():
    values = _one_variable([*range(101), np.nan, 5000.0])
    scaler = fit_scaler(values, np.array([102]), NO_STATICS, InputOptions())
    assert (scaler.lower.tolist(), scaler.upper.tolist(), scaler.median.tolist()) == ([5.0], [95.0], [50.0])
    assert (scaler.offset.tolist(), scaler.scale.tolist(), scaler.fitted_on) == ([5.0], [90.0], 1)


def test_standard_scaling_uses_winsorised_values():
    values = _one_variable([0.0, 10.0, 20.0, 30.0, 1000.0])
    options = InputOptions(scaling="standard", winsor_low=25, winsor_high=75)
    scaler = fit_scaler(values, np.array([5]), NO_STATICS, options)
    winsorised = np.array([10.0, 10.0, 20.0, 30.0, 30.0])
    assert scaler.offset[0] == pytest.approx(20.0)
    assert scaler.scale[0] == pytest.approx(winsorised.std())
    assert (scaler.lower[0], scaler.upper[0]) == (10.0, 30.0)


@pytest.mark.parametrize("scaling", ["minmax", "standard"])
def test_the_order_of_many_stays_changes_not_even_the_last_bit(scaling):
    rng = np.random.default_rng(1)
    values, order = rng.normal(80, 10, (3000, 1, 1)).astype(np.float32), rng.permutation(3000)
    lengths, options = np.ones(3000, int), InputOptions(scaling=scaling, winsor_low=0, winsor_high=100)
    first = fit_scaler(values, lengths, values[:, 0], options)
    second = fit_scaler(values[order], lengths, values[order, 0], options)
    for name in first.ARRAYS:
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_variables_never_measured_or_constant_stay_finite():
    values = np.full((2, 3, 2), np.nan, np.float32)
    values[:, :, 1] = 4.0
    options = InputOptions(channels=("value", "observed", "hours_since"), scaling="standard")
    statics = np.full((2, 1), np.nan, np.float32)
    scaler = fit_scaler(values, np.array([3, 3]), statics, options)
    assert (scaler.upper > scaler.lower).all()
    assert (scaler.scale > 0).all()
    assert scaler.static_scale.tolist() == [1.0]
    inputs = prepare_inputs(scaler, options, values, np.array([3, 3]), statics)
    assert (inputs.unit[..., 0] == 0).all()
    assert (inputs.unit[..., 1] == 0.5).all()
    assert np.isfinite(inputs.statics).all()


def test_unit_coordinates_and_back():
    scaler = fit_scaler(_one_variable(range(101)), np.array([101]), NO_STATICS, InputOptions())
    clinical = np.array([[-3.0], [5.0], [50.0], [95.0], [400.0], [np.nan]], np.float32)
    unit = to_unit(scaler, clinical)
    assert unit[:5, 0].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert np.isnan(unit[5, 0])
    assert to_clinical(scaler, unit[1:4])[:, 0].tolist() == [5.0, 50.0, 95.0]


def test_values_are_clipped_before_they_are_imputed():
    scaler = fit_scaler(_one_variable(range(101)), np.array([101]), NO_STATICS, InputOptions())
    stay_values = _one_variable([5.0, np.nan, 5000.0, np.nan])
    inputs = prepare_inputs(scaler, InputOptions(), stay_values, np.array([3]), NO_STATICS)
    assert inputs.unit[0, :, 0].tolist() == [0.0, 0.5, 1.0, 0.0]
    assert inputs.observed[0, :, 0].tolist() == [True, False, True, False]


def test_hours_since_count_from_the_last_charted_hour():
    scaler = fit_scaler(_one_variable(range(101)), np.array([101]), NO_STATICS, InputOptions())
    stay_values = _one_variable([np.nan, 50.0, np.nan, np.nan, 60.0, np.nan, 70.0])
    inputs = prepare_inputs(scaler, InputOptions(), stay_values, np.array([6]), NO_STATICS)
    assert inputs.hours_since[0, :, 0].tolist() == [7, 0, 1, 2, 0, 1, 0]


def test_channels_lie_in_their_order_and_padding_is_zero():
    options = InputOptions(
        channels=("hours_since", "value", "observed"), scaling="standard", statics=("age_years",), winsor_low=0,
        winsor_high=100,
    )  # fmt: skip
    values = np.array([[[1.0, 10.0], [np.nan, 20.0], [np.nan, np.nan]]], np.float32)
    values = np.concatenate([values, np.array([[[3.0, 20.0], [3.0, 20.0], [3.0, 20.0]]], np.float32)])
    lengths, statics = np.array([2, 3]), np.array([[40.0], [60.0]], np.float32)
    scaler = fit_scaler(values, lengths, statics, options)
    inputs = prepare_inputs(scaler, options, values, lengths, statics)
    arrays = (inputs.unit, inputs.observed, inputs.hours_since, inputs.statics, inputs.lengths)
    features = assemble_features(*map(torch.from_numpy, arrays), scaler, options).numpy()
    assert features.shape == (2, 3, n_features(options, 2)) == (2, 3, 7)
    expected = (np.array([1.0, 10.0]) - scaler.offset) / scaler.scale
    np.testing.assert_allclose(features[0, 0], [*expected, 1, 1, 0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(features[0, 1], [expected[0], (20 - scaler.offset[1]) / scaler.scale[1], 0, 1, 1 / 3, 0, -1], atol=1e-5)  # fmt: skip  # noqa: E501
    assert (features[0, 2] == 0).all()


def test_the_value_channel_of_minmax_is_the_unit_coordinate():
    unit = torch.rand(3, 4, 2, requires_grad=True)
    values = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    scaler = fit_scaler(values, np.full(3, 4), np.zeros((3, 0), np.float32), InputOptions())
    empty = torch.zeros(3, 4, 2)
    features = assemble_features(
        unit, empty.bool(), empty, torch.zeros(3, 0), torch.tensor([4, 2, 1]), scaler, InputOptions()
    )
    features.sum().backward()
    assert torch.equal(features[0], unit[0])
    assert torch.equal(assemble_values(unit, torch.tensor([4, 2, 1]), scaler, InputOptions()), features[..., :2])
    assert (unit.grad[1, 2:] == 0).all()
    assert (unit.grad[1, :2] == 1).all()


def test_each_channel_lies_in_the_columns_that_are_told():
    options = InputOptions(channels=CHANNELS, statics=("age_years", "sex_male"))
    values = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    statics, lengths = np.array([[40, 0], [50, 1], [60, 1]], np.float32), np.full(3, 4)
    scaler = fit_scaler(values, lengths, statics, options)
    unit, since = torch.rand(3, 4, 2), 4 * torch.rand(3, 4, 2)
    observed = torch.rand(3, 4, 2) < 0.5
    features = assemble_features(
        unit, observed, since, torch.from_numpy(statics), torch.from_numpy(lengths), scaler, options
    )
    columns = columns_of(options, 2)
    assert torch.equal(features[..., columns["value"]], unit)
    assert torch.equal(features[..., columns["observed"]], observed.float())
    assert torch.equal(features[..., columns["hours_since"]], since / 4)
    assert torch.equal(features[..., columns["statics"]], torch.from_numpy(statics)[:, None].expand(-1, 4, -1))


def _grid(context):
    stays = [stay(k, died=k % 2 == 0, sex="M" if k % 3 else "F", icu_type="CCU") for k in range(1, 21)]
    return preprocess(tables(stays), CohortOptions(), SplitOptions(folds=2), context)


def test_test_stays_are_refused(context):
    grid = _grid(context)
    fit_scaler_on(grid, np.flatnonzero(~grid.is_test), InputOptions())
    with pytest.raises(StageError, match="4 of the stays given to fit the scaler are test stays"):
        fit_scaler_on(grid, np.arange(20), InputOptions())
    with pytest.raises(StageError, match="no training stay"):
        fit_scaler_on(grid, np.zeros(20, bool), InputOptions())


def test_statics_are_chosen_by_name(context):
    grid = _grid(context)
    chosen = select_statics(grid, InputOptions(statics=("icu_type=CCU", "sex_male")))
    assert chosen[:3].tolist() == [[1, 1], [1, 1], [1, 0]]
    with pytest.raises(ConfigError, match=r"'sexmale'.*Did you mean 'sex_male'"):
        select_statics(grid, InputOptions(statics=("sexmale",)))


def test_scaler_options_and_arrays_must_fit(context):
    values = np.zeros((2, 3, 2), np.float32)
    lengths, statics = np.array([3, 3]), np.zeros((2, 0), np.float32)
    scaler = fit_scaler(values, lengths, statics, InputOptions())
    with pytest.raises(StageError, match="1 variables and 0 static"):
        prepare_inputs(scaler, InputOptions(), values[..., :1], lengths, statics)
    with pytest.raises(StageError, match="'forward'"):
        prepare_inputs(scaler, InputOptions(imputation="forward"), values, lengths, statics)


def _fitted(values, **options):
    """Fit on stays of one hour whose one variable and one descriptor have the same values."""
    column = np.asarray(values, np.float32)
    fitted = fit_scaler(column[:, None, None], np.ones(column.size), column[:, None], InputOptions(**options))
    variable = (fitted.lower, fitted.upper, fitted.median, fitted.offset, fitted.scale)
    descriptor = (fitted.static_median, fitted.static_offset, fitted.static_scale)
    return [float(array[0]) for array in variable], [float(array[0]) for array in descriptor]


@pytest.mark.parametrize("scaling", ["minmax", "standard"])
def test_a_variable_or_descriptor_without_values_is_left_as_it_is(scaling):
    assert _fitted([np.nan], scaling=scaling) == ([0, 1, 0, 0, 1], [0, 0, 1])


def test_minmax_takes_descriptors_from_the_smallest_to_the_largest():
    assert _fitted([90.0, 40.0, 60.0], scaling="minmax")[1] == [60, 40, 50]
    mean, deviation = 190 / 3, np.std([90.0, 40.0, 60.0])
    assert _fitted([90.0, 40.0, 60.0], scaling="standard")[1] == pytest.approx([60, mean, deviation])


def test_small_deviations_are_scaled_and_a_lack_of_them_is_not():
    whole = {"scaling": "standard", "winsor_low": 0, "winsor_high": 100}
    deviation = np.std([1, 1.5, 2])
    variable, descriptor = _fitted([1, 1.5, 2], **whole)
    assert variable == pytest.approx([1, 2, 1.5, 1.5, deviation])
    assert descriptor == pytest.approx([1.5, 1.5, deviation])
    assert _fitted([1, 1, 1], **whole) == ([0.5, 1.5, 1, 1, 1], [1, 1, 1])


@pytest.mark.parametrize(
    ("values", "apart"), [((1000, 1000.0005), False), ((1000, 1000.002), True), ((0, 9e-7), False), ((0, 2e-6), True)]
)
def test_limits_that_fall_together_are_told_in_proportion_to_the_value(values, apart):
    lower, upper = _fitted(values, winsor_low=0, winsor_high=100)[0][:2]
    assert upper - lower == pytest.approx(np.ptp(values) + (0 if apart else 1), abs=1e-4)
    assert (upper - lower < 0.5) == apart
