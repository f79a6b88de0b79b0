"""The engine of any differentiable model: autograd."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icudl.attacks.engine.known import Known
from icudl.errors import AttackError


class AutogradEngine:
    """Differentiates any model, in eval mode, by autograd.

    cuDNN refuses the backward pass of an RNN in eval mode (pytorch issue 5878), so it is switched off around the pass.

    Args:
        model: (features, lengths) to (B, 2) logits.
        name: Name of the model in error messages; by default that of its class.
    """

    def __init__(self, model: nn.Module, name: str = "") -> None:
        self.model = model.eval()
        self.name = name or type(model).__name__

    def remember(self, features: Tensor, lengths: Tensor, n_moving: int | None = None) -> None:
        """Return None: a model may depend on every hour in any way, so remembering saves no time."""

    def anchor(self, features: Tensor, lengths: Tensor, known: Known) -> None:
        """Return None; see ``engine.protocol.Engine``."""

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:  # noqa: ARG002
        """See ``engine.protocol.Engine``."""
        with torch.no_grad():
            logits: Tensor = self.model(features, lengths)
        return logits[:, 1] - logits[:, 0]

    def survey(
        self,
        features: Tensor,
        lengths: Tensor,
        faint: float,  # noqa: ARG002
        known: Known | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor, None]:
        """See ``engine.protocol.Engine``."""
        return *self.difference_and_gradient(features, lengths), None

    def difference_and_gradient(
        self,
        features: Tensor,
        lengths: Tensor,
        known: Known | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """See ``engine.protocol.Engine``.

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
