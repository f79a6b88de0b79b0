"""Proofs of networks that read records in parts: right at random points, and at one with a grid and with the sweep."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest
import torch

from icudl.attacks.methods.sweep import SweepAttack
from icudl.attacks.options import SweepOptions
from icudl.models.options import GruOptions, LstmOptions, LstmSummaryOptions, SummaryOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.proofs.forms.search import POINTS
from icudl.proofs.forms.values import NetworkValues
from icudl.proofs.options import CertifyOptions, unprovable
from icudl.proofs.parts import search
from icudl.proofs.parts.rule import Others
from icudl.proofs.pieces import Found, Pieces, Verdict
from parts_cases import INPUTS, PartsCase, parts_case

EVERY_INPUT = dataclasses.replace(INPUTS, channels=("value", "observed", "hours_since"), imputation="forward")
CASES: dict[str, tuple[Any, InputOptions]] = {
    "whole and parts": (SummaryOptions(parts=3, parts_limit=0.1), INPUTS),
    "parts alone": (SummaryOptions(parts=3, parts_limit=0.0), EVERY_INPUT),
    "wide limit": (LstmOptions(hidden_size=4, fc_size=3, parts=3, parts_limit=0.3), InputOptions()),
    "five parts": (GruOptions(hidden_size=3, fc_size=0, readout="mean", parts=5, parts_limit=0.05), EVERY_INPUT),
}


@functools.cache
def made(name: str) -> PartsCase:
    return parts_case(*CASES[name], seed=2 if name == "parts alone" else 0)


@functools.cache
def proved(name: str) -> Found:
    return made(name).proved()


def worst_lead(case: PartsCase, pieces: Pieces, count: int = 1500) -> float:
    """By how much random points of pieces that are decided lie on the wrong side of their bounds; at most 0."""
    generator = torch.Generator().manual_seed(0)
    which = torch.randint(len(pieces.value), (count,), generator=generator)
    share = torch.rand(count, generator=generator, dtype=torch.float64)
    at = pieces.low[which] + share * (pieces.high - pieces.low)[which]
    lead = case.margins(pieces.value[which], at)
    side = torch.where(pieces.verdict[which] == Verdict.HOLDS, 1.0, -1.0)
    bound = side * pieces.bound[which]
    assert bool((bound > 0).all())
    return float((bound - side * lead).max())


@pytest.mark.parametrize("name", CASES)
def test_proofs_hold_at_random_points_within_the_limits_and_beyond(name: str) -> None:
    case, pieces = made(name), proved(name).pieces
    decided = (pieces.verdict == Verdict.HOLDS) | (pieces.verdict == Verdict.FLIPS)
    inside = (pieces.high > 0) & (pieces.low < 1)
    for chosen in (decided & inside, decided & ((pieces.high > 1) | (pieces.low < 0))):
        assert worst_lead(case, pieces.where(chosen)) <= 0
    assert {Verdict.HOLDS, Verdict.FLIPS} <= set(pieces.verdict.tolist())


@pytest.mark.parametrize("name", CASES)
def test_pieces_cover_every_range(name: str) -> None:
    values, pieces = made(name).values, proved(name).pieces
    for value in range(values.cell.shape[1]):
        own = pieces.where(pieces.value == value)
        assert (float(own.low[0]), float(own.high[-1])) == (float(values.lower[value]), float(values.upper[value]))
        assert own.low[1:].tolist() == own.high[:-1].tolist()
    edges = pieces.where(pieces.verdict == Verdict.EDGE)
    assert len(edges.value) > 0
    assert float((edges.high - edges.low).max()) <= 0.01 * (1 + 1e-9)


@pytest.mark.parametrize("name", ["whole and parts", "parts alone"])
def test_witnesses_are_those_of_a_brute_force_grid(name: str) -> None:
    case, found = made(name), proved(name)
    values = case.values
    shares = torch.linspace(0, 1, 301, dtype=torch.float64)
    lower, upper = values.lower.clamp(0, 1), values.upper.clamp(0, 1)
    at = lower[:, None] * (1 - shares) + upper[:, None] * shares
    at = at.clamp(values.lower[:, None], values.upper[:, None])
    margins = case.margins(torch.arange(len(at)).repeat_interleave(301), at.flatten()).view(at.shape)
    assert (~found.witness.isnan()).tolist() == (margins < 0).any(dim=1).tolist()
    which = (~found.witness.isnan()).nonzero()[:, 0]
    assert len(which) > 2
    assert values.verified(case.model, which, found.witness[which]).holds.all()


def test_the_sweep_and_the_proof_agree_about_the_same_set() -> None:
    case, found = made("whole and parts"), proved("whole and parts")
    values = case.values
    stays = len(values.target.rows)
    swept = SweepAttack(SweepOptions(sweep_points=129))(values.target, [0] * stays).tables
    assert swept["sweep"]["entries"].tolist() == torch.bincount(values.stay, minlength=stays).tolist()
    flips = swept["sweep_flips"]
    cells = set(zip(*(flips[name].tolist() for name in ("stay", "hour", "variable")), strict=True))
    which = (~found.witness.isnan()).nonzero()[:, 0]
    assert cells == {tuple(cell) for cell in values.cell[:, which].T.tolist()}


def test_a_range_whose_points_all_flip_does_not_flip_for_that() -> None:
    # Of value 1 the score is highest between two of the points that are tried; the threshold lies just below.
    case, highest = made("wide limit"), torch.tensor([0.65]).double()
    values, which = case.values, torch.tensor([1])
    points = highest + 0.6 * (torch.linspace(0, 1, POINTS).double() - 7 / 16)
    margins = case.margins(which.expand(POINTS), points)
    below = (float(margins.max()) + float(case.margins(which, highest))) / 2
    shift = values.target.shift + float(values.target.sign[values.stay[which]]) * below
    target = dataclasses.replace(values.target, shift=shift)
    values = dataclasses.replace(values, target=target, cell=values.cell[:, which], lower=points[:1], upper=points[-1:])
    checkpoint = dataclasses.replace(case.checkpoint, threshold=float(torch.sigmoid(torch.tensor(shift).double())))
    case = case._replace(values=values, checkpoint=checkpoint)
    assert bool((case.margins(torch.zeros(POINTS, dtype=torch.int64), points) < 0).all())
    assert float(case.margins(torch.zeros(1, dtype=torch.int64), highest)) > 0
    pieces = case.proved().pieces
    around = (pieces.low <= highest) & (highest <= pieces.high)
    assert int(Verdict.FLIPS) not in pieces.verdict[around].tolist()


def test_what_is_outvoted_takes_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    case = made("parts alone")
    outvoted = proved("parts alone").boxes == 0
    assert 0 < int(outvoted.sum()) < len(outvoted)
    monkeypatch.setattr(NetworkValues, "passes", None)
    with pytest.raises(TypeError):
        case.proved()
    held = case._replace(values=_only(case, outvoted)).proved()
    assert set(held.pieces.verdict.tolist()) == {int(Verdict.HOLDS)}


def _only(case: PartsCase, chosen: torch.Tensor) -> Any:
    values = case.values
    limits = values.lower[chosen], values.upper[chosen]
    return dataclasses.replace(values, cell=values.cell[:, chosen], lower=limits[0], upper=limits[1])


def _wrong_part(others: Any, of_parts: torch.Tensor, part: torch.Tensor, *rest: Any) -> Others:
    return others(of_parts, (part + 1) % len(of_parts), *rest)


def _no_limit(others: Any, of_parts: torch.Tensor, part: torch.Tensor, stay: torch.Tensor, *rest: Any) -> Others:
    return others(of_parts, part, stay, 0.0, rest[-1])


def _wrong_order(others: Any, *arguments: Any) -> Others:
    found = others(*arguments)
    return dataclasses.replace(found, low=found.high)


@pytest.mark.parametrize("change", [_wrong_part, _no_limit, _wrong_order])
def test_a_changed_vote_is_noticed(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case = made("whole and parts")
    monkeypatch.setattr(search.Others, "of", functools.partial(change, Others.of))
    pieces = case.proved(CertifyOptions(boxes=100)).pieces
    assert worst_lead(case, pieces.where(pieces.verdict == Verdict.HOLDS)) > 0


def test_values_that_no_network_reads_change_nothing() -> None:
    case = parts_case(SummaryOptions(parts=3), dataclasses.replace(INPUTS, channels=("observed",)))
    pieces = case.proved().pieces
    assert set(pieces.verdict.tolist()) == {int(Verdict.HOLDS)}
    assert worst_lead(case, pieces, 50) <= 0


def test_a_spent_budget_leaves_values_undecided() -> None:
    found = made("whole and parts").proved(CertifyOptions(boxes=1))
    values = made("whole and parts").values
    assert int(torch.bincount(values.stay, weights=found.boxes).max()) == 1
    assert int(Verdict.OPEN) in found.pieces.verdict.tolist()


def test_the_filled_in_grid_is_refused_and_charted_values_are_not() -> None:
    options = LstmSummaryOptions(parts=3)
    assert unprovable(options) == ""
    assert "reads no filled-in record" in unprovable(options, "grid")
