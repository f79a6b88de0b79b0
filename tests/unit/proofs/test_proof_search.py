"""Branch and bound: what is called proven holds at random points, what is said to flip flips, nothing is left."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
import torch

from attack_cases import make_checkpoint
from icudl.artifacts import Checkpoint
from icudl.attacks.methods.sweep import SweepAttack
from icudl.attacks.options import SweepOptions
from icudl.attacks.run.shards import ShardJobs, bind_shard, divide
from icudl.attacks.target.verification import score
from icudl.models.base import SequenceClassifier
from icudl.models.build import load_model
from icudl.models.options import GruOptions, LstmOptions
from icudl.preprocessing.scaling import InputOptions, static_columns
from icudl.proofs.forms.groups import Groups
from icudl.proofs.forms.nearby import Nearby
from icudl.proofs.forms.networks import make_network
from icudl.proofs.forms.passes import Track
from icudl.proofs.forms.search import NEAR, Search, _parts
from icudl.proofs.forms.values import NetworkValues
from icudl.proofs.pieces import Found, Verdict
from training_grids import make_grid

EVERY_INPUT = InputOptions(
    channels=("value", "observed", "hours_since"), statics=("age_years",), scaling="standard", imputation="forward"
)
CASES: dict[str, tuple[str, Any, InputOptions]] = {
    "grid": ("grid", LstmOptions(hidden_size=5, fc_size=4), InputOptions()),
    "measured": ("measured", LstmOptions(hidden_size=5, fc_size=4), InputOptions()),
    "every input": ("measured", GruOptions(hidden_size=5, fc_size=4, readout="mean"), EVERY_INPUT),
}


@functools.cache
def searched(
    case: str, *, width: float = 0.01, budget: int = 1000, n_stays: int = 6
) -> tuple[NetworkValues, SequenceClassifier, Found]:
    """The values of some test stays, and what is proved of them."""
    threat, options, inputs = CASES[case]
    grid = make_grid(40)
    checkpoint = make_checkpoint(grid, "final", options, inputs)
    return search_in(grid, checkpoint, threat, width=width, budget=budget, n_stays=n_stays)


def search_in(
    grid: Any, checkpoint: Checkpoint, threat: str, *, width: float, budget: int, n_stays: int
) -> tuple[NetworkValues, SequenceClassifier, Found]:
    statics = {"final": static_columns(grid, InputOptions.from_dict(checkpoint.inputs))}
    shard = ShardJobs(grid, divide(grid, np.flatnonzero(grid.is_test)[:n_stays], 99), statics, 0)[0]
    model = load_model(checkpoint, "cpu")
    target = bind_shard(checkpoint, model, shard, threat, (), "cpu")
    values = NetworkValues.of(target, score(model, target, target.values).says_death)
    network = make_network(model, 8).prepare(Track.exact(values.features), target.lengths)
    return values, model, Search(model, network, values, width, budget).run()


@pytest.mark.parametrize("case", CASES)
def test_proofs_hold_at_random_points(case: str) -> None:
    values, model, found = searched(case)
    pieces = found.pieces
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for verdict in (Verdict.HOLDS, Verdict.FLIPS):
        part = pieces.where(pieces.verdict == verdict)
        which = torch.randint(len(part.value), (3000,), generator=generator)
        share = torch.rand(3000, generator=generator, dtype=torch.float64)
        at = part.low[which] + share * (part.high - part.low)[which]
        lead = values.margins(model, part.value[which], at)
        # The bounds are those of the margin itself, on the right side of 0.
        bound = part.bound[which]
        if verdict is Verdict.HOLDS:
            assert bool((bound > 0).all())
            assert bool((lead >= bound).all())
        else:
            assert bool((bound < 0).all())
            assert bool((lead <= bound).all())
        seen.add(verdict)
    assert len(seen) == 2


@pytest.mark.parametrize("case", CASES)
def test_pieces_cover_every_range_and_edges_are_narrow(case: str) -> None:
    values, _, found = searched(case)
    pieces = found.pieces
    n_values = values.cell.shape[1]
    for value in range(n_values):
        own = pieces.where(pieces.value == value)
        assert float(own.low[0]) == float(values.lower[value])
        assert float(own.high[-1]) == float(values.upper[value])
        assert own.low[1:].tolist() == own.high[:-1].tolist()
    edges = pieces.where(pieces.verdict == Verdict.EDGE)
    assert len(edges.value) > 0
    assert float((edges.high - edges.low).max()) <= 0.01 * (1 + 1e-9)
    assert int((pieces.verdict == Verdict.OPEN).sum()) == 0


def test_witnesses_are_those_of_a_brute_force_grid() -> None:
    values, model, found = searched("measured")
    shares = torch.linspace(0, 1, 401, dtype=torch.float64)
    flippable = []
    for value in range(values.cell.shape[1]):
        at = values.lower[value] * (1 - shares) + values.upper[value] * shares
        flippable.append(bool((values.margins(model, torch.full((401,), value), at) < 0).any()))
    assert (~found.witness.isnan()).tolist() == flippable
    which = (~found.witness.isnan()).nonzero()[:, 0]
    assert values.verified(model, which, found.witness[which]).holds.all()


def test_the_sweep_and_the_proof_agree_about_the_same_set() -> None:
    values, _, found = searched("measured")
    swept = SweepAttack(SweepOptions(sweep_points=65))(values.target, [0] * len(values.features)).tables
    assert swept["sweep"]["entries"].tolist() == torch.bincount(values.stay, minlength=len(values.features)).tolist()
    flips = swept["sweep_flips"]
    swept_cells = set(zip(*(flips[name].tolist() for name in ("stay", "hour", "variable")), strict=True))
    which = (~found.witness.isnan()).nonzero()[:, 0]
    assert swept_cells == {tuple(cell) for cell in values.cell[:, which].T.tolist()}


def test_a_spent_budget_leaves_values_undecided() -> None:
    values, _, found = searched("grid", budget=3)
    spent = torch.bincount(values.stay, weights=found.boxes.double(), minlength=len(values.features))
    assert float(spent.max()) <= 3
    assert int((found.pieces.verdict == Verdict.OPEN).sum()) > 0


def test_a_narrow_flip_between_the_points_that_are_tried_is_found_or_left_open() -> None:
    # The class turns within a hundredth of the range only: nine equally spaced points miss it.
    values, model, found = searched("grid", n_stays=2)
    lead = values.margins(model, found.pieces.value, (found.pieces.low + found.pieces.high) / 2)
    shift = float(lead[found.pieces.verdict == Verdict.HOLDS].min())
    # The margin of the nearest proven piece is taken from every margin, so that its least point lies just below 0.
    target = dataclasses.replace(values.target, shift=values.target.shift + float(values.sign[0]) * (shift + 1e-3))
    moved = dataclasses.replace(values, target=target)
    network = make_network(model, 8).prepare(Track.exact(values.features), target.lengths)
    again = Search(model, network, moved, 0.01, 1000).run()
    holds = again.pieces.where(again.pieces.verdict == Verdict.HOLDS)
    middle = moved.margins(model, holds.value, (holds.low + holds.high) / 2)
    assert bool((middle > 0).all())


@pytest.mark.parametrize(
    "points",
    [pytest.param(100_000, marks=pytest.mark.slow), pytest.param(10_000_000, marks=pytest.mark.exhaustive)],
)
def test_no_random_point_of_a_proven_piece_flips(points: int) -> None:
    share_of = points // len(CASES)
    for case in CASES:
        values, model, found = searched(case)
        holds = found.pieces.where(found.pieces.verdict == Verdict.HOLDS)
        generator = torch.Generator().manual_seed(3)
        for start in range(0, share_of, 50_000):
            count = min(50_000, share_of - start)
            which = torch.randint(len(holds.value), (count,), generator=generator)
            share = torch.rand(count, generator=generator, dtype=torch.float64)
            at = holds.low[which] + share * (holds.high - holds.low)[which]
            assert float(values.margins(model, holds.value[which], at).min()) > 0


@pytest.mark.parametrize("case", CASES)
def test_groups_bound_each_of_their_values(case: str) -> None:
    values, model, _ = searched(case, n_stays=4)
    network = make_network(model, 8).prepare(Track.exact(values.features), values.target.lengths)
    search = Search(model, network, values, 0.01, 1000)
    queue, _, _ = search._tried(torch.arange(len(values.lower)))
    groups = Groups(network, values)
    queue = queue.where(~queue.flipped & (queue.low <= values.charted[queue.value]))
    queue = queue.where(values.charted[queue.value] <= queue.high)
    one_stay = torch.stack(
        [
            torch.nn.functional.pad((values.stay[queue.value] == stay).nonzero()[:4, 0], (0, 4), value=-1)[:4]
            for stay in range(4)
        ]
    )
    one_stay = one_stay[one_stay[:, 0] >= 0]
    found = groups.bounds(queue, one_stay)
    checked = 0
    for row, group in enumerate(one_stay.tolist()):
        for column, place in enumerate(group):
            if place < 0:
                continue
            at = queue.low[place] + torch.linspace(0, 1, 101, dtype=torch.float64) * (queue.high - queue.low)[place]
            lead = values.margins(model, queue.value[place].expand(101), at)
            assert bool((lead >= found[row, column]).all())
            checked += 1
    assert checked >= 4
    assert float(found[one_stay >= 0].isfinite().double().mean()) == 1.0


@pytest.mark.parametrize("most", [2, *(pytest.param(most, marks=pytest.mark.slow) for most in (1, 0))])
@pytest.mark.parametrize("case", CASES)
def test_small_errors_of_several_values_stay_within_their_bound(case: str, most: int) -> None:
    values, model, _ = searched(case, n_stays=3)
    network = make_network(model, 8).prepare(Track.exact(values.features), values.target.lengths)
    generator = torch.Generator().manual_seed(most)
    for stay in range(3):
        which = (values.stay == stay).nonzero()[:, 0]
        for within in (0.05, 0.3):
            least = Nearby(network, values).least(stay, most, within)
            count = most or len(which)
            chosen = values.target.select(torch.full((200,), stay))
            moved = chosen.values.clone()
            for row in range(200):
                some = which[torch.randperm(len(which), generator=generator)[:count]]
                _, hour, variable = values.cell[:, some]
                change = within * (2 * torch.rand(len(some), generator=generator) - 1).sign()
                moved[row, hour, variable] += change.to(moved)
            moved = torch.minimum(torch.maximum(moved, chosen.lower), chosen.upper)
            lead = values.sign[stay] * (score(model, chosen, moved).difference - chosen.shift)
            assert float(lead.min()) >= least
        assert Nearby(network, values).least(stay, most, 0.0) > -1e-2 + float(
            values.margins(model, which[:1], values.charted[which[:1]])
        )


def test_stays_without_values_are_nothing_to_search() -> None:
    values, model, _ = searched("measured", n_stays=2)
    empty = dataclasses.replace(values, cell=values.cell[:, :0], lower=values.lower[:0], upper=values.upper[:0])
    network = make_network(model, 8).prepare(Track.exact(values.features), values.target.lengths)
    found = Search(model, network, empty, 0.01, 10).run()
    assert len(found.pieces.value) == 0


def test_noise_says_into_how_many_parts_a_piece_is_cut() -> None:
    nan, inf = torch.nan, torch.inf
    # Least lead, noise, width of the piece, parts: noise in k parts is k^2 times smaller.
    cases = [
        (-0.1, 0.5, 1.0, 2),
        (-1.0, 1.5, 0.1, 3),
        (-9.5, 10.0, 1.0, 6),
        (-100.0, 100.1, 1.0, 8),
        # Where noise is not what keeps it open, or no number, wide pieces are cut more.
        (-1.0, 0.5, 2 * NEAR, 5),
        (-1.0, 0.5, NEAR, 3),
        (-1.0, 1.0, NEAR, 3),
        (-inf, inf, 2 * NEAR, 5),
        (nan, nan, NEAR, 3),
    ]
    lead, rest, width, parts = zip(*cases, strict=True)
    numbers = (torch.tensor(array, dtype=torch.float64) for array in (lead, rest, width))
    assert _parts(*numbers).tolist() == list(parts)
