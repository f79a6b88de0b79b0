"""Projected gradient descent inside each of a rising list of budgets (Madry et al. 2018): a robustness curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from icudl.attacks import distances
from icudl.attacks.base import DifferentiableTarget, Perturbation, TargetModel, allowed_change, differentiable
from icudl.attacks.options import AttackOptions, ProjectedGradientOptions
from icudl.attacks.pace import looks
from icudl.attacks.record import ExampleRecord
from icudl.attacks.refinement import refine, shrink

PROJECTION_ROUNDS = 25
L1_SHARE = 0.01
"""Share of the cells that an L1 step moves: those with the steepest gradient (SLIDE, Tramer & Boneh 2019)."""


class ProjectedGradientAttack:
    """Looks, budget by budget, for a flip inside the L1, L2 or Linf ball of that radius (and inside the bounds).

    The iterations are shared equally among the budgets; each budget starts where the one below ended, and a stay
    leaves at its first flip. The table ``budgets`` has one row per stay and budget: stay, budget, flipped.
    """

    Options: ClassVar[type[AttackOptions]] = ProjectedGradientOptions
    needs_gradient: ClassVar[bool] = ProjectedGradientOptions.needs_gradient

    def __init__(self, options: ProjectedGradientOptions) -> None:
        self.options = options
        self.measure = {"l1": distances.l1, "l2": distances.l2, "linf": distances.linf}[options.norm]

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:  # noqa: ARG002 - draws nothing
        """See ``attacks.base.Attack``.

        Raises:
            AttackError: The model offers no gradient.
        """
        found, flipped = self._search(differentiable(target, self.options.name))
        if self.options.refine:
            found = refine(target, found, (shrink,))
        budgets = torch.tensor(sorted(self.options.budgets), dtype=torch.float64)
        stays = torch.arange(len(target.values))
        table = {
            "stay": stays.repeat_interleave(len(budgets)),
            "budget": budgets.repeat(len(stays)),
            "flipped": flipped.flatten(),
        }
        return Perturbation(found.first, found.best, found.first_iteration, found.best_iteration, {"budgets": table})

    def _search(self, target: DifferentiableTarget) -> tuple[Perturbation, Tensor]:
        """Return the examples, and (B, number of budgets) which budget sufficed."""
        options, whole = self.options, target
        record = ExampleRecord(target.values)
        down, up = allowed_change(target)
        change = torch.zeros_like(down)
        rows = torch.arange(len(change), device=change.device)
        per_budget = max(1, options.iterations // len(options.budgets))
        finished = torch.zeros_like(rows, dtype=torch.bool)
        smallest = torch.full_like(rows, len(options.budgets))
        iteration = 0
        for number, budget in enumerate(sorted(options.budgets)):
            for step in range(per_budget + 1):
                iteration += 1
                margin, gradient = target.margin_and_gradient(target.values + change)
                flips = (margin < 0) & ~finished
                record.update(rows, change, flips, self.measure(change), iteration)
                smallest[rows] = torch.where(flips, number, smallest[rows])
                finished |= flips
                if looks(iteration, change):
                    kept = (~finished).nonzero().squeeze(1)
                    if len(kept) == 0:
                        return record.result(), _curve(smallest, len(options.budgets))
                    if len(kept) < len(rows):
                        rows, finished, gradient = rows[kept], finished[kept], gradient[kept]
                        down, up, change = down[kept], up[kept], change[kept]
                        target = whole.select(rows)
                if step < per_budget:
                    change = self._step(change, torch.nan_to_num(gradient), down, up, budget, per_budget)
        return record.result(), _curve(smallest, len(options.budgets))

    def _step(self, change: Tensor, gradient: Tensor, down: Tensor, up: Tensor, budget: float, n_steps: int) -> Tensor:
        gradient = torch.where(down < up, gradient, torch.zeros_like(gradient))
        length = 2.5 * budget / n_steps
        return project(
            change - length * self._direction(change, gradient, down, up), down, up, self.options.norm, budget
        )

    def _direction(self, change: Tensor, gradient: Tensor, down: Tensor, up: Tensor) -> Tensor:
        if self.options.norm == "linf":
            return torch.sign(gradient)
        if self.options.norm == "l2":
            return gradient / distances.l2(gradient).clamp(min=1e-30)[:, None, None]
        useful = torch.where(
            torch.where(gradient > 0, change > down, change < up), gradient, torch.zeros_like(gradient)
        )
        count = max(1, round(L1_SHARE * gradient[0].numel()))
        steepest = useful.abs().flatten(1).topk(count, dim=1).values[:, -1].clamp(min=1e-30)
        chosen = torch.sign(useful) * (useful.abs() >= steepest[:, None, None])
        return chosen / distances.l0(chosen).clamp(min=1)[:, None, None]


def _curve(smallest: Tensor, n_budgets: int) -> Tensor:
    return smallest.cpu()[:, None] <= torch.arange(n_budgets)


def project(change: Tensor, down: Tensor, up: Tensor, norm: str, budget: float) -> Tensor:
    """Return the point nearest to ``change`` in the ball of radius ``budget`` and the box, stay by stay.

    With 0 inside the box the nearest point is clip(c, -budget, budget) for Linf, clip(soft(c, s)) for L1 and
    clip(c / (1 + s)) for L2, with the smallest s >= 0 that meets the budget (Lagrange conditions); s by bisection.

    Args:
        change: (B, T, F).
        down: (B, T, F) at most 0.
        up: (B, T, F) at least 0.
        norm: ``"l1"``, ``"l2"`` or ``"linf"``.
        budget: Radius.
    """
    if norm == "linf":
        return change.clamp(-budget, budget).clamp(down, up)

    def shorter(multiplier: Tensor) -> Tensor:
        if norm == "l1":
            return (torch.sign(change) * (change.abs() - multiplier).clamp(min=0.0)).clamp(down, up)
        return (change / (1.0 + multiplier)).clamp(down, up)

    measure = distances.l1 if norm == "l1" else distances.l2
    low = change.new_zeros(len(change), 1, 1)
    largest = change.abs().amax(dim=(1, 2), keepdim=True)
    high = largest if norm == "l1" else distances.l2(change)[:, None, None] / budget
    inside = measure(shorter(low)) <= budget
    for _ in range(PROJECTION_ROUNDS):
        middle = (low + high) / 2
        meets = (measure(shorter(middle)) <= budget)[:, None, None]
        low, high = torch.where(meets, low, middle), torch.where(meets, middle, high)
    return torch.where(inside[:, None, None], change.clamp(down, up), shorter(high))
