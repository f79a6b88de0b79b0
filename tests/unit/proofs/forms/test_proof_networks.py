"""Bounds of whole networks: no point outside, near the truth, and a rule that is changed is noticed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from icudl.errors import StageError
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.options import (
    GruOptions,
    GruSummaryOptions,
    LstmOptions,
    LstmSummaryOptions,
    ModelOptions,
    SummaryOptions,
    TransformerOptions,
)
from icudl.models.rescaled import RescaledClassifier
from icudl.proofs.forms import cells
from icudl.proofs.forms.affine import AffineForm
from icudl.proofs.forms.attention import Attention, WeightedSum
from icudl.proofs.forms.networks import Passes, make_network
from icudl.proofs.options import unprovable
from proof_cases import LENGTHS, ROWS, band_of, charted, make_model, moving, window_model, wrong_points

SMALL: dict[str, Any] = {"hidden_size": 5, "fc_size": 4}
READOUTS = ("last_hour", "final", "mean", "max", "attention")


def cases() -> list[ModelOptions]:
    """Both cells with every read-out, in one and two directions and layers, with each activation in turn."""
    found: list[ModelOptions] = []
    activations = ("relu", "tanh", "gelu", "identity")
    for kind in (LstmOptions, GruOptions):
        for readout in ("last_hour", "final", "mean", "max", "attention"):
            for number, (both, layers) in enumerate(((True, 1), (False, 1), (True, 2))):
                found.append(
                    kind(
                        **SMALL,
                        readout=readout,
                        bidirectional=both,
                        n_layers=layers,
                        activation=activations[number],
                        fc_activation=activations[3 - number],
                    )
                )
    return found


@pytest.mark.parametrize(
    "options", cases(), ids=lambda each: f"{each.name}-{each.readout}-{each.bidirectional}-{each.n_layers}"
)
def test_no_point_lies_outside(options: ModelOptions) -> None:
    model = make_model(options)
    features, passes = moving(0.5)
    assert wrong_points(model, band_of(model, features, passes), passes, 21) == 0


@pytest.mark.parametrize("kind", [LstmOptions, GruOptions])
def test_bounds_are_near_the_truth(kind: type[LstmOptions]) -> None:
    model = make_model(kind(**SMALL))
    features, passes = moving(0.05)
    band = band_of(model, features, passes)
    at = torch.tensor([-1.0, 1.0]).double()
    for number, row in enumerate(ROWS.tolist()):
        inputs = passes.track.centre[number] + at[:, None, None] * passes.track.slope[number, 0]
        with torch.no_grad():
            logits = model(inputs.float(), LENGTHS[row].expand(2)).double()
        true = logits[1, 1] - logits[1, 0] - logits[0, 1] + logits[0, 0]
        assert float((2 * band.slope[number, 0] - true).abs()) <= 0.05 * float(true.abs()) + 1e-3
        assert float(band.rest[number]) < 0.05 * float(true.abs()) + 1e-3


def test_few_unknowns_are_sound_and_looser() -> None:
    model = make_model(LstmOptions(hidden_size=3, fc_size=0, readout="final"))
    features, passes = moving(0.3)
    few, many = (band_of(model, features, passes, terms) for terms in (8, 100))
    assert wrong_points(model, few, passes) == 0
    assert float(few.rest.sum()) > float(many.rest.sum())


def test_an_ensemble_is_bounded() -> None:
    model = make_model(LstmOptions(**SMALL, ensemble_size=3))
    features, passes = moving(0.3)
    assert wrong_points(model, band_of(model, features, passes), passes) == 0


def test_networks_on_another_scale_are_bounded() -> None:
    options = LstmOptions(**SMALL)
    parts = []
    for seed in range(2):
        part = RescaledClassifier(options, make_model(options, seed=seed))
        part.gain.fill_(1.3 - seed)
        part.bias.fill_(0.2)
        part.low.fill_(0.3)
        part.high.fill_(0.8)
        parts.append(part)
    model = EnsembleClassifier(options, parts).eval()
    features, passes = moving(0.4)
    assert wrong_points(model, band_of(model, features, passes), passes) == 0


def test_what_cancels_when_inputs_are_rescaled_is_rounding() -> None:
    options = LstmOptions(hidden_size=3, fc_size=0, activation="identity", bidirectional=False)
    model = RescaledClassifier(options, make_model(options)).eval()
    model.gain.fill_(33333.3)
    model.bias.fill_(-15000.0)
    features, passes = moving(0.0)
    features = 0.45 + 3e-5 * (features - 0.5)
    track = dataclasses.replace(passes.track, centre=features[passes.rows].double())
    passes = passes._replace(track=track)
    assert wrong_points(model, band_of(model, features, passes), passes, 1) == 0


def test_the_stays_of_a_batch_do_not_matter() -> None:
    model = make_model(GruOptions(**SMALL))
    features, passes = moving(0.3)
    whole = band_of(model, features, passes)
    first = Passes(passes.rows[:1], passes.track.select(torch.tensor([0])), passes.reached[:1])
    alone = band_of(model, features, first)
    assert torch.allclose(whole.rest[:1], alone.rest, rtol=1e-9)


WINDOWS: dict[str, ModelOptions] = {
    "summary": SummaryOptions(),
    "lstm": LstmSummaryOptions(**SMALL, readout="attention", summary_share=0.7),
    "ensemble of gru": GruSummaryOptions(**SMALL, ensemble_size=2),
}


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("name", WINDOWS)
def test_no_point_lies_outside_with_window_summaries(name: str, observed: bool) -> None:
    model = window_model(WINDOWS[name], observed=observed)
    rests = []
    for half in (0.02, 0.5):
        features, passes = moving(half)
        if observed:
            features, passes = charted(features, passes)
        band = band_of(model, features, passes)
        assert wrong_points(model, band, passes, 41) == 0
        rests.append(float(band.rest.sum()))
    assert rests[0] < 0.3 * rests[1]


def test_what_cannot_be_proved_is_said() -> None:
    assert "Nothing can be proved about" in unprovable(ModelOptions(name="transformer"))
    assert unprovable(LstmSummaryOptions()) == ""


def test_a_network_that_cannot_be_proved_is_refused() -> None:
    with pytest.raises(StageError, match="'transformer'"):
        make_network(make_model(TransformerOptions(hidden_size=4)), 8)


def _dropped(rule: Callable[..., Any]) -> Callable[..., Any]:
    """The relaxation without its error."""

    def changed(lower: torch.Tensor, upper: torch.Tensor) -> Any:
        line = rule(lower, upper)
        return line._replace(error=torch.zeros_like(line.error))

    return changed


def _forgetful(form: AffineForm) -> AffineForm:
    """``shared`` that forgets what was a component's own."""
    return dataclasses.replace(SHARED(form), terms=torch.nn.functional.pad(form.terms, (0, 0, 0, form.own.shape[1])))


SHARED = AffineForm.shared


@pytest.mark.parametrize("kind", [LstmOptions, GruOptions])
@pytest.mark.parametrize("rule", ["sigmoid", "tanh", "shared"])
def test_a_changed_rule_is_noticed(monkeypatch: pytest.MonkeyPatch, kind: type[LstmOptions], rule: str) -> None:
    # One unit, so that no other error covers for the one that is missing.
    options = kind(hidden_size=1, fc_size=0, activation="identity", bidirectional=False)
    models = [make_model(options, scale=6.0, seed=seed) for seed in range(4)]
    features, passes = moving(3.0)
    assert sum(wrong_points(model, band_of(model, features, passes, 100), passes) for model in models) == 0
    if rule == "shared":
        monkeypatch.setattr(AffineForm, "shared", _forgetful)
    else:
        monkeypatch.setattr(cells, rule, _dropped(getattr(cells, rule)))
    assert sum(wrong_points(model, band_of(model, features, passes, 100), passes) for model in models) > 0


def test_a_changed_rule_of_attention_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    options = LstmOptions(hidden_size=1, fc_size=0, activation="identity", bidirectional=False, readout="attention")
    models = [make_model(options, scale=6.0, seed=seed) for seed in range(4)]
    features, passes = moving(3.0)
    assert sum(wrong_points(model, band_of(model, features, passes, 100), passes) for model in models) == 0

    def certain(self: Attention, *arguments: Any) -> WeightedSum:
        return LINE(self, *arguments)._replace(error=torch.zeros(()))

    monkeypatch.setattr(Attention, "line", certain)
    assert sum(wrong_points(model, band_of(model, features, passes, 100), passes) for model in models) > 0


LINE = Attention.line
