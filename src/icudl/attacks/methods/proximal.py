"""The study's attack: margin loss with confidence, L1 penalty, soft threshold, box (Sun et al. 2018, ISTA).

For each stay separately:  minimise  max(margin(X + P), 0) + lambda_1 ||P||_1  over P inside the bounds.
The margin includes the confidence kappa (``attacks.base``): up to a constant this is the study's max(margin, -kappa).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from icudl.attacks import distances
from icudl.attacks.base import DifferentiableTarget, Perturbation, TargetModel, allowed_change, differentiable, survey
from icudl.attacks.options import AttackOptions, ProximalOptions
from icudl.attacks.pace import looks
from icudl.attacks.record import ExampleRecord
from icudl.attacks.refinement import polish, prune, refine, shrink

L0_WEIGHT = 1e-3
"""Cost of one changed cell, beside the L1 distance, when two examples of a stay are compared."""

SURVEY_EVERY = 20
"""Iterations after which the whole gradient is looked at again; between, only where it mattered."""

FAINT = 0.1
"""Slopes below this share of a stay's steepest one need not be right between surveys."""

COMPACTION = 0.125
"""Share of stays that must have finished before the batch is packed again."""


class StepRule(Protocol):
    """How the change of each stay moves; holds the state of all stays in the batch, element by element."""

    def point(self) -> Tensor:
        """Return the (K, T, F) change to evaluate next."""

    def advance(self, gradient: Tensor, flips: Tensor, iteration: int) -> None:
        """Move on, given the (K, T, F) gradient of the margin at ``point`` and whether it flips (K,)."""

    def score(self, margin: Tensor, change: Tensor) -> Tensor:
        """Return the (K,) measure by which the best example is chosen."""

    def keep(self, kept: Tensor) -> None:
        """Drop all stays but those at the indices ``kept`` (K',)."""


class ProximalAttack:
    """Proximal gradient attack.

    ``ista`` and ``fista`` divide each stay's gradient by its largest entry, so that one step length fits every stay,
    and shorten the step along a half cosine to a tenth; ``fista`` extrapolates and adapts each stay's threshold: up
    while the stay is flipped, down while it is not (faster until the first time). Their best example has the smallest
    L1 + 0.001 L0. ``adam``, ``rmsprop`` and ``sgd`` are the original's: the gradient of the penalised loss, an
    optimiser step, the soft threshold; their best example has the lowest loss. All of them keep their state per stay,
    and the search goes on after the first success.
    """

    Options: ClassVar[type[AttackOptions]] = ProximalOptions
    needs_gradient: ClassVar[bool] = ProximalOptions.needs_gradient

    def __init__(self, options: ProximalOptions) -> None:
        self.options = options

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:  # noqa: ARG002 - draws nothing
        """See ``attacks.base.Attack``.

        Raises:
            AttackError: The model offers no gradient.
        """
        found = self._search(differentiable(target, self.options.name))
        return refine(target, found, (prune, polish, shrink)) if self.options.refine else found

    def _search(self, target: DifferentiableTarget) -> Perturbation:
        options = self.options
        record = ExampleRecord(target.values)
        rows = torch.arange(len(target.values), device=target.values.device)
        finished = torch.zeros_like(rows, dtype=torch.bool)
        rule = make_step_rule(options, *allowed_change(target))
        for iteration in range(1, options.iterations + 1):
            change = rule.point()
            if iteration % SURVEY_EVERY == 1:
                margin, gradient, target = survey(target, target.values + change, FAINT)
            else:
                margin, gradient = target.margin_and_gradient(target.values + change)
            flips = margin < 0
            record.update(rows, change, flips & ~finished, rule.score(margin, change), iteration)
            finished |= record.converged(rows, iteration, options.patience)
            looks_now = looks(iteration, change)
            if looks_now and bool(finished.all()):
                break
            rule.advance(torch.nan_to_num(gradient), flips, iteration)
            if looks_now and float(finished.double().mean()) >= COMPACTION:
                kept = (~finished).nonzero().squeeze(1)
                rows, finished = rows[kept], finished[kept]
                target = target.select(kept)
                rule.keep(kept)
        return record.result()


def make_step_rule(options: ProximalOptions, down: Tensor, up: Tensor) -> StepRule:
    """Return the step rule that ``options.optimizer`` names, for changes between ``down`` and ``up``."""
    if options.optimizer in {"ista", "fista"}:
        return NormalisedRule(options, down, up)
    return OriginalRule(options, down, up)


def soft_threshold(change: Tensor, threshold: float | Tensor) -> Tensor:
    """Return sign(c) max(|c| - threshold, 0): the proximal map of the L1 norm."""
    return torch.sign(change) * (change.abs() - threshold).clamp(min=0.0)


class NormalisedRule:
    """ISTA with momentum, and FISTA with a threshold of its own for each stay."""

    MOMENTUM = 0.75
    EXTRAPOLATION = 0.8
    RAISE, LOWER, LOWER_AT_FIRST = 1.03, 0.97, 0.9

    def __init__(self, options: ProximalOptions, down: Tensor, up: Tensor) -> None:
        self.options, self.down, self.up = options, down, up
        self.is_fista = options.optimizer == "fista"
        self.change, self.trend = torch.zeros_like(down), torch.zeros_like(down)
        self.threshold = down.new_full((len(down), 1, 1), options.lambda_1)
        self.has_flipped = torch.zeros(len(down), dtype=torch.bool, device=down.device)

    def point(self) -> Tensor:
        """See ``StepRule``."""
        if not self.is_fista:
            return self.change
        return (self.change + self.EXTRAPOLATION * self.trend).clamp(self.down, self.up)

    def advance(self, gradient: Tensor, flips: Tensor, iteration: int) -> None:
        """See ``StepRule``."""
        progress = (iteration - 1) / max(1, self.options.iterations - 1)
        shorter = 0.1 + 0.45 * (1.0 + math.cos(math.pi * progress))
        step = self.options.learning_rate * shorter
        movable = torch.where(self.down < self.up, gradient, torch.zeros_like(gradient))
        largest = movable.abs().amax(dim=(1, 2), keepdim=True)
        # Beyond the confidence the loss is flat: only the threshold acts.
        slope = torch.where(flips[:, None, None], 0.0, movable / largest.clamp(min=1e-30))
        self.has_flipped |= flips
        if self.is_fista:
            moved = soft_threshold(self.point() - step * slope, self.threshold * shorter).clamp(self.down, self.up)
            self.trend, self.change = moved - self.change, moved
            lower = torch.where(self.has_flipped, self.LOWER, self.LOWER_AT_FIRST)
            factor = torch.where(flips, self.RAISE, lower).to(self.threshold)
            self.threshold = self.threshold * factor[:, None, None]
        else:
            self.trend = self.MOMENTUM * self.trend + (1.0 - self.MOMENTUM) * slope
            moved = soft_threshold(self.change - step * self.trend, self.threshold)
            self.change = moved.clamp(self.down, self.up)
            # A threshold that no stay's gradient can pass would end the search before it has found anything.
            factor = torch.where(self.has_flipped, 1.0, self.LOWER).to(self.threshold)
            self.threshold = self.threshold * factor[:, None, None]

    def score(self, margin: Tensor, change: Tensor) -> Tensor:  # noqa: ARG002
        """See ``StepRule``."""
        return distances.l1(change) + L0_WEIGHT * distances.l0(change)

    def keep(self, kept: Tensor) -> None:
        """See ``StepRule``."""
        for name in ("down", "up", "change", "trend", "threshold", "has_flipped"):
            setattr(self, name, getattr(self, name)[kept])


class OriginalRule:
    """Adam (Kingma & Ba 2015), RMSprop (Hinton) or plain gradient steps on the penalised loss, then the threshold.

    The penalty enters twice, as in the original: lambda_1 sign(P) in the gradient, lambda_1 in the threshold.
    """

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
    SMOOTHING = 0.99

    def __init__(self, options: ProximalOptions, down: Tensor, up: Tensor) -> None:
        self.options, self.down, self.up = options, down, up
        self.change = torch.zeros_like(down)
        self.first, self.second = torch.zeros_like(down), torch.zeros_like(down)

    def point(self) -> Tensor:
        """See ``StepRule``."""
        return self.change

    def advance(self, gradient: Tensor, flips: Tensor, iteration: int) -> None:
        """See ``StepRule``."""
        loss_gradient = torch.where(flips[:, None, None], 0.0, gradient)
        loss_gradient = loss_gradient + self.options.lambda_1 * torch.sign(self.change)
        moved = self.change - self.options.learning_rate * self._direction(loss_gradient, iteration)
        self.change = soft_threshold(moved, self.options.lambda_1).clamp(self.down, self.up)

    def _direction(self, gradient: Tensor, iteration: int) -> Tensor:
        if self.options.optimizer == "sgd":
            return gradient
        if self.options.optimizer == "rmsprop":
            self.second = self.SMOOTHING * self.second + (1 - self.SMOOTHING) * gradient.square()
            return gradient / (self.second.sqrt() + self.EPSILON)
        self.first = self.BETA_1 * self.first + (1 - self.BETA_1) * gradient
        self.second = self.BETA_2 * self.second + (1 - self.BETA_2) * gradient.square()
        first = self.first / (1 - self.BETA_1**iteration)
        second = self.second / (1 - self.BETA_2**iteration)
        return first / (second.sqrt() + self.EPSILON)

    def score(self, margin: Tensor, change: Tensor) -> Tensor:
        """See ``StepRule``."""
        return margin.clamp(min=0.0) + self.options.lambda_1 * distances.l1(change)

    def keep(self, kept: Tensor) -> None:
        """See ``StepRule``."""
        for name in ("down", "up", "change", "first", "second"):
            setattr(self, name, getattr(self, name)[kept])
