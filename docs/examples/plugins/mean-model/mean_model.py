"""A small network on the mean of each input over the hours of a stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from icudl.models import TRAINING_SPACE, ModelOptions, SequenceClassifier, within_length
from icudl.options import option


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanOptions(ModelOptions):
    """A network on the mean of each variable over the window."""

    SPACE: ClassVar[Mapping[str, Any]] = {"model.units": {"choices": [16, 32, 64]}, **TRAINING_SPACE}

    name: str = option("mean", "Model plug-in.")
    units: int = option(32, "Units of the hidden layer.", low=1, high=4096)
    dropout: float = option(0.3, "Dropout behind the hidden layer.", low=0.0, high=0.95)


class MeanClassifier(SequenceClassifier):
    """Mean over the hours, one hidden layer, two logits."""

    Options: ClassVar[type[ModelOptions]] = MeanOptions

    def __init__(self, options: MeanOptions, n_features: int) -> None:
        super().__init__(options, n_features)
        self.hidden = nn.Linear(n_features, options.units)
        self.dropout = nn.Dropout(options.dropout)
        self.out = nn.Linear(options.units, 2)

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
