"""Read-outs worked out by hand, models by name, models from checkpoints."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from icudl.artifacts import FINAL, Checkpoint
from icudl.errors import DeviceError, PluginError, StageError
from icudl.models.build import build_model, load_model
from icudl.models.options import GROUP, GruOptions, LstmOptions, ModelOptions, SummaryOptions
from icudl.models.recurrent.readout import AttentionReadout, last_hour, max_over_hours, mean_over_hours
from icudl.plugins import options_of
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on
from training_grids import make_grid

OUTPUTS = torch.tensor([[[1.0, -1.0], [3.0, -5.0], [100.0, 100.0]], [[2.0, 0.0], [4.0, 1.0], [9.0, -1.0]]])
LENGTHS = torch.tensor([2, 3])


def test_read_outs_by_hand():
    assert last_hour(OUTPUTS, LENGTHS).tolist() == [[3.0, -5.0], [9.0, -1.0]]
    assert mean_over_hours(OUTPUTS, LENGTHS).tolist() == [[2.0, -3.0], [5.0, 0.0]]
    assert max_over_hours(OUTPUTS, LENGTHS).tolist() == [[3.0, -1.0], [9.0, 1.0]]


def test_attention_with_equal_scores_is_the_mean():
    attention = AttentionReadout(2)
    with torch.no_grad():
        attention.score.weight.zero_()
    assert torch.allclose(attention(OUTPUTS, LENGTHS), mean_over_hours(OUTPUTS, LENGTHS))


def _sensitivity_of_first_hour(readout: str) -> float:
    """How much hour 0 can matter to the backward units of the read-out."""
    torch.manual_seed(0)
    model = build_model(LstmOptions(hidden_size=4, readout=readout, fc_size=0, activation="identity"), 2).eval()
    with torch.no_grad():
        model.head.out.weight[:, :4] = 0.0
    features = torch.randn(1, 6, 2, requires_grad=True)
    model(features, torch.tensor([6]))[0, 1].backward()
    return float(features.grad[0, :5].abs().sum())


def test_the_default_read_out_lets_the_backward_direction_see_the_whole_stay():
    """Defect 5 of the original: at the last hour the backward half has seen one hour only."""
    assert LstmOptions().readout == "final"
    assert _sensitivity_of_first_hour("final") > 0
    assert _sensitivity_of_first_hour("last_hour") == 0


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_last_hour_alone_is_what_reading_both_directions_gives(name):
    torch.manual_seed(0)
    model = build_model(options_of(GROUP, name)(hidden_size=5, readout="last_hour", dropout=0.0), 3)
    features, lengths = torch.randn(4, 6, 3, requires_grad=True), torch.tensor([6, 1, 4, 6])
    inputs = [features, *model.parameters()]
    assert model.reads_one_hour_backward
    logits = model(features, lengths)
    outputs, _ = model._run(features, lengths)
    both = model.head(last_hour(outputs, lengths))
    torch.testing.assert_close(logits, both)
    for ours, theirs in zip(*(torch.autograd.grad(out[:, 1].sum(), inputs) for out in (logits, both)), strict=True):
        torch.testing.assert_close(ours, theirs)
    for other in ({"readout": "final"}, {"n_layers": 2}, {"bidirectional": False}):
        options = options_of(GROUP, name)(**{"hidden_size": 5, "readout": "last_hour"} | other)
        assert not build_model(options, 3).reads_one_hour_backward


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_final_state_is_that_of_an_unpadded_run(name):
    torch.manual_seed(0)
    model = build_model(options_of(GROUP, name)(hidden_size=4, fc_size=0, activation="identity"), 2).eval()
    features = torch.randn(1, 6, 2)
    _, state = model.rnn(features[:, :4])
    hidden = state[0] if isinstance(state, tuple) else state
    expected = model.head.out(torch.cat([hidden[0], hidden[1]], dim=1))
    assert torch.allclose(model(features, torch.tensor([4])), expected, atol=1e-6)


def test_an_unknown_model_is_named_with_the_nearest():
    with pytest.raises(PluginError, match=r"'lstmm'.*Did you mean 'lstm'"):
        build_model(ModelOptions(name="lstmm"), 3)


@pytest.mark.parametrize(
    "options", [ModelOptions(), GruOptions(name="lstm"), LstmOptions(name="summary")], ids=["base", "gru", "lstm"]
)
def test_a_model_refuses_the_options_of_another(options):
    with pytest.raises(PluginError, match=rf"{options.name!r} was given {type(options).__name__}; it reads"):
        build_model(options, 3)


@pytest.fixture
def checkpoint() -> Checkpoint:
    grid, inputs = make_grid(40), InputOptions(channels=("value", "observed"), statics=("age_years",))
    options = LstmOptions(hidden_size=4)
    torch.manual_seed(0)
    model = build_model(options, 2 * 3 + 1)
    return Checkpoint(
        member=FINAL,
        model=options.to_dict(),
        inputs=inputs.to_dict(),
        variables=grid.variables,
        static_names=inputs.statics,
        n_hours=6,
        scaler=fit_scaler_on(grid, np.flatnonzero(~grid.is_test), inputs),
        threshold=0.5,
        weights={name: tensor.numpy() for name, tensor in model.state_dict().items()},
    )


def test_a_checkpoint_survives_its_files_and_gives_the_same_frozen_model(checkpoint, tmp_path):
    checkpoint.write(tmp_path)
    models = [load_model(c, "cpu") for c in (checkpoint, Checkpoint.read_member(tmp_path, "final"))]
    features, lengths = torch.randn(3, 6, 7), torch.tensor([6, 2, 1])
    assert torch.equal(models[0](features, lengths), models[1](features, lengths))
    assert not models[1].training
    assert not any(parameter.requires_grad for parameter in models[1].parameters())


def test_loading_leaves_the_global_random_state_alone(checkpoint):
    before = torch.get_rng_state()
    load_model(checkpoint, "cpu")
    assert torch.equal(before, torch.get_rng_state())


def test_weights_of_another_architecture_are_refused(checkpoint):
    other = dataclasses.replace(checkpoint, model=checkpoint.model | {"hidden_size": 5})
    with pytest.raises(StageError, match="do not fit its architecture"):
        load_model(other, "cpu")


def test_a_checkpoint_with_options_that_its_model_does_not_read_is_refused(checkpoint):
    """The model of a checkpoint decides which options it has: those of an LSTM do not make a summary network."""
    other = dataclasses.replace(checkpoint, model=checkpoint.model | {"name": "summary"})
    with pytest.raises(StageError, match=r"do not fit the model 'summary'.*Train the model again"):
        load_model(other, "cpu")


def test_an_option_of_one_model_is_unknown_to_another():
    for kind, foreign in ((LstmOptions, "summary_share"), (SummaryOptions, "hidden_size")):
        assert foreign not in kind().to_dict(identity_only=True)


def test_a_device_that_is_not_there_is_named(checkpoint):
    with pytest.raises(DeviceError, match="'nonsense'"):
        load_model(checkpoint, "nonsense")
