"""The fast gradient sign, with a search for the shortest step that flips (after Goodfellow et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from icudl.attacks.base import Perturbation, TargetModel, allowed_change
from icudl.attacks.options import AttackOptions

HALVINGS = 20


class LineAttack:
    """Moves every cell against the sign of the margin's gradient, by the smallest common length that flips."""

    def __init__(self, options: AttackOptions) -> None:
        self.options = options

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:
        """Attack every stay; nothing is drawn, so the seeds are not used."""
        values = target.values
        down, up = allowed_change(target)
        _, gradient = target.margin_and_gradient(values)
        direction = -torch.sign(gradient)

        def moved(length: Tensor) -> Tensor:
            return (direction * length[:, None, None]).clamp(down, up)

        def flips(change: Tensor) -> Tensor:
            return target.margin(values + change) < -self.options.kappa

        longest = torch.maximum(-down, up).flatten(1).amax(dim=1)
        found = flips(moved(longest))
        short, long = torch.zeros_like(longest), longest
        for _ in range(HALVINGS):
            middle = (short + long) / 2
            enough = flips(moved(middle))
            short, long = torch.where(enough, short, middle), torch.where(enough, middle, long)
        change = torch.where(found[:, None, None], moved(long), torch.zeros_like(values))
        iteration = torch.where(found, HALVINGS + 1, -1)
        return Perturbation(change, change.clone(), iteration, iteration.clone())
