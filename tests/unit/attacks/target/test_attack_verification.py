"""The check of examples on a model whose logits are written down: one value a stay, the log odds of death."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from icudl.attacks.base import Perturbation
from icudl.attacks.target.verification import score, verify


class Identity(nn.Module):
    """Logits 0 and the only value of a stay."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        value = features[:, 0, 0]
        return torch.stack([torch.zeros_like(value), value], dim=1)


@dataclasses.dataclass
class Target:
    """Stays of one hour and one variable, all between -4 and 4."""

    values: Tensor
    attackable: Tensor
    shift: float = 0.0

    @property
    def lower(self) -> Tensor:
        return torch.full_like(self.values, -4)

    @property
    def upper(self) -> Tensor:
        return torch.full_like(self.values, 4)

    @property
    def lengths(self) -> Tensor:
        return torch.ones(len(self.values), dtype=torch.int64)

    def features(self, values: Tensor) -> Tensor:
        return values


def cells(*values: float) -> Tensor:
    return torch.tensor(values)[:, None, None]


def holding(before: float, change: float, *, kappa: float = 0.0, shift: float = 0.0, attackable: bool = True) -> bool:
    target = Target(cells(before), torch.full((1, 1, 1), attackable), shift)
    found = Perturbation(cells(change), cells(change), torch.tensor([3]), torch.tensor([3]))
    first, best = verify(Identity(), target, found, kappa)  # type: ignore[arg-type]
    assert first.holds.tolist() == best.holds.tolist()
    return bool(first.holds[0])


@pytest.mark.parametrize(
    ("before", "change", "kappa", "holds"),
    [
        (1.0, -2.0, 0.0, True),
        (1.0, -1.0, 0.0, False),  # the threshold itself still says death
        (-1.0, 1.0, 0.0, False),  # it does so without any margin
        (-1.0, 1.5, 0.0, True),
        (-1.0, 1.5, 0.5, False),  # exactly the confidence asked for is not more than it
        (-1.0, 1.75, 0.5, True),
        (1.0, -1.5, 0.5, False),
        (1.0, -1.75, 0.5, True),
        (1.0, 1.0, 0.0, False),
        (1.0, -5.0, 0.0, True),  # the bound itself may be reached
        (1.0, -5.5, 0.0, False),
        (-1.0, 5.0, 0.0, True),
        (-1.0, 5.5, 0.0, False),
    ],
)
def test_edges_of_threshold_confidence_and_bounds(before: float, change: float, kappa: float, holds: bool) -> None:
    assert holding(before, change, kappa=kappa) is holds


def test_the_decision_threshold_moves_the_edges() -> None:
    assert holding(0.75, -0.5, shift=0.5)
    assert not holding(0.75, -0.25, shift=0.5)
    assert not holding(0.75, -0.5)


def test_a_locked_cell_may_not_move_but_may_lie_anywhere() -> None:
    assert not holding(1.0, -2.0, attackable=False)
    target = Target(torch.tensor([[[1.0, 9.0]]]), torch.tensor([[[True, False]]]))
    change = torch.tensor([[[-2.0, 0.0]]])
    found = Perturbation(change, change, torch.tensor([0]), torch.tensor([0]))
    assert verify(Identity(), target, found, 0.0)[0].holds.tolist() == [True]  # type: ignore[arg-type]


@pytest.mark.parametrize("beyond", [[[-2.0, 4.5]], [[-2.0, -4.5]]])
def test_one_cell_beyond_its_bounds_is_enough(beyond: list[list[float]]) -> None:
    target = Target(torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1, 2, dtype=torch.bool))
    change = torch.tensor([beyond])
    found = Perturbation(change, change, torch.tensor([0]), torch.tensor([0]))
    assert verify(Identity(), target, found, 0.0)[0].holds.tolist() == [False]  # type: ignore[arg-type]


def test_one_locked_cell_that_moves_is_enough() -> None:
    target = Target(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[True, False]]]))
    change = torch.tensor([[[-2.0, 0.5]]])
    found = Perturbation(change, change, torch.tensor([0]), torch.tensor([0]))
    assert verify(Identity(), target, found, 0.0)[0].holds.tolist() == [False]  # type: ignore[arg-type]


def test_what_was_never_found_does_not_hold_and_one_example_stands_for_both() -> None:
    target = Target(cells(1.0, 1.0, 1.0), torch.ones(3, 1, 1, dtype=torch.bool))
    iterations = (torch.tensor([5, -1, 2]), torch.tensor([7, 4, 2]))
    found = Perturbation(cells(-2, -2, -0.5), cells(-1.5, -3, -0.5), *iterations)
    first, best = verify(Identity(), target, found, 0.0)  # type: ignore[arg-type]
    assert first.holds.tolist() == best.holds.tolist() == [True, True, False]
    assert first.iteration.tolist() == [5, 4, -1]
    assert best.iteration.tolist() == [7, 4, -1]
    assert first.change.flatten().tolist() == [-2, -3, 0]
    assert best.change.flatten().tolist() == [-1.5, -3, 0]
    assert first.probability[:2] == pytest.approx(1 / (1 + np.exp([1.0, 2.0])))
    assert {name: values.tolist() for name, values in best.distances().items()} == {
        "l0": [1, 1, 0], "l1": [1.5, 3, 0], "l2": [1.5, 3, 0], "linf": [1.5, 3, 0],
    }  # fmt: skip


def test_the_threshold_itself_says_death() -> None:
    target = Target(cells(-0.5, 0.0, 0.5), torch.ones(3, 1, 1, dtype=torch.bool))
    assert score(Identity(), target, target.values).says_death.tolist() == [False, True, True]  # type: ignore[arg-type]
