"""Temporal convolutional network (Bai et al. 2018): stacked dilated convolutions over the hours."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from icudl.models.base import SequenceClassifier, activation, blank_padding
from icudl.models.options import ConvolutionalOptions, ModelOptions
from icudl.models.recurrent.readout import AttentionReadout, Head, last_hour, max_over_hours, mean_over_hours

KERNEL = 3


class ConvolutionalClassifier(SequenceClassifier):
    """Residual blocks of dilated causal convolutions, a read-out, and a head.

    Causal: an hour sees itself and earlier ones, so padding, which comes last, cannot reach back. Block k has dilation
    2^k; ``n_layers`` blocks see 1 + 4 (2^n_layers - 1) hours.

    Attributes:
        blocks: ``n_layers`` residual blocks of ``hidden_size`` channels.
        attention: Weights of the read-out ``attention``, else None.
        head: From the (B, H) read-out to logits.
    """

    Options: ClassVar[type[ModelOptions]] = ConvolutionalOptions
    options: ConvolutionalOptions

    def __init__(self, options: ConvolutionalOptions, n_features: int) -> None:
        super().__init__(options, n_features)
        sizes = [n_features, *[options.hidden_size] * options.n_layers]
        self.blocks = nn.ModuleList(
            _Block(sizes[k], sizes[k + 1], 2**k, options.dropout) for k in range(options.n_layers)
        )
        size = options.hidden_size
        self.attention = AttentionReadout(size) if options.readout == "attention" else None
        self.head = Head(
            size, activation(options.activation), options.dropout, options.fc_size, activation(options.fc_activation)
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Score stays; see ``SequenceClassifier.forward``."""
        hidden = blank_padding(features, lengths).transpose(1, 2)
        for block in self.blocks:
            hidden = block(hidden)
        outputs = hidden.transpose(1, 2)
        read_outs = {"mean": mean_over_hours, "max": max_over_hours}
        read_out = self.attention or read_outs.get(self.options.readout, last_hour)
        logits: Tensor = self.head(read_out(outputs, lengths))
        return logits

    def absorb(self, scale: float, shift: float) -> None:
        """Change the last layer; see ``SequenceClassifier.absorb``."""
        self.head.absorb(scale, shift)


class _Block(nn.Module):
    """Two causal convolutions with dropout, beside a path that goes around them."""

    def __init__(self, n_in: int, n_out: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.padding = (KERNEL - 1) * dilation
        self.first = nn.Conv1d(n_in, n_out, KERNEL, dilation=dilation)
        self.second = nn.Conv1d(n_out, n_out, KERNEL, dilation=dilation)
        self.around = nn.Conv1d(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (B, n_out, T) from (B, n_in, T)."""
        inner = hidden
        for convolution in (self.first, self.second):
            padded = nn.functional.pad(inner, (self.padding, 0))
            inner = self.dropout(nn.functional.relu(convolution(padded)))
        out: Tensor = nn.functional.relu(inner + self.around(hidden))
        return out
