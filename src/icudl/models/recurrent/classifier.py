"""LSTM and GRU classifiers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from icudl.models.base import SequenceClassifier, activation, are_whole, blank_padding
from icudl.models.options import GruOptions, LstmOptions, ModelOptions, RecurrentOptions
from icudl.models.recurrent.readout import AttentionReadout, Head, last_hour, max_over_hours, mean_over_hours


class RecurrentClassifier(SequenceClassifier):
    """Recurrent layers, a read-out, and a head; ``LstmClassifier`` and ``GruClassifier`` say which layers.

    The read-out ``final`` takes the state in which each direction ends: hour T-1 of a stay for the forward direction
    and hour 0 for the backward one, so that both have seen the whole stay. ``last_hour`` is the original's read-out.

    Attributes:
        LAYERS: The class of the recurrent layers.
        rnn: The layers (batch first); C inputs, ``hidden_size`` units a direction.
        attention: Weights of the read-out ``attention``, else None.
        head: From the (B, D H) read-out to logits; forward units first.
    """

    LAYERS: ClassVar[type[nn.LSTM] | type[nn.GRU]]
    options: RecurrentOptions

    def __init__(self, options: RecurrentOptions, n_features: int) -> None:
        super().__init__(options, n_features)
        self.rnn = self.LAYERS(
            n_features,
            options.hidden_size,
            num_layers=options.n_layers,
            batch_first=True,
            bidirectional=options.bidirectional,
            dropout=options.dropout if options.n_layers > 1 else 0.0,
        )
        size = self.n_states
        self.attention = AttentionReadout(size) if options.readout == "attention" else None
        self.head = Head(
            size, activation(options.activation), options.dropout, options.fc_size, activation(options.fc_activation)
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Score stays; see ``SequenceClassifier.forward``."""
        logits: Tensor = self.head(self._summary(features, lengths))
        return logits

    def absorb(self, scale: float, shift: float) -> None:
        """Change the last layer; see ``SequenceClassifier.absorb``."""
        self.head.absorb(scale, shift)

    @property
    def encoder(self) -> nn.Module:
        """The recurrent layers, which can be fitted without outcomes (``training.pretraining``)."""
        return self.rnn

    @property
    def n_states(self) -> int:
        """D H, the units of an hour."""
        return self.options.hidden_size * (2 if self.options.bidirectional else 1)

    def hourly_states(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return (B, T, D H) outputs of the last recurrent layer, forward units first; 0 beyond each length."""
        return self._run(features, lengths)[0]

    def _summary(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the (B, D H) read-out."""
        # On a GPU cuDNN wants the weights of both directions in one piece of memory, and reads both anyway.
        if self.reads_one_hour_backward and features.device.type == "cpu":
            return self._last_hour_alone(features, lengths)
        outputs, final = self._run(features, lengths)
        return self._read_out(outputs, final, lengths)

    @property
    def reads_one_hour_backward(self) -> bool:
        """Whether the read-out needs only the first step of the backward direction, so that others can be skipped."""
        options = self.options
        return options.readout == "last_hour" and options.bidirectional and options.n_layers == 1

    def _last_hour_alone(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the read-out ``last_hour``, the backward direction read at each stay's last hour only."""
        features = blank_padding(features, lengths)
        last = last_hour(features, lengths)[:, None]
        forward = last_hour(_read_in_order(self.rnn, features, ""), lengths)
        return torch.cat([forward, _read_in_order(self.rnn, last, "_reverse")[:, 0]], dim=1)

    def _run(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, T, D H) outputs of the last layer, and its (B, D H) final states."""
        n_hours = features.shape[1]
        features = blank_padding(features, lengths)
        if are_whole(lengths, n_hours):
            outputs, state = self.rnn(features)
        else:
            # Packing lets the backward direction start at each stay's own last hour.
            packed = nn.utils.rnn.pack_padded_sequence(features, lengths.cpu(), batch_first=True, enforce_sorted=False)
            packed_outputs, state = self.rnn(packed)
            outputs, _ = nn.utils.rnn.pad_packed_sequence(packed_outputs, batch_first=True, total_length=n_hours)
        hidden = state[0] if isinstance(state, tuple) else state
        last_layer = hidden[-2:] if self.options.bidirectional else hidden[-1:]
        return outputs, torch.cat(tuple(last_layer), dim=1)

    def _read_out(self, outputs: Tensor, final: Tensor, lengths: Tensor) -> Tensor:
        if self.attention is not None:
            attended: Tensor = self.attention(outputs, lengths)
            return attended
        if self.options.readout == "final":
            return final
        read_outs = {"last_hour": last_hour, "mean": mean_over_hours, "max": max_over_hours}
        return read_outs[self.options.readout](outputs, lengths)


class LstmClassifier(RecurrentClassifier):
    """Long short-term memory (Hochreiter & Schmidhuber 1997)."""

    LAYERS = nn.LSTM
    Options: ClassVar[type[ModelOptions]] = LstmOptions
    citations = ("lstm",)


class GruClassifier(RecurrentClassifier):
    """Gated recurrent units (Cho et al. 2014)."""

    LAYERS = nn.GRU
    Options: ClassVar[type[ModelOptions]] = GruOptions
    citations = ("gru",)


def _read_in_order(rnn: nn.RNNBase, inputs: Tensor, suffix: str) -> Tensor:
    """Return (B, T, H) outputs of one direction's cell over (B, T, C) inputs in the order given."""
    weights = [getattr(rnn, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    start = inputs.new_zeros(1, len(inputs), rnn.hidden_size)
    if isinstance(rnn, nn.LSTM):
        return torch.lstm(inputs, (start, start), weights, True, 1, 0.0, rnn.training, False, True)[0]
    return torch.gru(inputs, start, weights, True, 1, 0.0, rnn.training, False, True)[0]
