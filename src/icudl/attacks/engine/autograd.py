"""What every engine offers, and the engine of any differentiable model: autograd."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from icudl.attacks.engine.ends import Known, Memory
from icudl.errors import AttackError


class Engine(Protocol):
    """Scores features: (B,) logit of death minus logit of survival."""

    def remember(self, features: Tensor, lengths: Tensor) -> Memory | None:
        """Read stays that others will be variants of; None where this engine gains nothing from knowing them."""

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:
        """Return the (B,) logit differences of ``features`` (B, T, C).

        Args:
            features: Of B stays.
            lengths: (B,) hours of each.
            known: Known stays of the same lengths that these stays are variants of; changes the time it takes only.
        """

    def difference_and_gradient(
        self, features: Tensor, lengths: Tensor, known: Known | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the (B,) logit differences and their (B, T, C) gradient; as far back as ``known.reach`` says."""

    def survey(self, features: Tensor, lengths: Tensor, faint: float) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return differences and gradient, and the reach of the gradient (``ends.Known``) where the engine uses one.

        Args:
            features: Of B stays.
            lengths: (B,).
            faint: Share of a stay's steepest slope below which slopes may be left out later on.
        """


class AutogradEngine:
    """Any differentiable model, in eval mode, by autograd.

    cuDNN refuses the backward pass of an RNN in eval mode (pytorch issue 5878), so it is switched off around the pass.

    Args:
        model: (features, lengths) to (B, 2) logits.
        name: What error messages call the model; its class where not given.
    """

    def __init__(self, model: nn.Module, name: str = "") -> None:
        self.model = model.eval()
        self.name = name or type(model).__name__

    def remember(self, features: Tensor, lengths: Tensor) -> None:
        """See ``Engine``: any model may depend on every hour in any way."""

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:  # noqa: ARG002
        """See ``Engine``."""
        with torch.no_grad():
            logits: Tensor = self.model(features, lengths)
        return logits[:, 1] - logits[:, 0]

    def survey(self, features: Tensor, lengths: Tensor, faint: float) -> tuple[Tensor, Tensor, None]:  # noqa: ARG002
        """See ``Engine``."""
        return *self.difference_and_gradient(features, lengths), None

    def difference_and_gradient(
        self,
        features: Tensor,
        lengths: Tensor,
        known: Known | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """See ``Engine``.

        Raises:
            AttackError: The model's logits do not depend differentiably on its inputs.
        """
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            leaf = features.detach().clone().requires_grad_()
            logits = self.model(leaf, lengths)
            difference = logits[:, 1] - logits[:, 0]
            if not difference.requires_grad:
                raise AttackError(
                    f"The model {self.name} is not differentiable: its logits carry no gradient of "
                    "the inputs. Expected a model made of differentiable operations; use another model or an attack "
                    "without gradients."
                )
            (gradient,) = torch.autograd.grad(difference.sum(), leaf)
        return difference.detach(), gradient
