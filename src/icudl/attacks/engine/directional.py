"""What engines of recurrent networks share that follow gradients back in each direction by itself."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from icudl.attacks.engine.known import Known, longest_reach, steps_to_ends


class DirectionalEngine(abc.ABC):
    """Gradients and their reach, from one pass that keeps the directions apart."""

    def difference_and_gradient(
        self, features: Tensor, lengths: Tensor, known: Known | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``engine.protocol.Engine``."""
        difference, gradients = self._pass(features, lengths, known, None if known is None else known.reach)
        return difference, sum(gradients[1:], gradients[0])

    def survey(
        self, features: Tensor, lengths: Tensor, faint: float, known: Known | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See ``engine.protocol.Engine``."""
        difference, gradients = self._pass(features, lengths, known, None)
        gradient = sum(gradients[1:], gradients[0])
        weakest = faint * gradient.abs().amax(dim=(1, 2))
        steps = steps_to_ends(lengths, features.shape[1])
        reach = [longest_reach(own, weakest, left) for own, left in zip(gradients, steps, strict=False)]
        return difference, gradient, torch.stack(reach, dim=1)

    @abc.abstractmethod
    def _pass(
        self, features: Tensor, lengths: Tensor, known: Known | None, reach: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the (B,) differences, and the (B, T, K) gradient through each direction: all of it without a reach."""
