"""Recurrent classifiers that also see each input summarised over the stay."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icudl.models.base import activation, blank_padding
from icudl.models.options import ModelOptions
from icudl.models.readout import Head, last_hour, max_over_hours, mean_over_hours
from icudl.models.recurrent import RecurrentClassifier

N_SUMMARIES = 5


def summarise_inputs(features: Tensor, lengths: Tensor) -> Tensor:
    """Return (B, 5 C): mean, largest, smallest, first and last value of each of C columns over a stay's hours."""
    return torch.cat(
        [
            mean_over_hours(features, lengths),
            max_over_hours(features, lengths),
            -max_over_hours(-features, lengths),
            features[:, 0],
            last_hour(features, lengths),
        ],
        dim=1,
    )


class SummaryRecurrentClassifier(RecurrentClassifier):
    """An LSTM or GRU beside a wide path: what trees are given as window summaries, computed inside the model.

    The summaries are a differentiable function of the inputs, so an attack on the inputs goes through them, too.

    Attributes:
        wide: From (B, 5 C) summaries to (B, ``hidden_size``).
    """

    def __init__(self, options: ModelOptions, n_features: int) -> None:
        super().__init__(options, n_features)
        n_summaries = N_SUMMARIES * n_features
        self.wide = nn.Sequential(
            nn.Dropout(options.dropout), nn.Linear(n_summaries, options.hidden_size), activation("gelu")
        )
        size = options.hidden_size * (3 if options.bidirectional else 2) + n_summaries
        self.head = Head(
            size, activation(options.activation), options.dropout, options.fc_size, activation(options.fc_activation)
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Score stays; see ``SequenceClassifier.forward``."""
        features = blank_padding(features, lengths)
        summaries = summarise_inputs(features, lengths)
        outputs, final = self._run(features, lengths)
        read_out = self._read_out(outputs, final, lengths)
        logits: Tensor = self.head(torch.cat([read_out, self.wide(summaries), summaries], dim=1))
        return logits
