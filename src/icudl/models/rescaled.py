"""A network that reads inputs made for another scaler."""

from __future__ import annotations

import torch
from torch import Tensor

from icudl.models.base import SequenceClassifier
from icudl.models.options import ModelOptions


class RescaledClassifier(SequenceClassifier):
    """A network whose input columns are moved to the scale it was fitted on, and kept within its winsor limits.

    Attributes:
        network: The network that scores.
        gain: (C,) by which a column is multiplied.
        bias: (C,) added to the product.
        low: (C,) smallest value the network has seen.
        high: (C,) largest.
    """

    def __init__(self, options: ModelOptions, network: SequenceClassifier) -> None:
        super().__init__(options, network.n_features)
        self.network = network
        self.gain: Tensor
        self.bias: Tensor
        self.low: Tensor
        self.high: Tensor
        limit = torch.finfo(torch.float32).max
        for name, value in (("gain", 1.0), ("bias", 0.0), ("low", -limit), ("high", limit)):
            self.register_buffer(name, torch.full((network.n_features,), value))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Score stays; see ``SequenceClassifier.forward``."""
        own = torch.minimum(torch.maximum(features * self.gain + self.bias, self.low), self.high)
        logits: Tensor = self.network(own, lengths)
        return logits

    def absorb(self, scale: float, shift: float) -> None:
        """Change the network; see ``SequenceClassifier.absorb``."""
        self.network.absorb(scale, shift)
