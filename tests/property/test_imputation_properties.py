"""What must hold of imputation and scaling whatever was charted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from icudl.preprocessing.imputation import imputation_map, impute
from icudl.preprocessing.scaling import InputOptions, fit_scaler, prepare_inputs

METHODS = pytest.mark.parametrize("method", ["linear", "forward"])
FILL = np.array([0.125, 0.625], np.float32)


@st.composite
def grids(draw, low=0.0, high=1.0):
    """Unit coordinates (N, T, 2) with gaps, and lengths."""
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 12)), 2)
    values = st.floats(low, high, width=32, allow_subnormal=False)
    grid = draw(hnp.arrays(np.float32, shape, elements=st.one_of(st.just(np.nan), values)))
    lengths = draw(hnp.arrays(np.int16, shape[0], elements=st.integers(1, shape[1])))
    return grid, lengths


def _within(grid, lengths):
    return np.arange(grid.shape[1])[None, :, None] < lengths[:, None, None]


@METHODS
@given(case=grids())
def test_filled_values_lie_between_the_measured_ones_or_are_the_filling(method, case):
    grid, lengths = case
    within = np.broadcast_to(_within(grid, lengths), grid.shape)
    filled = impute(grid, lengths, FILL, method)
    assert np.isfinite(filled).all()
    assert (filled[~within] == 0).all()
    charted = np.where(within, grid, np.nan)
    for i, j in np.ndindex(grid.shape[0], 2):
        series, result = charted[i, :, j], filled[i, : lengths[i], j]
        known = series[~np.isnan(series)]
        if known.size == 0:
            assert (result == FILL[j]).all()
        else:
            allowed = ((known.min() <= result) & (result <= known.max())) | (
                (method == "forward") & (result == FILL[j])
            )
            assert allowed.all()


@METHODS
@given(case=grids())
def test_charted_cells_stay_as_they_are_and_filling_again_changes_nothing(method, case):
    grid, lengths = case
    filled = impute(grid, lengths, FILL, method)
    charted = ~np.isnan(grid) & _within(grid, lengths)
    assert np.array_equal(filled[charted], grid[charted])
    assert np.array_equal(impute(filled, lengths, FILL, method), filled)


@given(case=grids(), data=st.data())
def test_forward_never_looks_ahead(case, data):
    grid, lengths = case
    hour = data.draw(st.integers(0, grid.shape[1] - 1))
    changed = grid.copy()
    changed[:, hour:] = data.draw(hnp.arrays(np.float32, changed[:, hour:].shape, elements=st.just(np.nan)))
    before, after = impute(grid, lengths, FILL, "forward"), impute(changed, lengths, FILL, "forward")
    assert np.array_equal(before[:, :hour], after[:, :hour])


@METHODS
@given(case=grids(), data=st.data())
def test_nothing_beyond_the_length_is_read(method, case, data):
    grid, lengths = case
    other = data.draw(hnp.arrays(np.float32, grid.shape, elements=st.floats(0, 1, width=32)))
    changed = np.where(_within(grid, lengths), grid, other)
    assert np.array_equal(impute(grid, lengths, FILL, method), impute(changed, lengths, FILL, method))


@METHODS
@given(case=grids())
def test_the_map_points_at_charted_hours_only(method, case):
    grid, lengths = case
    within = np.broadcast_to(_within(grid, lengths), grid.shape)
    observed = ~np.isnan(grid)
    where = imputation_map(observed, lengths, method)
    sources = within & ~where.missing
    for index in (where.previous_index, where.next_index):
        assert np.take_along_axis(observed & within, index, axis=1)[sources].all()
    assert ((where.weight_next >= 0) & (where.weight_next < 1)).all()
    assert not where.missing[~within].any()


@given(case=grids(low=-1e4, high=1e4), scaling=st.sampled_from(["minmax", "standard"]), data=st.data())
def test_the_order_of_the_stays_changes_nothing(case, scaling, data):
    grid, lengths = case
    order = np.array(data.draw(st.permutations(range(len(lengths)))))
    statics = grid[:, 0, :]
    options = InputOptions(scaling=scaling)
    scaler = fit_scaler(grid, lengths, statics, options)
    shuffled = fit_scaler(grid[order], lengths[order], statics[order], options)
    for name in scaler.ARRAYS:
        assert np.array_equal(getattr(scaler, name), getattr(shuffled, name)), name
    inputs = prepare_inputs(scaler, options, grid, lengths, statics)
    permuted = prepare_inputs(scaler, options, grid[order], lengths[order], statics[order])
    for name in ("unit", "observed", "hours_since", "statics", "lengths"):
        assert np.array_equal(getattr(inputs, name)[order], getattr(permuted, name)), name


@given(case=grids(low=-1e4, high=1e4), scaling=st.sampled_from(["minmax", "standard"]))
def test_inputs_are_finite_and_inside_the_unit_interval(case, scaling):
    grid, lengths = case
    options = InputOptions(scaling=scaling)
    scaler = fit_scaler(grid, lengths, grid[:, 0, :], options)
    assert (scaler.upper > scaler.lower).all()
    assert (scaler.scale > 0).all()
    inputs = prepare_inputs(scaler, options, grid, lengths, grid[:, 0, :])
    assert ((inputs.unit >= 0) & (inputs.unit <= 1)).all()
    assert np.isfinite(inputs.statics).all()
    assert not inputs.observed[~np.broadcast_to(_within(grid, lengths), grid.shape)].any()
