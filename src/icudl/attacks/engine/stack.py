"""Engine for any number of recurrent layers and any read-out: it reads every hour, layer by layer.

T hours, B stays, C features, H units, D directions a layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icudl.attacks.engine.known import Known
from icudl.attacks.engine.reading import Reading, from_nothing, without_padding
from icudl.attacks.engine.recurrence import RecurrentDirection, direction_of
from icudl.models.recurrent.classifier import RecurrentClassifier
from icudl.models.recurrent.readout import max_over_hours, mean_over_hours


class StackEngine:
    """``RecurrentClassifier`` through ``attacks.engine.recurrence``; see ``engine.protocol.Engine``.

    Hours beyond the longest stay of a batch are left out, which is exact.

    Args:
        model: The engine uses its weights unchanged; training the model further would change the engine.
    """

    def __init__(self, model: RecurrentClassifier) -> None:
        self.readout = model.options.readout
        self.attention, self.head = model.attention, model.head.eval()
        ways = (False, True) if model.options.bidirectional else (False,)
        self.layers: list[list[RecurrentDirection]] = [
            [direction_of(model.rnn, layer, backward=backward) for backward in ways]
            for layer in range(model.options.n_layers)
        ]

    def remember(self, features: Tensor, lengths: Tensor, n_moving: int | None = None) -> None:
        """Return None: every hour may change the inputs of the upper layers or of the read-out."""

    def anchor(self, features: Tensor, lengths: Tensor, known: Known) -> None:
        """Return None; see ``engine.protocol.Engine``."""

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:  # noqa: ARG002
        """See ``engine.protocol.Engine``."""
        n_hours = int(lengths.max())
        with torch.no_grad():
            current = without_padding(features, lengths)[:, :n_hours]
            outputs, _ = self._read(current, lengths, _backward_order(lengths, n_hours))
            return self._score(outputs, lengths)

    def survey(
        self,
        features: Tensor,
        lengths: Tensor,
        faint: float,  # noqa: ARG002
        known: Known | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor, None]:
        """See ``engine.protocol.Engine``."""
        return *self.difference_and_gradient(features, lengths), None

    def difference_and_gradient(
        self,
        features: Tensor,
        lengths: Tensor,
        known: Known | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """See ``engine.protocol.Engine``."""
        n_hours = int(lengths.max())
        order = _backward_order(lengths, n_hours)
        with torch.no_grad():
            outputs, readings = self._read(without_padding(features, lengths)[:, :n_hours], lengths, order)
        with torch.enable_grad():
            leaf = outputs.requires_grad_()
            difference = self._score(leaf, lengths)
            (gradient,) = torch.autograd.grad(difference.sum(), leaf)
        with torch.no_grad():
            for layer in reversed(readings):
                gradient = _back(layer, gradient, order)
            gradient = without_padding(gradient, lengths)
        beyond = features.shape[1] - n_hours
        return difference.detach(), nn.functional.pad(gradient, (0, 0, 0, beyond)) if beyond else gradient

    def _score(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the differences from the (B, T', D H) outputs of the last layer."""
        size = self.layers[0][0].size
        ends = lengths - 1
        stays = torch.arange(len(lengths), device=lengths.device)
        if self.attention is not None:
            read: Tensor = self.attention(outputs, lengths)
        elif self.readout == "mean":
            read = mean_over_hours(outputs, lengths)
        elif self.readout == "max":
            read = max_over_hours(outputs, lengths)
        elif self.readout == "last_hour":
            read = outputs[stays, ends]
        else:
            # The backward direction ends at hour 0.
            read = torch.cat([outputs[stays, ends, :size], outputs[:, 0, size:]], dim=1)
        logits: Tensor = self.head(read)
        return logits[:, 1] - logits[:, 0]

    def _read(self, current: Tensor, lengths: Tensor, order: Tensor) -> tuple[Tensor, list[list[Reading]]]:
        """Return the (B, T', D H) outputs of the last layer, and the readings of every layer."""
        readings = []
        begins = torch.zeros_like(lengths)
        for layer in self.layers:
            inputs = current.transpose(0, 1)
            readings.append(
                [
                    Reading(
                        direction,
                        _reordered(inputs, order) if number else inputs,
                        begins,
                        from_nothing(direction, len(current), current),
                    )
                    for number, direction in enumerate(layer)
                ]
            )
            states = [reading.states[1:] for reading in readings[-1]]
            ways = [states[0], *(_reordered(part, order) for part in states[1:])]
            current = torch.cat(ways, dim=2).transpose(0, 1)
        return current, readings


def _back(layer: list[Reading], gradient: Tensor, order: Tensor) -> Tensor:
    """Return the (B, T, C) gradient of a layer's inputs, given that of its (B, T, D H) outputs."""
    halves = gradient.transpose(0, 1).chunk(len(layer), dim=2)
    onwards = layer[0].back(halves[0].unbind(0))
    if len(layer) == 1:
        return onwards
    backwards = layer[1].back(_reordered(halves[1], order).unbind(0))
    return onwards + _reordered(backwards.transpose(0, 1), order).transpose(0, 1)


def _backward_order(lengths: Tensor, n_hours: int) -> Tensor:
    """Return (T, B): which hour the backward direction reads at each step; its own inverse."""
    steps = torch.arange(n_hours, device=lengths.device)[:, None]
    return torch.where(steps < lengths, lengths - 1 - steps, steps)


def _reordered(current: Tensor, order: Tensor) -> Tensor:
    if bool((order[0] == len(order) - 1).all()):
        return current.flip(0)
    return current.gather(0, order[:, :, None].expand(-1, -1, current.shape[2]))
