"""A small network on the mean of each input over the hours of a stay."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icudl.models.base import SequenceClassifier, within_length
from icudl.models.options import ModelOptions


class MeanClassifier(SequenceClassifier):
    """Mean over the hours, one hidden layer, two logits."""

    citations: tuple[str, ...] = ()

    def __init__(self, options: ModelOptions, n_features: int) -> None:
        super().__init__(options, n_features)
        self.hidden = nn.Linear(n_features, options.hidden_size)
        self.dropout = nn.Dropout(options.dropout)
        self.out = nn.Linear(options.hidden_size, 2)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return (B, 2) logits of (B, T, C) features; hours beyond a stay's length count for nothing."""
        inside = within_length(lengths, features.shape[1])[:, :, None]
        mean = features.masked_fill(~inside, 0.0).sum(dim=1) / lengths[:, None]
        logits: Tensor = self.out(self.dropout(torch.relu(self.hidden(mean))))
        return logits

    def absorb(self, scale: float, shift: float) -> None:
        """Make the logit difference z ``scale`` z + ``shift``: calibration becomes part of the model."""
        with torch.no_grad():
            self.out.weight.mul_(scale)
            self.out.bias.mul_(scale)
            self.out.bias.add_(torch.tensor([-shift / 2, shift / 2]))
