"""A small network on window summaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from icudl.models.base import SequenceClassifier, blank_padding
from icudl.models.encoding import SummaryEncoding
from icudl.models.options import ModelOptions, SummaryOptions

UNITS = 64


class WidePath(nn.Module):
    """Encoded window summaries to two logits: a hidden layer, and a linear layer around it that starts at zero.

    The linear layer alone is a sum of piecewise linear functions of one summary each; the hidden layer adds
    functions of several.

    Attributes:
        encoding: From (B, T, C) features to encoded summaries.
        hidden: From these to ``UNITS``.
        out: From ``UNITS`` to logits.
        around: From the encoded summaries to logits.
    """

    def __init__(self, n_features: int, dropout: float) -> None:
        super().__init__()
        self.encoding = SummaryEncoding(n_features)
        n_inputs = self.encoding.n_outputs
        self.hidden = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(n_inputs, UNITS), nn.LayerNorm(UNITS), nn.GELU(), nn.Dropout(dropout)
        )
        self.out = nn.Linear(UNITS, 2)
        self.around = nn.Linear(n_inputs, 2)
        nn.init.zeros_(self.around.weight)
        nn.init.zeros_(self.around.bias)

    def forward(self, features: Tensor, lengths: Tensor, active: Tensor | None = None) -> Tensor:
        """Return (B, 2) logits of (B, T, C) features, which are finite; see ``SummaryEncoding.forward``."""
        encoded = self.encoding(features, lengths, active)
        logits: Tensor = self.out(self.hidden(encoded)) + self.around(encoded)
        return logits

    def absorb(self, scale: float, shift: float) -> None:
        """Make the logit difference z ``scale`` z + ``shift``."""
        with torch.no_grad():
            for layer in (self.out, self.around):
                layer.weight.mul_(scale)
                layer.bias.mul_(scale)
            self.out.bias.add_(torch.tensor([-shift / 2, shift / 2]).to(self.out.bias))


class SummaryClassifier(SequenceClassifier):
    """The wide path alone.

    Attributes:
        wide: The path.
    """

    Options: ClassVar[type[ModelOptions]] = SummaryOptions
    options: SummaryOptions

    def __init__(self, options: SummaryOptions, n_features: int) -> None:
        super().__init__(options, n_features)
        self.wide = WidePath(n_features, options.dropout)

    def prepare(self, features: Tensor, lengths: Tensor, columns: Mapping[str, range]) -> None:
        """Take quantiles of the summaries; see ``SequenceClassifier.prepare``."""
        self.wide.encoding.prepare(features, lengths, columns)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Score stays; see ``SequenceClassifier.forward``."""
        logits: Tensor = self.wide(blank_padding(features, lengths), lengths)
        return logits

    def absorb(self, scale: float, shift: float) -> None:
        """Change the last layers; see ``SequenceClassifier.absorb``."""
        self.wide.absorb(scale, shift)
