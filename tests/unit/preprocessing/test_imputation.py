"""Imputation worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from icudl.attacks.target.threat import Filling
from icudl.errors import StageError
from icudl.preprocessing.imputation import imputation_map, impute, last_charted

_ = np.nan


def _impute(series, lengths, method, fill=0.25):
    grid = np.asarray(series, np.float32)[:, :, None]
    return impute(grid, np.asarray(lengths), np.array([fill], np.float32), method)[:, :, 0].tolist()


def test_linear():
    series = [[_, 0.2, _, _, 0.8, _], [_] * 6, [0.5, _, _, 0.25, _, _], [_, _, _, _, _, 0.75]]
    filled = _impute(series, [6, 6, 4, 6], "linear")
    np.testing.assert_allclose(filled[0], [0.2, 0.2, 0.4, 0.6, 0.8, 0.8], rtol=1e-6)
    assert filled[1] == [0.25] * 6
    np.testing.assert_allclose(filled[2], [0.5, 5 / 12, 1 / 3, 0.25, 0, 0], rtol=1e-6)
    assert filled[3] == [0.75] * 6


def test_rounding_never_carries_a_filled_value_past_its_ends():
    value = 0.91275554895401
    for gap in range(2, 12):
        series = [value] + [_] * (gap - 1) + [value]
        assert set(_impute([series], [gap + 1], "linear")[0]) == {float(np.float32(value))}


def test_forward():
    series = [[_, 0.5, _, _, 0.75, _], [_] * 6, [0.5, _, _, 0.125, _, _]]
    assert _impute(series, [6, 6, 2], "forward") == [
        [0.25, 0.5, 0.5, 0.5, 0.75, 0.75],
        [0.25] * 6,
        [0.5, 0.5, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("method", ["linear", "forward"])
def test_what_lies_beyond_the_length_is_never_read(method):
    inside, beyond = [[0.5, _, _, 0.9, 0.9]], [[0.5, _, _, _, _]]
    assert _impute(inside, [3], method) == _impute(beyond, [3], method) == [[0.5, 0.5, 0.5, 0, 0]]


@pytest.mark.parametrize("method", ["linear", "forward"])
def test_a_stay_of_one_hour(method):
    assert _impute([[0.5, _], [_, _]], [1, 1], method) == [[0.5, 0], [0.25, 0]]


def test_the_map_names_the_hours_behind_each_cell():
    observed = np.array([[False, True, False, False, True, False, False]])[:, :, None]
    where = imputation_map(observed, np.array([6]), "linear")
    assert where.previous_index[0, :, 0].tolist() == [1, 1, 1, 1, 4, 4, 6]
    assert where.next_index[0, :, 0].tolist() == [1, 1, 4, 4, 4, 4, 6]
    np.testing.assert_allclose(where.weight_next[0, :, 0], [0, 0, 1 / 3, 2 / 3, 0, 0, 0], rtol=1e-6)
    assert not where.missing.any()


def test_the_last_charted_hour():
    observed = np.array([[[False, True], [False, False], [True, False], [False, True]]])
    assert last_charted(observed)[0].T.tolist() == [[-1, -1, 2, 2], [0, 0, 0, 3]]


@pytest.mark.parametrize("method", ["linear", "forward"])
def test_the_form_that_attacks_differentiate_gives_the_same_and_its_gradient_is_the_map(method):
    rng = np.random.default_rng(3)
    grid = rng.random((4, 9, 3)).astype(np.float32)
    grid[rng.random(grid.shape) < 0.6] = np.nan
    lengths = np.array([9, 1, 5, 9])
    fill = np.array([0.25, 0.5, 0.75], np.float32)
    observed = ~np.isnan(grid) & (np.arange(9)[None, :, None] < lengths[:, None, None])
    charted = torch.from_numpy(np.where(observed, grid, 0)).requires_grad_()
    filling = Filling.of(imputation_map(observed, lengths, method), fill, charted.device)
    imputed = filling.apply(charted)
    np.testing.assert_allclose(imputed.detach().numpy(), impute(grid, lengths, fill, method), atol=1e-7)
    (gradient,) = torch.autograd.grad(imputed.sum(), charted)
    step = 1 / 64
    for cell in np.argwhere(observed):
        shifted = grid.copy()
        shifted[tuple(cell)] += step
        change = (impute(shifted, lengths, fill, method) - impute(grid, lengths, fill, method)).sum() / step
        assert float(gradient[tuple(cell)]) == pytest.approx(change, abs=1e-3)


def test_an_unknown_method_is_refused():
    with pytest.raises(StageError, match="'spline'"):
        _impute([[0.5]], [1], "spline")


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
