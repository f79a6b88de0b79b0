"""The control: how often does a random error as large as the adversarial one flip the prediction?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from icudl.attacks import distances
from icudl.attacks.base import Perturbation, TargetModel, allowed_change
from icudl.attacks.methods.greedy import GreedyAttack
from icudl.attacks.options import AttackOptions, NoiseOptions
from icudl.attacks.record import ExampleRecord
from icudl.attacks.refinement import margins_of


class NoiseControl:
    """Takes the smallest example that greedy finds, and scatters the same magnitudes over random cells.

    Cells and signs are drawn for each stay from its own seed; where the bounds leave less room, the change is cut. A
    stay that greedy cannot flip gets no draws. The table ``noise`` has one row per stay: stay, draws, flips, and the L0
    and L1 of the adversarial example it is compared with.
    """

    Options: ClassVar[type[AttackOptions]] = NoiseOptions
    needs_gradient: ClassVar[bool] = NoiseOptions.needs_gradient

    def __init__(self, options: NoiseOptions) -> None:
        self.options = options

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:
        """See ``attacks.base.Attack``."""
        reference = GreedyAttack(self.options)(target, seeds)
        record = ExampleRecord(target.values)
        down, up = allowed_change(target)
        n_draws = self.options.noise_draws
        flips_of = torch.zeros(len(seeds), dtype=torch.int64)
        for row in reference.found.nonzero().squeeze(1).tolist():
            changes = _scatter(reference.best[row], down[row], up[row], n_draws, seeds[row])
            stay = torch.tensor([row], device=changes.device)
            flips = margins_of(target, stay.expand(n_draws), changes) < 0
            lengths = distances.l1(changes)
            for draw in flips.nonzero().squeeze(1).tolist():
                record.update(stay, changes[[draw]], flips[[draw]], lengths[[draw]], draw + 1)
            flips_of[row] = flips.sum().cpu()
        found = record.result()
        table = {
            "stay": torch.arange(len(seeds)),
            "draws": n_draws * reference.found.to(torch.int64),
            "flips": flips_of,
            "reference_l0": distances.l0(reference.best),
            "reference_l1": distances.l1(reference.best).double(),
        }
        return Perturbation(found.first, found.best, found.first_iteration, found.best_iteration, {"noise": table})


def _scatter(example: Tensor, down: Tensor, up: Tensor, n_draws: int, seed: int) -> Tensor:
    """Return (n_draws, T, F) random changes with the magnitudes of ``example`` (T, F)."""
    rng = torch.Generator().manual_seed(seed)
    sizes = example[example != 0].abs()
    cells = (down < up).flatten().nonzero().squeeze(1)
    changes = example.new_zeros(n_draws, example.numel())
    for draw in range(n_draws):
        chosen = cells[torch.randperm(len(cells), generator=rng)[: len(sizes)].to(cells.device)]
        signs = torch.randint(0, 2, (len(sizes),), generator=rng).to(sizes) * 2 - 1
        changes[draw, chosen] = signs * sizes
    return changes.view(n_draws, *example.shape).clamp(down, up)
