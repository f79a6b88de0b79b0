"""The fast gradient sign, with a search for the shortest step that flips (after Goodfellow et al. 2015)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from icudl.attacks import AttackOptions, Perturbation, TargetModel, allowed_change, differentiable
from icudl.options import option


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineOptions(AttackOptions):
    """What can be set about the line search, beside what every attack has."""

    name: str = option("line", "Attack plug-in.")
    halvings: int = option(20, "Halvings of the interval that holds the smallest length.", low=1, high=60)


class LineAttack:
    """Moves every cell against the sign of the margin's gradient, by the smallest common length that flips."""

    Options: ClassVar[type[AttackOptions]] = LineOptions
    needs_gradient: ClassVar[bool] = LineOptions.needs_gradient

    def __init__(self, options: LineOptions) -> None:
        self.options = options

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:
        """Attack every stay; nothing is drawn, so the seeds are not used."""
        values = target.values
        down, up = allowed_change(target)
        _, gradient = differentiable(target, "line").margin_and_gradient(values)
        direction = -torch.sign(gradient)

        def moved(length: Tensor) -> Tensor:
            return (direction * length[:, None, None]).clamp(down, up)

        def flips(change: Tensor) -> Tensor:
            return target.margin(values + change) < 0

        longest = torch.maximum(-down, up).flatten(1).amax(dim=1)
        found = flips(moved(longest))
        short, long = torch.zeros_like(longest), longest
        for _ in range(self.options.halvings):
            middle = (short + long) / 2
            enough = flips(moved(middle))
            short, long = torch.where(enough, short, middle), torch.where(enough, middle, long)
        change = torch.where(found[:, None, None], moved(long), torch.zeros_like(values))
        iteration = torch.where(found, self.options.halvings + 1, -1)
        return Perturbation(change, change.clone(), iteration, iteration.clone())
