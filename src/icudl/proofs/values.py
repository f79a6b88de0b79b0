"""The values of stays that may be wrong, and the check of what is said to flip a stay."""

from __future__ import annotations

import dataclasses
from typing import Generic, TypeVar

import torch
from torch import Tensor

from icudl.attacks.base import Perturbation, TargetModel, allowed_change
from icudl.attacks.target.verification import CheckedTarget, Model, Verified, verify

Target = TypeVar("Target", bound=CheckedTarget)


def changeable(target: TargetModel) -> tuple[Tensor, Tensor, Tensor]:
    """Return the (3, V) stay, hour and variable of all values that may change, and their (V,) float64 limits."""
    down, up = allowed_change(target)
    cell = (down < up).nonzero().T
    place = tuple(cell)
    return cell, target.lower[place].double(), target.upper[place].double()


@dataclasses.dataclass(frozen=True, eq=False)
class Values(Generic[Target]):
    """V values of B stays.

    Attributes:
        target: The stays under a threat model.
        cell: (3, V) stay, hour and variable of each value.
        lower: (V,) float64 smallest unit coordinate.
        upper: (V,) largest.
    """

    target: Target
    cell: Tensor
    lower: Tensor
    upper: Tensor

    @property
    def stay(self) -> Tensor:
        """(V,) stay of each value."""
        return self.cell[0]

    @property
    def charted(self) -> Tensor:
        """(V,) float64 unit coordinates of the unchanged stays."""
        return self.target.values[tuple(self.cell)].double()

    def change(self, which: Tensor, value: Tensor) -> Tensor:
        """Return (K, T, F) float32 changes of stays that take each value at ``which`` to ``value`` (K,)."""
        place = tuple(self.cell[:, which])
        target = self.target
        now = target.values[place]
        step = (value.to(now) - now).clamp(target.lower[place] - now, target.upper[place] - now)
        # Adding the step may round it past a bound by one unit in the last place.
        step = torch.where(now + step > target.upper[place], torch.nextafter(step, torch.full_like(step, -9)), step)
        step = torch.where(now + step < target.lower[place], torch.nextafter(step, torch.full_like(step, 9)), step)
        change = target.values.new_zeros(len(which), *target.values.shape[1:])
        change[torch.arange(len(which)), place[1], place[2]] = step
        return change

    def verified(self, model: Model, which: Tensor, value: Tensor) -> Verified:
        """Check flips by the verification of attacks, which knows nothing of this search."""
        change = self.change(which, value)
        ones = torch.ones(len(which), dtype=torch.int64)
        found = Perturbation(change, change, ones, ones)
        return verify(model, self.target.select(self.stay[which]), found, 0.0)[0]
