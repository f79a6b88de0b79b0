"""Transformer encoder (Vaswani et al. 2017) over the hours."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from icudl.models.base import SequenceClassifier, activation, blank_padding, within_length
from icudl.models.options import ModelOptions, TransformerOptions
from icudl.models.recurrent.readout import AttentionReadout, Head, last_hour, max_over_hours, mean_over_hours

HEAD_SIZE = 16


class TransformerClassifier(SequenceClassifier):
    """Linear embedding, sines and cosines of the hour, encoder layers (norm first), a read-out, and a head.

    Every hour sees every other hour of its stay; padding is masked. There is one attention head per ``HEAD_SIZE`` units
    (one, where ``hidden_size`` is no multiple of it).

    Attributes:
        embed: (C -> ``hidden_size``).
        encoder: ``n_layers`` layers.
        attention: Weights of the read-out ``attention``, else None.
        head: From the (B, H) read-out to logits.
    """

    Options: ClassVar[type[ModelOptions]] = TransformerOptions
    options: TransformerOptions

    def __init__(self, options: TransformerOptions, n_features: int) -> None:
        super().__init__(options, n_features)
        size = options.hidden_size
        self.embed = nn.Linear(n_features, size)
        layer = nn.TransformerEncoderLayer(
            size,
            nhead=size // HEAD_SIZE if size % HEAD_SIZE == 0 else 1,
            dim_feedforward=2 * size,
            dropout=options.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            layer, options.n_layers, norm=nn.LayerNorm(size), enable_nested_tensor=False
        )
        self.attention = AttentionReadout(size) if options.readout == "attention" else None
        self.head = Head(
            size, activation(options.activation), options.dropout, options.fc_size, activation(options.fc_activation)
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Score stays; see ``SequenceClassifier.forward``."""
        n_hours = features.shape[1]
        hidden = self.embed(blank_padding(features, lengths)) + hour_waves(n_hours, self.options.hidden_size).to(
            features
        )
        outputs = self.encoder(hidden, src_key_padding_mask=~within_length(lengths, n_hours))
        read_outs = {"mean": mean_over_hours, "max": max_over_hours}
        read_out = self.attention or read_outs.get(self.options.readout, last_hour)
        logits: Tensor = self.head(read_out(outputs, lengths))
        return logits

    def absorb(self, scale: float, shift: float) -> None:
        """Change the last layer; see ``SequenceClassifier.absorb``."""
        self.head.absorb(scale, shift)


def hour_waves(n_hours: int, size: int) -> Tensor:
    """Return (T, size): sines in the even columns and cosines in the odd ones, of geometrically falling frequency."""
    hours = torch.arange(n_hours, dtype=torch.float32)[:, None]
    columns = torch.arange(size)
    angles = hours * torch.exp(-math.log(10_000.0) * (columns // 2 * 2) / size)
    return torch.where(columns % 2 == 0, torch.sin(angles), torch.cos(angles))
