"""What every registered model promises; registering a plug-in enrols it here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from icudl.models.build import GROUP, build_model
from icudl.models.options import ModelOptions
from icudl.plugins import registered
from icudl.testing import MODEL_CHECKS, ModelFactory

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


def _built(options: ModelOptions) -> ModelFactory:
    """Make this variant, whatever options a check asks for."""
    return lambda _options, n_features: build_model(options, n_features)


@pytest.mark.parametrize("check", MODEL_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("options", _variants(), ids=_label)
def test_contract(options: ModelOptions, check: Callable[[ModelFactory], None]) -> None:
    check(_built(options))


@pytest.mark.parametrize("options", _variants(), ids=_label)
def test_dropout_acts_in_training_mode(options: ModelOptions) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = build_model(options, N_FEATURES).train()
        features = torch.randn(len(LENGTHS), N_HOURS, N_FEATURES)
        assert not torch.equal(model(features, LENGTHS), model(features, LENGTHS))
