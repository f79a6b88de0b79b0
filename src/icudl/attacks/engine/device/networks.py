"""Logit differences of our networks, from operations that a device can do without waiting for the host.

A recorded pass (``execution.recording``) may not look at numbers on the host. Packed sequences do, since they need
the lengths there. Here, the backward direction of a ragged batch is a direction of its own, which reads each stay in
reversed order: what lies beyond a stay's length then comes after all of its hours, in both directions.

B stays, T hours, C features, H units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from icudl.attacks.engine.parts import NotWrittenByHandError, parts_of
from icudl.models.base import blank_padding
from icudl.models.recurrent.classifier import RecurrentClassifier
from icudl.models.recurrent.readout import max_over_hours, mean_over_hours
from icudl.models.rescaled import RescaledClassifier
from icudl.models.summaries import WidePath


class Score(Protocol):
    """A differentiable score of stays."""

    def __call__(self, features: Tensor, lengths: Tensor, *, whole: bool) -> Tensor:
        """Return the (B,) logit differences.

        Args:
            features: (B, T, C).
            lengths: (B,) hours of each.
            whole: Every stay has T hours; ``lengths`` need not be looked at.
        """


def score_of(model: nn.Module) -> Score:
    """Return the score of a model; it has copies of the recurrent weights.

    Raises:
        NotWrittenByHandError: The model has a part that is none of ours.
    """
    return WeightedSum([(share, _score_of_part(part)) for share, part in parts_of(model)])


def _score_of_part(part: nn.Module) -> Score:
    if isinstance(part, RecurrentClassifier):
        return RecurrentScore(part)
    if isinstance(part, WidePath):
        return WideScore(part)
    if isinstance(part, RescaledClassifier):
        return RescaledScore(part)
    raise NotWrittenByHandError


class WeightedSum:
    """A weighted sum of scores.

    Args:
        terms: Weights and scores.
    """

    def __init__(self, terms: Sequence[tuple[float, Score]]) -> None:
        self.terms = terms

    def __call__(self, features: Tensor, lengths: Tensor, *, whole: bool) -> Tensor:
        """See ``Score``."""
        if not whole:
            features = blank_padding(features, lengths)
        parts = [share * score(features, lengths, whole=whole) for share, score in self.terms]
        return sum(parts[1:], parts[0])


class RescaledScore:
    """A network that reads inputs made for another scaler; see ``models.rescaled``."""

    def __init__(self, model: RescaledClassifier) -> None:
        self.gain, self.bias, self.low, self.high = model.gain, model.bias, model.low, model.high
        self.score = score_of(model.network)

    def __call__(self, features: Tensor, lengths: Tensor, *, whole: bool) -> Tensor:
        """See ``Score``."""
        own = torch.minimum(torch.maximum(features * self.gain + self.bias, self.low), self.high)
        return self.score(own, lengths, whole=whole)


class WideScore:
    """A network on window summaries; see ``models.summaries``."""

    def __init__(self, path: WidePath) -> None:
        self.path = path.eval()
        self.active = path.encoding.active()

    def __call__(self, features: Tensor, lengths: Tensor, *, whole: bool) -> Tensor:  # noqa: ARG002 - lengths say it
        """See ``Score``."""
        return _difference(self.path(features, lengths, self.active))


class RecurrentScore:
    """Recurrent layers, a read-out and a head; see ``models.recurrent.classifier``.

    cuDNN has a backward pass of layers in train mode only. The layers are copies in that mode, without dropout.

    Args:
        model: The network. The weights of its recurrent layers are copied.
    """

    def __init__(self, model: RecurrentClassifier) -> None:
        self.options = model.options
        self.attention, self.head = model.attention, model.head.eval()
        self.reads_one_hour_backward = model.reads_one_hour_backward
        self.together = _layers_like(model.rnn, model.options.n_layers, bidirectional=model.options.bidirectional)
        self.together.load_state_dict(model.rnn.state_dict())
        suffixes = ("", "_reverse") if model.options.bidirectional else ("",)
        self.apart = [
            [_direction(model.rnn, layer, suffix) for suffix in suffixes] for layer in range(model.options.n_layers)
        ]

    def __call__(self, features: Tensor, lengths: Tensor, *, whole: bool) -> Tensor:
        """See ``Score``."""
        return _difference(self.head(self._read(features, lengths, whole=whole)))

    def _read(self, features: Tensor, lengths: Tensor, *, whole: bool) -> Tensor:
        """Return the (B, D H) read-out."""
        if self.reads_one_hour_backward:
            forward, backward = self.apart[0]
            last = _last(features, lengths, whole=whole)
            ended = _last(forward(features)[0], lengths, whole=whole)
            return torch.cat([ended[:, 0], backward(last)[0][:, 0]], dim=1)
        outputs: Tensor = self.together(features)[0] if whole else self._outputs(features, lengths)
        readout = self.options.readout
        if self.attention is not None:
            attended: Tensor = self.attention(outputs, lengths)
            return attended
        if readout == "mean":
            return mean_over_hours(outputs, lengths)
        if readout == "max":
            return max_over_hours(outputs, lengths)
        last = _last(outputs, lengths, whole=whole)[:, 0]
        if readout == "last_hour" or not self.options.bidirectional:
            return last
        # The backward direction ends at hour 0.
        size = self.options.hidden_size
        return torch.cat([last[:, :size], outputs[:, 0, size:]], dim=1)

    def _outputs(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the (B, T, D H) outputs of the last layer for stays of any length."""
        steps = torch.arange(features.shape[1], device=lengths.device)
        ends = lengths[:, None]
        order = torch.where(steps < ends, ends - 1 - steps, steps)
        current = features
        for forward, *backward in self.apart:
            ways = [forward(current)[0]]
            ways += [_reordered(layer(_reordered(current, order))[0], order) for layer in backward]
            current = torch.cat(ways, dim=2)
        return current


def _layers_like(rnn: nn.LSTM | nn.GRU, n_layers: int, *, bidirectional: bool, n_inputs: int = 0) -> nn.LSTM | nn.GRU:
    """Return layers of the same class, size, type and device: without dropout, in train mode, not trained."""
    kind = nn.LSTM if isinstance(rnn, nn.LSTM) else nn.GRU
    weight = rnn.weight_hh_l0
    layers = kind(
        n_inputs or rnn.input_size,
        rnn.hidden_size,
        num_layers=n_layers,
        batch_first=True,
        bidirectional=bidirectional,
        device=weight.device,
        dtype=weight.dtype,
    )
    return layers.train().requires_grad_(requires_grad=False)


def _direction(rnn: nn.LSTM | nn.GRU, layer: int, suffix: str) -> nn.LSTM | nn.GRU:
    """Return a copy of one direction of one layer."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = {f"{name}_l0": getattr(rnn, f"{name}_l{layer}{suffix}").detach() for name in names}
    only = _layers_like(rnn, 1, bidirectional=False, n_inputs=weights["weight_ih_l0"].shape[1])
    only.load_state_dict(weights)
    return only


def _last(array: Tensor, lengths: Tensor, *, whole: bool) -> Tensor:
    """Return (B, 1, N) of each stay's last hour, from (B, T, N)."""
    if whole:
        return array[:, -1:]
    return array.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, array.shape[2]))


def _reordered(array: Tensor, order: Tensor) -> Tensor:
    return array.gather(1, order[:, :, None].expand_as(array))


def _difference(logits: Tensor) -> Tensor:
    return logits[:, 1] - logits[:, 0]
