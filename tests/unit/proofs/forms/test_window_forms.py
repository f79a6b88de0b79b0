"""Window summaries as affine forms: no encoded summary outside its form, and a rule that is changed is noticed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from icudl.models.options import SummaryOptions
from icudl.models.summaries import SummaryClassifier
from icudl.proofs.forms import windows
from icudl.proofs.forms.affine import AffineForm, Freedom
from icudl.proofs.forms.norms import chord_of_norm, tangent_of_norm
from icudl.proofs.forms.windows import Windows, encode
from proof_cases import LENGTHS, charted, moving, window_model


def encoded_outside(half: float, *, observed: bool) -> int:
    """How many encoded summaries, at 41 points of each of five passes, lie outside their forms."""
    model = window_model(SummaryOptions(), observed=observed)
    assert isinstance(model, SummaryClassifier)
    features, passes = moving(half)
    if observed:
        features, passes = charted(features, passes)
    network, track, lengths = Windows.of(model.wide), passes.track, LENGTHS[passes.rows]
    inside = (torch.arange(track.centre.shape[1]) < lengths[:, None])[:, :, None]
    always = torch.ones_like(track.centre[..., :1])
    counted = (torch.cat([track.centre, always], dim=2)[:, :, network.columns.charted_by] > 0.5) & inside
    form = encode(network.columns, track, counted)
    places = network.rows_of(torch.arange(len(network.columns.place)))
    wrong = 0
    for at in torch.linspace(-1, 1, 41, dtype=torch.float64).tolist():
        inputs = track.centre + at * track.slope[:, 0]
        true = model.wide.encoding((inputs * inside).float(), lengths)[:, places].double()
        wrong += int(((true - form.centre - at * form.terms[:, 0]).abs() > form.own).sum())
    return wrong


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("half", [0.01, 0.3, 2.0])
def test_no_encoded_summary_lies_outside(half: float, observed: bool) -> None:
    assert encoded_outside(half, observed=observed) == 0


@pytest.mark.parametrize("rule", ["relu", "clamp", "chord_of_norm"])
def test_a_changed_rule_of_summaries_is_noticed(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    real = getattr(windows, rule)

    def wrong(*arguments: Any) -> Any:
        found = real(*arguments)
        name = "own" if isinstance(found, AffineForm) else "error"
        nothing = torch.zeros_like(getattr(found, name))
        return (
            dataclasses.replace(found, own=nothing) if isinstance(found, AffineForm) else found._replace(error=nothing)
        )

    monkeypatch.setattr(windows, rule, wrong)
    assert encoded_outside(0.3, observed=False) > 0


def _bare(norm: Callable[..., AffineForm]) -> Callable[..., AffineForm]:
    """The rule without its error."""
    return lambda *arguments: dataclasses.replace(norm(*arguments), own=torch.zeros_like(norm(*arguments).own))


def test_a_changed_rule_of_the_norm_is_noticed() -> None:
    generator = torch.Generator().manual_seed(0)
    rest = torch.randn(3, 6, 2, generator=generator, dtype=torch.float64)
    moves = 3 * torch.randn(3, 2, 6, 2, generator=generator, dtype=torch.float64)
    least = torch.full((3, 2), 1e-6, dtype=torch.float64)
    shares = torch.linspace(0, 1, 41, dtype=torch.float64)
    alone = Freedom(2, 1, one_sided=True)
    both = Freedom(2, 2)
    rules = {
        "chord": (chord_of_norm, alone, [(e, 0.0) for e in shares] + [(0.0, e) for e in shares]),
        "tangent": (tangent_of_norm, both, [(2 * e - 1, 2 * f - 1) for e in shares[::4] for f in shares[::4]]),
        "single": (lambda a, b, c, d: chord_of_norm(a, b[:, :1], c, d), Freedom(), [(2 * e - 1, 0.0) for e in shares]),
    }
    for rule, freedom, points in rules.values():
        for changed in (False, True):
            form = (_bare(rule) if changed else rule)(rest, moves, least, freedom)
            wrong = 0
            for point in points:
                e = torch.tensor([float(each) for each in point], dtype=torch.float64)
                true = (((rest + (e[:, None, None] * moves).sum(dim=1)) ** 2).sum(dim=1) + least).sqrt()
                known = form.centre + (e[: freedom.values, None] * form.terms).sum(dim=1)
                wrong += int(((true - known).abs() > form.own).sum())
            assert (wrong > 0) == changed
