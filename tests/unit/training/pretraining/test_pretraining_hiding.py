"""Which charted values are hidden."""

from __future__ import annotations

import numpy as np
import pytest

from icudl.training.pretraining.hiding import hidden_values
from icudl.training.pretraining.options import PretrainOptions

NONE = {"value_share": 0.0, "run_share": 0.0, "variable_share": 0.0}
N, T, F = 400, 30, 5
LENGTHS = np.full(N, T)


def _options(**shares) -> PretrainOptions:
    return PretrainOptions(epochs=1, **NONE | shares)


def _charted(everything: bool = True) -> np.ndarray:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(N, T, F)).astype(np.float32)
    if not everything:
        values[rng.random(values.shape) < 0.6] = np.nan
    return values


def test_only_charted_values_within_the_stay_are_hidden():
    values, lengths = _charted(everything=False), np.random.default_rng(2).integers(1, T + 1, N)
    everything = _options(value_share=0.9, run_share=0.9, variable_share=0.9)
    hidden = hidden_values(values, lengths, everything, np.random.default_rng(0))
    assert hidden.any()
    assert not hidden[np.isnan(values)].any()
    assert not hidden[np.broadcast_to(np.arange(T)[None, :, None] >= lengths[:, None, None], hidden.shape)].any()


def test_single_values_are_hidden_with_their_chance():
    hidden = hidden_values(_charted(), LENGTHS, _options(value_share=0.2), np.random.default_rng(0))
    assert hidden.mean() == pytest.approx(0.2, abs=0.01)


def test_a_hidden_variable_is_hidden_in_all_hours():
    hidden = hidden_values(_charted(), LENGTHS, _options(variable_share=0.3), np.random.default_rng(0))
    assert (hidden.all(axis=1) == hidden.any(axis=1)).all()
    assert hidden[:, 0].mean() == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("run_hours", [1, 7, 100])
def test_a_run_is_one_piece_of_that_many_hours_and_as_likely_in_every_hour(run_hours):
    options = _options(run_share=0.5, run_hours=run_hours)
    hidden = hidden_values(_charted(), LENGTHS, options, np.random.default_rng(0))
    starts = np.diff(hidden, axis=1, prepend=False) & hidden
    assert starts.sum(axis=1).max() == 1
    length = hidden.sum(axis=1)
    assert length.max() == min(run_hours, T)
    touched = length > 0
    assert touched.mean() == pytest.approx(0.5, abs=0.04)
    if run_hours < T:
        inside = touched & ~hidden[:, 0] & ~hidden[:, -1]
        assert (length[inside] == run_hours).all()
    by_hour = hidden.mean(axis=(0, 2))
    assert np.ptp(by_hour) < 0.06


def test_the_same_stream_hides_the_same_values():
    options = PretrainOptions(epochs=1)
    first, again, other = (
        hidden_values(_charted(), LENGTHS, options, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_every_hour_of_a_stay_is_hidden_by_a_run_with_the_chance_that_follows_from_its_places():
    """Three hours and runs of two: four places, of which two cover each hour; a stay of one hour has two."""
    values = np.ones((6000, 3, 2), np.float32)
    lengths = np.where(np.arange(len(values)) % 2, 3, 1)
    options = _options(run_share=0.8, run_hours=2)
    hidden = hidden_values(values, lengths, options, np.random.default_rng(0))
    assert hidden[lengths == 3].mean(axis=(0, 2)) == pytest.approx([0.4, 0.4, 0.4], abs=0.025)
    assert hidden[lengths == 1].mean(axis=(0, 2)) == pytest.approx([0.8, 0.0, 0.0], abs=0.025)


def test_a_chance_of_nothing_draws_nothing():
    expected = np.random.default_rng(6).random((N, 1, F)) < 0.3
    hidden = hidden_values(_charted(), LENGTHS, _options(variable_share=0.3), np.random.default_rng(6))
    assert (hidden == expected).all()
