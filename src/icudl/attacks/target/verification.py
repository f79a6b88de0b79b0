"""Verification of examples by the model itself: a plain pass over whole stays, never the engine that attacks use."""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from icudl.attacks import distances
from icudl.attacks.base import Perturbation, TargetModel
from icudl.attacks.precision import whole_float32
from icudl.errors import AttackError
from icudl.models.charted.base import ClinicalStays, RiskModel


class CheckedTarget(TargetModel, Protocol):
    """A target whose examples the model itself can verify, and whose values have units of their own."""

    @property
    def shift(self) -> float:
        """Logit of the decision threshold."""

    def charted(self) -> npt.NDArray[np.floating]:
        """Return the (B, T, F) numbers of the unchanged stays in their own units."""

    def clinical(self, values: Tensor) -> npt.NDArray[np.floating]:
        """Return ``values`` (B, T, F) in their own units."""


@runtime_checkable
class OfFeatures(Protocol):
    """What a target offers whose model is a module of features."""

    @property
    def lengths(self) -> Tensor:
        """(B,) int64 hours of each stay."""

    def features(self, values: Tensor) -> Tensor:
        """Return the (B, T, C) inputs of the model with ``values`` (B, T, F) in place of the stays' numbers."""


@runtime_checkable
class OfChartedValues(Protocol):
    """What a target offers whose model reads charted values."""

    def changed(self, values: Tensor) -> ClinicalStays:
        """Return the stays with ``values`` (B, T, F) in place of what was charted."""


Model = nn.Module | RiskModel
"""A module (features, lengths) to (B, 2) logits, or any risk model."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """Scores of B stays by the model itself.

    Attributes:
        difference: (B,) float64 logit of death minus logit of survival.
        says_death: (B,) bool, the probability of death reaches the decision threshold.
    """

    difference: Tensor
    says_death: Tensor

    @property
    def probability(self) -> npt.NDArray[np.float64]:
        """(B,) probability of death: softmax of two logits."""
        return torch.sigmoid(self.difference).cpu().numpy()


def score(model: Model, target: CheckedTarget, values: Tensor) -> Scores:
    """Score stays whose numbers are ``values`` (B, T, F): by a forward pass in eval mode, or by whole charted stays.

    Raises:
        AttackError: The target is not one of this model.
    """
    if isinstance(model, nn.Module) and isinstance(target, OfFeatures):
        with torch.no_grad(), whole_float32():
            logits = model.eval()(target.features(values), target.lengths).double()
        difference = logits[:, 1] - logits[:, 0]
    elif isinstance(target, OfChartedValues) and isinstance(model, RiskModel):
        difference = torch.from_numpy(model.logits(target.changed(values)))
    else:
        raise AttackError(
            f"{type(model).__name__} cannot score the cells of {type(target).__name__}. Bind the model that scores."
        )
    return Scores(difference, difference >= target.shift)


@dataclasses.dataclass(frozen=True, eq=False)
class Verified:
    """One example of each of B stays; examples that do not hold are zero.

    Attributes:
        holds: (B,) bool.
        change: (B, T, F), zero where it does not hold.
        iteration: (B,) iteration of discovery, -1 where it does not hold.
        probability: (B,) float64 probability of death after the change.
    """

    holds: npt.NDArray[np.bool_]
    change: Tensor
    iteration: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float64]

    def distances(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return L0, L1, L2 and Linf of the changes, summed in float64."""
        change = self.change.double()
        measures = {"l0": distances.l0, "l1": distances.l1, "l2": distances.l2, "linf": distances.linf}
        return {name: measure(change).double().cpu().numpy() for name, measure in measures.items()}


def verify(
    model: Model,
    target: CheckedTarget,
    found: Perturbation,
    kappa: float,
) -> tuple[Verified, Verified]:
    """Check first and best examples of B stays.

    An example holds if it flips the model's decision at its threshold with confidence kappa, lies inside the target's
    bounds and touches attackable cells only. Where only one of a stay's two examples holds, it replaces the other.

    Args:
        model: The model itself.
        target: B stays. Its own margin is not used.
        found: The examples that the attack claims.
        kappa: Logits by which the other class must win.
    """
    before = score(model, target, target.values)
    first, best = (
        _check(model, target, before, change, iteration, kappa)
        for change, iteration in ((found.first, found.first_iteration), (found.best, found.best_iteration))
    )
    return _fall_back(first, best), _fall_back(best, first)


def _check(
    model: Model,
    target: CheckedTarget,
    before: Scores,
    change: Tensor,
    iteration: Tensor,
    kappa: float,
) -> Verified:
    moved = target.values + change
    after = score(model, target, moved)
    over = after.difference - target.shift
    margin = torch.where(before.says_death, over, -over)
    flips = (margin < -kappa) & (after.says_death != before.says_death)
    inside = ((moved >= target.lower) & (moved <= target.upper) | ~target.attackable).flatten(1).all(dim=1)
    allowed = (target.attackable | (change == 0)).flatten(1).all(dim=1)
    holds = (iteration >= 0) & flips & inside & allowed
    return Verified(
        holds=holds.cpu().numpy(),
        change=torch.where(holds[:, None, None], change, torch.zeros_like(change)),
        iteration=torch.where(holds, iteration, torch.full_like(iteration, -1)).cpu().numpy(),
        probability=after.probability,
    )


def _fall_back(example: Verified, other: Verified) -> Verified:
    use_other = ~example.holds & other.holds
    on_device = torch.from_numpy(use_other).to(example.change.device)[:, None, None]
    return Verified(
        holds=example.holds | other.holds,
        change=torch.where(on_device, other.change, example.change),
        iteration=np.where(use_other, other.iteration, example.iteration),
        probability=np.where(use_other, other.probability, example.probability),
    )
