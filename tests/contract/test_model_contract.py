"""What every registered model promises; registering a plug-in enrols it here."""

from __future__ import annotations

import pytest
import torch

from icudl.models.base import SequenceClassifier
from icudl.models.build import GROUP, build_model
from icudl.models.options import ModelOptions
from icudl.plugins import registered

READOUTS = ("final", "last_hour", "mean", "max", "attention")
N_HOURS, N_FEATURES = 7, 5
LENGTHS = torch.tensor([7, 3, 1, 5])


def _variants() -> list[ModelOptions]:
    small = {"hidden_size": 8, "fc_size": 6, "dropout": 0.5}
    # Read-outs are shared code: all of them for the recurrent models, two kinds for each other one.
    named = [
        ModelOptions(name=name, readout=readout, **small)
        for name in registered(GROUP)
        for readout in (READOUTS if name in {"lstm", "gru"} else ("final", "attention"))
    ]
    others = [
        ModelOptions(name=name, **small | change)
        for name in registered(GROUP)
        for change in ({"bidirectional": False}, {"n_layers": 2}, {"fc_size": 0, "activation": "gelu"})
    ]
    return [*named, *others, ModelOptions(ensemble_size=2, **small)]


def _label(options: ModelOptions) -> str:
    kind = (options.name, options.readout, options.bidirectional, options.n_layers, options.fc_size)
    return "-".join(map(str, (*kind, options.ensemble_size)))


@pytest.fixture(params=_variants(), ids=_label)
def model(request: pytest.FixtureRequest) -> SequenceClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build_model(request.param, N_FEATURES).eval()


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(len(LENGTHS), N_HOURS, N_FEATURES, generator=torch.Generator().manual_seed(1))


def test_gives_two_logits_that_are_not_probabilities(model, features):
    logits = model(features * 5, LENGTHS)
    assert logits.shape == (len(LENGTHS), 2)
    assert logits.dtype == torch.float32
    assert not torch.allclose(logits.sum(dim=1), torch.ones(len(LENGTHS)), atol=1e-3)


def test_logits_are_unbounded(model, features):
    """A softmax (or any squashing) at the end would keep them within bounds however large the last layer is."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10)
        assert model(features * 10, LENGTHS).abs().max() > 1.5


def test_padding_changes_nothing(model, features):
    changed = features.clone()
    for row, length in enumerate(LENGTHS):
        changed[row, length:] = torch.nan
    assert torch.equal(model(features, LENGTHS), model(changed, LENGTHS))


def test_padding_gets_zero_gradient_and_hours_get_some(model, features):
    features.requires_grad_()
    model(features, LENGTHS)[:, 1].sum().backward()
    for row, length in enumerate(LENGTHS):
        assert not features.grad[row, length:].any()
        assert features.grad[row, :length].any()


def test_a_stay_does_not_depend_on_its_batch_mates_or_the_padding(model, features):
    together = model(features, LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = model(features[row : row + 1, :length], LENGTHS[row : row + 1])
        assert torch.allclose(together[row : row + 1], alone, atol=1e-6)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(model(features[order], LENGTHS[order]), together[order], atol=1e-6)


def test_eval_mode_repeats_itself(model, features):
    assert torch.equal(model(features, LENGTHS), model(features, LENGTHS))


def test_dropout_acts_in_training_mode(model, features):
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        assert not torch.equal(model(features, LENGTHS), model(features, LENGTHS))


def test_every_parameter_learns(model, features):
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        torch.nn.functional.cross_entropy(model(features, LENGTHS), torch.tensor([0, 1, 0, 1])).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_a_feature_that_is_always_zero_is_survived(model, features):
    features[:, :, 2] = 0.0
    assert torch.isfinite(model(features, LENGTHS)).all()


def test_calibration_is_absorbed(model, features):
    before = model(features, LENGTHS)
    model.absorb(1.7, -0.4)
    after = model(features, LENGTHS)
    assert torch.allclose(after[:, 1] - after[:, 0], 1.7 * (before[:, 1] - before[:, 0]) - 0.4, atol=1e-5)
