"""Prune, polish and shrink on margins that are written down."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from icudl.attacks import distances
from icudl.attacks.base import Perturbation
from icudl.attacks.pace import CHUNK
from icudl.attacks.refinement import (
    drop_together,
    keep_largest,
    leave_out,
    margins_of,
    polish,
    prune,
    refine,
    shrink,
)
from icudl.testing import LinearOracle


def rows(*stays: list[float]) -> Tensor:
    """Stays of one hour."""
    return torch.tensor(stays, dtype=torch.float64)[:, None, :]


def linear(weights: Tensor, margins: list[float]) -> LinearOracle:
    """Values 0, free between -1 and 1."""
    zeros, ones = torch.zeros_like(weights), torch.ones_like(weights)
    return LinearOracle(zeros, -ones, ones, ones.bool(), weights, torch.tensor(margins, dtype=torch.float64))


@dataclasses.dataclass(frozen=True, eq=False)
class Bent(LinearOracle):
    """A margin that falls with a power of the largest fall of a cell: of two cells one is as good as both."""

    power: float = 1.0

    def margin(self, values: Tensor) -> Tensor:
        return self.bias - (self.weights * -values).amax(dim=(1, 2)).clamp(min=0.0) ** self.power


def bent(weights: Tensor, margins: list[float], power: float) -> Bent:
    return Bent(**vars(linear(weights, margins)), power=power)


def test_the_fewest_largest_changes_that_suffice() -> None:
    fall = [-0.5, -0.25, -0.125, -0.0625, -0.03125]
    change = rows(fall, fall[::-1], fall, fall, fall)
    margins = [0.7, 0.7, 0.75, 0.95, 0.4]  # 0.75 is just what the two largest take off, and not below 0
    kept = keep_largest(linear(torch.ones_like(change), margins), change)
    assert kept[0, 0].tolist() == [-0.5, -0.25, 0, 0, 0]
    assert kept[1, 0].tolist() == [0, 0, 0, -0.25, -0.5]
    assert distances.l0(kept).tolist() == [2, 2, 3, 5, 1]
    confident = keep_largest(linear(torch.ones_like(change), margins).with_confidence(0.125), change)
    assert distances.l0(confident).tolist() == [3, 3, 4, 5, 2]


def test_one_change_can_suffice() -> None:
    change = rows([-0.5, -0.25, -0.125])
    assert keep_largest(linear(torch.ones_like(change), [0.4]), change)[0, 0].tolist() == [-0.5, 0, 0]


def test_of_equal_changes_the_first_are_kept() -> None:
    change = torch.full((1, 1, 40), -0.25, dtype=torch.float64)
    kept = keep_largest(linear(torch.ones_like(change), [1.1]), change)
    assert kept[0, 0].nonzero().flatten().tolist() == [0, 1, 2, 3, 4]


def test_as_many_cells_go_as_their_effects_add_up_to() -> None:
    current, now = rows([-1, -1, -1, -1, -1]), torch.tensor([-0.75], dtype=torch.float64)
    # Left out, the cells raise the margin by 1, 1/4, 1/8, 1/4 and nothing: the last lowers it, which counts as nothing.
    alone = torch.tensor([[0.25, -0.5, -0.625, -0.5, -0.8]], dtype=torch.float64)
    assert drop_together(current, alone, now)[0, 0].tolist() == [-1, 0, 0, 0, 0]
    # With margins higher by a confidence of 1/8 the same cells would bring the margin to 0 and no further.
    assert drop_together(current, alone + 0.125, now + 0.125)[0, 0].tolist() == [-1, 0, 0, -1, 0]
    assert drop_together(current, alone + 0.75, now + 0.75)[0, 0].tolist() == [-1, -1, -1, -1, 0], "one goes always"


def test_no_cell_of_a_pruned_example_can_go() -> None:
    change = rows([-0.25, -0.5, -1.0, 0.0], [-0.25, -0.5, -1.0, 0.0])
    # Gains of 2, 1/2 and 1: the first alone takes off 1.875; 2.875 takes all but the second.
    oracle = linear(rows([8, 1, 1, 1], [8, 1, 1, 1]), [1.875, 2.875])
    assert prune(oracle, change)[:, 0].tolist() == [[-0.25, 0, 0, 0], [-0.25, 0, -1, 0]]
    # With a cell less each would have just the confidence that was asked for.
    assert prune(oracle.with_confidence(0.125), change)[:, 0].tolist() == [[-0.25, 0, -1, 0], [-0.25, -0.5, -1, 0]]


def test_of_cells_that_stand_for_each_other_one_is_left() -> None:
    """Each of them can go without effect, all of them cannot: what adds up in a linear margin does not here."""
    change = rows([-0.5, -0.5, -0.5], [-0.25, -0.75, -0.5])
    left = leave_out(bent(torch.ones_like(change), [0.4, 0.4], 1.0), change)
    assert left[:, 0].tolist() == [[0, 0, -0.5], [0, -0.75, 0]]
    # Without any of them the margin is 0.4: further from -0.45 than from 0.45. A stay can be alone in its batch, too.
    sure = leave_out(bent(rows([1, 1]), [0.4], 1.0).with_confidence(0.45), rows([-1.0, -1.0]))
    assert sure[0, 0].tolist() == [0, -1.0]


@pytest.mark.parametrize("kappa", [0.0, 0.25])
@pytest.mark.parametrize(("power", "excess"), [(0.5, 0.05), (1.0, 5e-4), (3.0, 0.03)])
def test_an_example_shrinks_to_just_beyond_the_confidence(power: float, excess: float, kappa: float) -> None:
    change = rows([-1.0], [-0.75], [-0.9], [-1.0])
    target = bent(torch.ones_like(change), [0.3, 0.1, 0.45, 0.74], power)
    shrunk = shrink(target.with_confidence(kappa), change)
    assert (target.margin(shrunk) < -kappa).all()
    smallest = (target.bias + kappa) ** (1 / power)
    ratio = distances.linf(shrunk) / smallest
    assert ((ratio >= 1) & (ratio < 1 + excess)).all(), ratio
    assert (shrunk <= 0).all()


@pytest.mark.parametrize(
    ("weights", "margin", "before", "steps", "after"),
    [
        # Flipped, cells of efficiency 1 and 1/4 give up 0.1 x (1.1 - 1) and 0.1 x (1.1 - 1/4).
        ([4, 1], 1.5, [-0.5, -1.0], 2, [-0.49, -0.915]),
        ([0.4, 0.1], 0.15, [-0.5, -1.0], 2, [-0.49, -0.915]),
        ([-4, 1], 1.5, [0.5, -1.0], 2, [0.49, -0.915]),
        # That was too much: they gain 1 and 1/4 of the next step, 0.1 x 0.02 ** (1 / 2) = 0.0141421.
        ([4, 1], 2.9, [-0.5, -1.0], 3, [-0.5041421, -0.9185355]),
        # At its bound a cell gains nothing.
        ([4, 1], 4.4, [-1.0, -0.5], 3, [-1.0, -0.4185355]),
        # A cell that does harm goes down by no more than two steps, and to no less than nothing.
        ([4, -8], -0.1, [-0.5, -0.25], 2, [-0.49, -0.05]),
        ([4, -8], 0.9, [-0.5, -0.125], 2, [-0.49, 0.0]),
        # The first step is one too many: the example is left as it was.
        ([1, 1], 1.49, [-0.5, -1.0], 2, [-0.5, -1.0]),
    ],
)
def test_magnitude_moves_to_the_cells_that_do_most(
    weights: list[float], margin: float, before: list[float], steps: int, after: list[float]
) -> None:
    polished = polish(linear(rows(weights), [margin]), rows(before), steps)
    assert polished[0, 0].tolist() == pytest.approx(after, abs=1e-6)


def test_a_cell_that_rises_ends_at_its_upper_bound() -> None:
    oracle = linear(rows([-4, 1]), [1.9])
    oracle = dataclasses.replace(oracle, upper=oracle.upper / 4)
    polished = polish(oracle, rows([0.25, -1.0]), 3)
    assert polished[0, 0].tolist() == pytest.approx([0.25, -0.9185355], abs=1e-6)


def test_a_polished_example_keeps_its_confidence_and_its_cells() -> None:
    change = rows([-0.5, -1.0, 0.0], [-0.5, -1.0, 0.0])
    oracle = linear(rows([4, 1, 9], [4, 1, 9]), [1.5, 1.5])
    for kappa in (0.0, 1.25, 1.4):
        polished = polish(oracle.with_confidence(kappa), change)
        assert (oracle.margin(polished) < -kappa).all()
        assert ((polished != 0) == (change != 0)).all()
        assert (distances.l1(polished) < 1.5).all()


def test_more_candidates_than_fit_a_batch() -> None:
    oracle = LinearOracle.draw(3, 2, 2, seed=1)
    rows_of = torch.arange(2 * CHUNK + 7) % 3
    change = torch.rand(len(rows_of), 2, 2, dtype=torch.float64)
    expected = oracle.margin(oracle.values)[rows_of] + (oracle.weights[rows_of] * change).sum(dim=(1, 2))
    torch.testing.assert_close(margins_of(oracle, rows_of, change), expected)


def test_only_the_best_examples_of_flipped_stays_are_refined() -> None:
    change = rows([-0.5, -1.0], [0.0, 0.0], [-1.0, -0.5])
    oracle = linear(rows([4, 1], [4, 1], [4, 1]), [1.5, 9.0, 3.5])
    iterations = torch.tensor([3, -1, 5])
    found = Perturbation(change.clone(), change.clone(), iterations, iterations.clone())
    refined = refine(oracle, found, (prune, shrink))
    assert torch.equal(refined.first, change)
    assert refined.best[:, 0].tolist() == [pytest.approx([-0.375, 0]), [0, 0], pytest.approx([-0.875, 0])]
    assert torch.equal(refined.best_iteration, iterations)
    nothing = Perturbation.nothing(change)
    assert refine(oracle, nothing, (prune,)) is nothing
