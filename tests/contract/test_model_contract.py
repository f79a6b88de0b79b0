"""What every registered model promises; registering a plug-in enrols it here."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from icudl.models.base import SequenceClassifier
from icudl.models.build import build_model
from icudl.models.charted.base import ChartedModel
from icudl.models.options import GROUP, BoostedTreesOptions, LogisticOptions, LstmOptions, ModelOptions
from icudl.models.outside.options import OutsideOptions
from icudl.plugins import load_plugin, options_of, registered
from icudl.testing import CHARTED_MODEL_CHECKS, MODEL_CHECKS, ChartedModelCheck, ModelCheck

N_HOURS, N_FEATURES = 7, 5
LENGTHS = torch.tensor([7, 3, 1, 5])
SMALL = {"hidden_size": 8, "fc_size": 6, "dropout": 0.5}
CHANGES = ({"bidirectional": False}, {"n_layers": 2}, {"fc_size": 0, "activation": "gelu"})


def _plugins(kind: type) -> list[str]:
    return [name for name in registered(GROUP) if issubclass(load_plugin(GROUP, name), kind)]


def _variants() -> list[ModelOptions]:
    """Every model with each of its read-outs, and with each change that it knows."""
    variants: list[ModelOptions] = []
    for name in _plugins(SequenceClassifier):
        kind = options_of(GROUP, name)
        fields = {field.name: field for field in dataclasses.fields(kind)}
        small = {key: value for key, value in SMALL.items() if key in fields}
        readouts = fields["readout"].metadata["choices"] if "readout" in fields else ()
        changes = [{}, *({"readout": readout} for readout in readouts), *CHANGES]
        made = [kind(**small | change) for change in changes if set(change) <= set(fields)]
        variants += [variant for place, variant in enumerate(made) if variant not in made[:place]]
    return [*variants, LstmOptions(ensemble_size=2, **SMALL)]


def _label(options: ModelOptions) -> str:
    usual = type(options)(**{key: value for key, value in SMALL.items() if key in options.to_dict()}).to_dict()
    changed = {key: value for key, value in options.to_dict().items() if usual[key] != value}
    return "-".join([options.name, *(f"{key}={value}" for key, value in changed.items())])


@pytest.mark.parametrize("check", MODEL_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("options", _variants(), ids=_label)
def test_contract(options: ModelOptions, check: ModelCheck) -> None:
    check(load_plugin(GROUP, options.name), options)


FUNCTION = {"object": "outside_cases:heart", "output": "logit", "trained_on": "elsewhere"}
CHARTED = [
    *(options_of(GROUP, name)() for name in _plugins(ChartedModel) if name != "outside"),
    # A model from outside has to be named, and cannot be fitted.
    OutsideOptions(missing="linear", **FUNCTION),
    OutsideOptions(input="summaries", **FUNCTION),
    BoostedTreesOptions(ensemble_size=3, trees=20),
    BoostedTreesOptions(trees=1, leaves=2),
    LogisticOptions(ensemble_size=3),
]


def test_every_plugin_is_one_of_the_two_kinds() -> None:
    assert {*_plugins(SequenceClassifier), *_plugins(ChartedModel)} == set(registered(GROUP))


@pytest.mark.parametrize("check", CHARTED_MODEL_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("options", CHARTED, ids=lambda options: f"{options.name}-{options.ensemble_size}")
def test_contract_of_models_of_charted_values(options: ModelOptions, check: ChartedModelCheck) -> None:
    check(load_plugin(GROUP, options.name), options)


@pytest.mark.parametrize("name", registered(GROUP))
def test_a_configuration_is_read_with_the_options_that_the_model_names(name: str) -> None:
    """The class registered apart, for speed, is the one on the plug-in; its defaults make that plug-in."""
    kind = load_plugin(GROUP, name).Options
    assert options_of(GROUP, name) is kind
    assert kind().name == name


@pytest.mark.parametrize("options", _variants(), ids=_label)
def test_dropout_acts_in_training_mode(options: ModelOptions) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = build_model(options, N_FEATURES).train()
        features = torch.randn(len(LENGTHS), N_HOURS, N_FEATURES)
        assert not torch.equal(model(features, LENGTHS), model(features, LENGTHS))
