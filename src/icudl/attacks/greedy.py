"""Corner greedy: the fewest changed cells, by moving the most promising cells to one of their bounds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from icudl.attacks.base import Perturbation, TargetModel, allowed_change
from icudl.attacks.options import AttackOptions
from icudl.attacks.record import ExampleRecord
from icudl.attacks.refinement import prune, refine, shrink

BOLDNESS = 0.5
"""Share of the missing margin that the cells moved in one iteration may promise together."""

MOST_AT_ONCE = 16


class GreedyAttack:
    """Moves, at each iteration, the cells whose way to a bound promises the largest fall of the margin.

    The promise is gradient times distance. While much is missing several cells move at once, near the boundary one at
    a time. A cell once moved stays; a stay leaves as soon as it is flipped. With
    ``refine`` the example is then pruned and shrunk, which spares many of the cells their whole way.
    """

    def __init__(self, options: AttackOptions) -> None:
        self.options = options

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:  # noqa: ARG002 - draws nothing
        """See ``attacks.base.Attack``."""
        found = self._search(target)
        return refine(target, found, self.options.kappa, (prune, shrink)) if self.options.refine else found

    def _search(self, target: TargetModel) -> Perturbation:
        whole, record = target, ExampleRecord(target.values)
        down, up = allowed_change(target)
        change = torch.zeros_like(down)
        rows = torch.arange(len(change), device=change.device)
        # One more evaluation than moves: the last move must be judged, too.
        for iteration in range(1, self.options.iterations + 2):
            margin, gradient = target.margin_and_gradient(target.values + change)
            flips = margin < -self.options.kappa
            record.update(rows, change, flips, margin, iteration)
            missing = margin + self.options.kappa
            moved, has_moved = _best_corners(change, torch.nan_to_num(gradient), down, up, BOLDNESS * missing)
            kept = (~flips & has_moved).nonzero().squeeze(1)
            if len(kept) == 0:
                break
            if len(kept) < len(rows):
                rows, down, up = rows[kept], down[kept], up[kept]
                target = whole.select(rows)
            change = moved[kept]
        return record.result()


def _best_corners(change: Tensor, gradient: Tensor, down: Tensor, up: Tensor, promise: Tensor) -> tuple[Tensor, Tensor]:
    """Move each stay's most promising untouched cells to their bounds; also tell which stays had one.

    Args:
        change: (K, T, F) so far.
        gradient: (K, T, F) of the margin.
        down: (K, T, F) most negative change.
        up: (K, T, F) most positive change.
        promise: (K,) how much the cells may promise together; the best one moves whatever it promises.
    """
    corner = torch.where(gradient > 0, down, up)
    gain = torch.where(change == 0, -gradient * corner, torch.zeros_like(gradient)).flatten(1)
    most = gain.topk(min(MOST_AT_ONCE, gain.shape[1]), dim=1)
    chosen = (most.values.cumsum(dim=1) <= promise[:, None]) & (most.values > 0)
    chosen[:, 0] = True
    moved = change.flatten(1).clone()
    old = moved.gather(1, most.indices)
    moved.scatter_(1, most.indices, torch.where(chosen, corner.flatten(1).gather(1, most.indices), old))
    return moved.view_as(change), most.values[:, 0] > 0
