"""What a network reads of a stay with hidden values, and what it has to tell."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from icudl.preprocessing.scaling import InputOptions, fit_scaler_on
from icudl.training.data import stays_of
from icudl.training.pretraining import unlabelled
from icudl.training.pretraining.options import PretrainOptions
from icudl.training.pretraining.unlabelled import UnlabelledStays
from training_grids import make_grid

INPUTS = InputOptions(
    channels=("value", "observed", "hours_since"), imputation="forward", scaling="standard", statics=("age_years",)
)
OPTIONS = PretrainOptions(epochs=1, value_share=0.3, run_share=0.3, run_hours=3, variable_share=0.2)


def _stays(values=None, inputs: InputOptions = INPUTS, options: PretrainOptions = OPTIONS) -> UnlabelledStays:
    grid = make_grid(60, n_hours=12)
    rows = np.flatnonzero(~grid.is_test)
    scaler = fit_scaler_on(grid, rows, inputs)
    if values is not None:
        grid = dataclasses.replace(grid, values=values)
    stays = UnlabelledStays.of(grid, rows, scaler, inputs, options)
    assert stays is not None
    return stays


def _every(stays: UnlabelledStays) -> np.ndarray:
    return np.arange(len(stays))


@pytest.mark.parametrize("imputation", ["forward", "linear"])
def test_a_hidden_value_reaches_no_input_in_any_hour_or_channel(imputation):
    """Other numbers in the place of all hidden values change not a bit of what the network reads."""
    inputs = dataclasses.replace(INPUTS, imputation=imputation)
    stays = _stays(inputs=inputs)
    plain = stays.riddle(_every(stays), np.random.default_rng(5))
    hidden = plain.hidden.numpy()
    assert 0.2 < hidden.sum() / (~np.isnan(stays.values)).sum() < 0.8
    other = np.where(hidden, -3 * stays.values + 1, stays.values)
    changed = dataclasses.replace(stays, values=other).riddle(_every(stays), np.random.default_rng(5))
    assert torch.equal(changed.hidden, plain.hidden)
    assert torch.equal(changed.features, plain.features)
    assert not torch.equal(changed.answers[plain.hidden], plain.answers[plain.hidden])


def test_a_hidden_value_looks_as_if_it_had_never_been_charted():
    stays = _stays()
    riddle = stays.riddle(_every(stays), np.random.default_rng(5))
    grid = make_grid(60, n_hours=12)
    rows = np.flatnonzero(~grid.is_test)
    left = grid.values.copy()
    left[rows] = np.where(riddle.hidden.numpy(), np.nan, left[rows])
    never = stays_of(dataclasses.replace(grid, values=left), rows, stays.scaler, INPUTS)
    assert torch.equal(riddle.features, never.features)
    assert torch.equal(riddle.lengths, never.lengths)
    as_charted = stays_of(grid, rows, stays.scaler, INPUTS)
    assert not torch.equal(riddle.features, as_charted.features)


@pytest.mark.parametrize("scaling", ["standard", "minmax"])
def test_the_answers_are_what_the_value_channel_shows_of_the_charted_values(scaling):
    inputs = dataclasses.replace(INPUTS, scaling=scaling)
    stays = _stays(inputs=inputs)
    riddle = stays.riddle(_every(stays), np.random.default_rng(5))
    grid = make_grid(60, n_hours=12)
    shown = stays_of(grid, np.flatnonzero(~grid.is_test), stays.scaler, inputs)
    values = shown.features[:, :, list(shown.columns["value"])]
    assert riddle.hidden.any()
    assert torch.equal(riddle.answers[riddle.hidden], values[riddle.hidden])
    assert not riddle.answers[torch.from_numpy(np.isnan(stays.values))].any()
    assert riddle.answers.shape[2] == stays.n_variables == 3


def test_what_is_hidden_is_drawn_anew_from_the_stream():
    stays = _stays()
    rng = np.random.default_rng(1)
    first, second = (stays.riddle(_every(stays), rng) for _ in range(2))
    assert not torch.equal(first.hidden, second.hidden)


def test_stays_know_no_outcome():
    """Nothing that could hold an outcome is kept beside the records."""
    assert {field.name for field in dataclasses.fields(UnlabelledStays)} == {
        "values", "lengths", "statics", "scaler", "inputs", "options",
    }  # fmt: skip
    assert "labels" not in unlabelled.__dict__


def test_without_epochs_there_is_nothing_to_pretrain_on():
    grid = make_grid(20)
    rows = np.flatnonzero(~grid.is_test)
    assert UnlabelledStays.of(grid, rows, fit_scaler_on(grid, rows, INPUTS), INPUTS, PretrainOptions()) is None
