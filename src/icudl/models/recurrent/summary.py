"""Recurrent classifiers that also see each variable summarised over the stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from icudl.models.base import blank_padding
from icudl.models.options import GruSummaryOptions, LstmSummaryOptions, ModelOptions, RecurrentSummaryOptions
from icudl.models.recurrent.classifier import RecurrentClassifier
from icudl.models.summaries import WidePath


class SummaryRecurrentClassifier(RecurrentClassifier):
    """The weighted mean of the logits of two paths: recurrent layers over the hours, and a network on window summaries.

    Each path is trained against the labels by itself. The summaries are a differentiable function of the inputs, so an
    attack on the inputs goes through them, too.

    Attributes:
        wide: The second path.
    """

    options: RecurrentSummaryOptions

    def __init__(self, options: RecurrentSummaryOptions, n_features: int) -> None:
        super().__init__(options, n_features)
        self.wide = WidePath(n_features, options.dropout)

    def prepare(self, features: Tensor, lengths: Tensor, columns: Mapping[str, range]) -> None:
        """Take quantiles of the summaries; see ``SequenceClassifier.prepare``."""
        self.wide.encoding.prepare(features, lengths, columns)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Score stays; see ``SequenceClassifier.forward``."""
        recurrent, wide = self.training_logits(features, lengths)
        share = self.options.summary_share
        return (1 - share) * recurrent + share * wide

    def training_logits(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of both paths; see ``SequenceClassifier.training_logits``."""
        features = blank_padding(features, lengths)
        return super().forward(features, lengths), self.wide(features, lengths)

    def absorb(self, scale: float, shift: float) -> None:
        """Change the last layers of both paths; see ``SequenceClassifier.absorb``."""
        super().absorb(scale, shift)
        self.wide.absorb(scale, shift)


class LstmSummaryClassifier(SummaryRecurrentClassifier):
    """LSTM layers beside window summaries."""

    LAYERS = nn.LSTM
    Options: ClassVar[type[ModelOptions]] = LstmSummaryOptions
    citations = ("lstm",)


class GruSummaryClassifier(SummaryRecurrentClassifier):
    """GRU layers beside window summaries."""

    LAYERS = nn.GRU
    Options: ClassVar[type[ModelOptions]] = GruSummaryOptions
    citations = ("gru",)
