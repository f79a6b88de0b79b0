"""Corner greedy: change few cells, by moving the most promising ones to one of their bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from icudl.attacks.base import DifferentiableTarget, Perturbation, TargetModel, allowed_change, anchored, survey
from icudl.attacks.options import AttackOptions, GreedyOptions
from icudl.attacks.pace import looks
from icudl.attacks.record import ExampleRecord
from icudl.attacks.refinement import margins_of, prune, refine, shrink

CANDIDATES = 8
"""Cells tried one by one at each iteration."""

BOLDNESS = 0.5
"""Share of the remaining margin by which the cells moved in one iteration may lower it, each measured alone."""

SURVEY_EVERY = 10
"""Iterations between two computations of the whole gradient; in between, faint slopes are left out."""

FAINT = 0.05
"""Slopes below this share of a stay's steepest one need not be right between surveys."""

PLACES = 9
"""Values tried over the range of a cell where the model offers no gradient."""

SHORT_LIST = 48
"""Cells that are tried again after each move, where the model offers no gradient: those that promised most alone."""


class GreedyAttack:
    """Moves, at each iteration, the cells whose way to a bound makes the margin fall most.

    The cells that promise most (gradient times distance) are tried one by one, because margins bend on the way to a
    bound. Far from the decision boundary several of them move at once, near it one at a time. A moved cell stays moved;
    a stay leaves the search when it is flipped. With ``refine`` the example is then pruned and shrunk, so that many
    cells need not go all the way to their bounds.

    A model without a gradient is searched by its scores: every cell is tried alone at ``PLACES`` values over its range,
    then the ``SHORT_LIST`` cells that made the margin fall most are tried again after each move.
    """

    Options: ClassVar[type[AttackOptions]] = GreedyOptions
    needs_gradient: ClassVar[bool] = GreedyOptions.needs_gradient

    def __init__(self, options: GreedyOptions) -> None:
        self.options = options

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:  # noqa: ARG002 - draws nothing
        """See ``attacks.base.Attack``."""
        found = self._search(target) if isinstance(target, DifferentiableTarget) else self._search_by_scores(target)
        return refine(target, found, (prune, shrink)) if self.options.refine else found

    def _search_by_scores(self, target: TargetModel) -> Perturbation:
        record = ExampleRecord(target.values)
        down, up = allowed_change(target)
        for row in range(len(down)):
            stay = torch.tensor([row], device=down.device)
            moves = _Moves.of(down[row], up[row])
            change = torch.zeros_like(down[row])
            margin = float(margins_of(target, stay, change[None]))
            for iteration in range(1, self.options.iterations + 1):
                after = moves.margins(target, stay, change)
                if len(after) == 0 or float(after.min()) >= margin:
                    break
                change, margin = moves.made(change, int(after.argmin())), float(after.min())
                record.update(stay, change[None], after.min()[None] < 0, after.min()[None], iteration)
                if margin < 0:
                    break
                moves = moves.promising(after) if iteration == 1 else moves
        return record.result()

    def _search(self, target: DifferentiableTarget) -> Perturbation:
        record = ExampleRecord(target.values)
        down, up = allowed_change(target)
        change = torch.zeros_like(down)
        rows = torch.arange(len(change), device=change.device)
        finished = torch.zeros_like(rows, dtype=torch.bool)
        near: TargetModel = target
        # One more evaluation than moves: the last move must be judged, too.
        for iteration in range(1, self.options.iterations + 2):
            if iteration % SURVEY_EVERY == 1:
                margin, gradient, target = survey(target, target.values + change, FAINT)
            else:
                margin, gradient = target.margin_and_gradient(target.values + change)
            flips = margin < 0
            record.update(rows, change, flips & ~finished, margin, iteration)
            corner = torch.where(gradient > 0, down, up)
            promise = torch.where(change == 0, -torch.nan_to_num(gradient) * corner, torch.zeros_like(gradient))
            finished |= flips | ~(promise > 0).flatten(1).any(dim=1)
            if looks(iteration, change):
                kept = (~finished).nonzero().squeeze(1)
                if len(kept) == 0:
                    break
                if len(kept) < len(rows):
                    rows, finished, down, up = rows[kept], finished[kept], down[kept], up[kept]
                    change, corner, promise, margin = change[kept], corner[kept], promise[kept], margin[kept]
                    target, near = target.select(kept), near.select(kept)
            if iteration > 1:
                # Candidates differ from the present record in one cell.
                found = anchored(near, near.values + change)
                near = near if found is None else found[1]
            change = _move(near, change, corner, promise, margin, BOLDNESS * margin)
        return record.result()


def _move(
    target: TargetModel, change: Tensor, corner: Tensor, promise: Tensor, margin: Tensor, wanted: Tensor
) -> Tensor:
    """Move the cells whose way to their corner, each on its own, makes the margin fall most.

    Args:
        target: K stays.
        change: (K, T, F) so far.
        corner: (K, T, F) change at the bound that promises a fall.
        promise: (K, T, F) promised fall of the margin by each cell; not positive where the cell may not move.
        margin: (K,) current margins.
        wanted: (K,) most by which the cells may lower the margin together; the best cell moves in any case.
    """
    n_stays = len(change)
    most = promise.flatten(1).topk(min(CANDIDATES, promise[0].numel()), dim=1)
    cells, may_move = most.indices, most.values > 0
    ends = corner.flatten(1).gather(1, cells)
    tried = change.flatten(1)[:, None].repeat(1, cells.shape[1], 1).scatter_(2, cells[:, :, None], ends[:, :, None])
    stays = torch.arange(n_stays, device=change.device).repeat_interleave(cells.shape[1])
    fall = margin[:, None] - margins_of(target, stays, tried.view(-1, *change.shape[1:])).view_as(ends)
    order = torch.where(may_move, torch.nan_to_num(fall), -torch.inf).sort(dim=1, descending=True, stable=True)
    chosen = (order.values.cumsum(dim=1) <= wanted[:, None]) & (order.values > 0)
    chosen[:, 0] = True
    chosen &= may_move.gather(1, order.indices)
    cells, ends = cells.gather(1, order.indices), ends.gather(1, order.indices)
    moved = change.flatten(1).clone()
    moved.scatter_(1, cells, torch.where(chosen, ends, moved.gather(1, cells)))
    return moved.view_as(change)


@dataclasses.dataclass(frozen=True, eq=False)
class _Moves:
    """Single moves of one stay.

    Attributes:
        cell: (n,) position in the flattened (T, F) stay.
        to: (n,) change of the cell.
    """

    cell: Tensor
    to: Tensor

    @classmethod
    def of(cls, down: Tensor, up: Tensor) -> _Moves:
        """Return the moves of every cell to ``PLACES`` values over its range, ``down`` to ``up`` (T, F)."""
        cells = (down < up).flatten().nonzero().squeeze(1)
        places = torch.linspace(0.0, 1.0, PLACES, dtype=down.dtype, device=down.device)
        to = down.flatten()[cells][:, None] * (1.0 - places) + up.flatten()[cells][:, None] * places
        return cls(cells.repeat_interleave(PLACES), to.flatten())

    def margins(self, target: TargetModel, stay: Tensor, change: Tensor) -> Tensor:
        """Return the (n,) margins after each move on top of ``change`` (T, F)."""
        if len(self.cell) == 0:
            return change.new_zeros(0)
        tried = change.flatten().repeat(len(self.cell), 1)
        tried[torch.arange(len(self.cell), device=change.device), self.cell] = self.to
        return torch.nan_to_num(
            margins_of(target, stay.expand(len(tried)), tried.view(-1, *change.shape)), nan=torch.inf
        )

    def made(self, change: Tensor, move: int) -> Tensor:
        """Return ``change`` (T, F) with one more move."""
        moved = change.flatten().clone()
        moved[self.cell[move]] = self.to[move]
        return moved.view_as(change)

    def promising(self, after: Tensor) -> _Moves:
        """Return the moves of the ``SHORT_LIST`` cells that a move of theirs took to the lowest margins (n,)."""
        order = self.cell[after.argsort(stable=True)].tolist()
        chosen = torch.tensor(list(dict.fromkeys(order))[:SHORT_LIST], device=after.device)
        kept = torch.isin(self.cell, chosen)
        return _Moves(self.cell[kept], self.to[kept])
