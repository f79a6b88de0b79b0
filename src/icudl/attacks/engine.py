"""Logit difference of a recurrent classifier and its input gradient, fast; and the same of any model, by autograd."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from icudl.attacks.recurrence import RecurrentLayer, layers_of
from icudl.errors import AttackError
from icudl.models.base import SequenceClassifier, blank_padding
from icudl.models.readout import last_hour, max_over_hours, mean_over_hours
from icudl.models.recurrent import RecurrentClassifier

FORWARD, BACKWARD = 0, 1


class Engine(Protocol):
    """Scores features: (B,) logit of death minus logit of survival."""

    def difference(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the (B,) logit differences of ``features`` (B, T, C)."""

    def difference_and_gradient(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B,) logit differences and their (B, T, C) gradient."""


def make_engine(model: SequenceClassifier) -> Engine:
    """Return the fastest engine that is exact for a model: hand-written for LSTM and GRU, else autograd."""
    return RecurrentEngine(model) if type(model) is RecurrentClassifier else AutogradEngine(model)


class AutogradEngine:
    """Any differentiable model, in eval mode, by autograd.

    cuDNN refuses the backward pass of an RNN in eval mode (pytorch issue 5878), so it is switched off around the pass.
    """

    def __init__(self, model: SequenceClassifier) -> None:
        self.model = model.eval()

    def difference(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See ``Engine``."""
        with torch.no_grad():
            logits: Tensor = self.model(features, lengths)
        return logits[:, 1] - logits[:, 0]

    def difference_and_gradient(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Engine``.

        Raises:
            AttackError: The model's logits do not depend differentiably on its inputs.
        """
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            leaf = features.detach().clone().requires_grad_()
            logits = self.model(leaf, lengths)
            difference = logits[:, 1] - logits[:, 0]
            if not difference.requires_grad:
                raise AttackError(
                    f"The model {type(self.model).__name__} is not differentiable: its logits carry no gradient of "
                    "the inputs. Expected a model made of differentiable operations; use another model or an attack "
                    "without gradients."
                )
            (gradient,) = torch.autograd.grad(difference.sum(), leaf)
        return difference.detach(), gradient


class RecurrentEngine:
    """``RecurrentClassifier`` through ``attacks.recurrence``.

    Directions that read the same number of hours share a loop. Where the read-out is ``last_hour``, the backward
    direction of the last layer has only read one hour there, so one hour of it is computed; both are exact.

    Args:
        model: Its weights are copied; it is not kept, but for the parameters of read-out and head.
    """

    def __init__(self, model: RecurrentClassifier) -> None:
        self.readout = model.options.readout
        self.attention, self.head = model.attention, model.head.eval()
        n_layers = model.options.n_layers
        both = (FORWARD, BACKWARD) if model.options.bidirectional else (FORWARD,)
        self.n_directions, self.size = len(both), model.options.hidden_size
        self.lower = [layers_of(model.rnn, both, layer) for layer in range(n_layers - 1)]
        top = n_layers - 1
        self.one_step: RecurrentLayer | None = None
        if self.readout == "last_hour" and len(both) == 2:
            self.top = layers_of(model.rnn, (FORWARD,), top)
            self.one_step = layers_of(model.rnn, (BACKWARD,), top)
        else:
            self.top = layers_of(model.rnn, both, top)

    def difference(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See ``Engine``."""
        with torch.no_grad():
            read, _ = self._forward(features, lengths)
            return self._score(read, lengths)

    def difference_and_gradient(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Engine``."""
        with torch.no_grad():
            read, backward_order = self._forward(features, lengths)
        with torch.enable_grad():
            leaf = read.detach().clone().requires_grad_()
            difference = self._score(leaf, lengths)
            (gradient,) = torch.autograd.grad(difference.sum(), leaf)
        with torch.no_grad():
            return difference.detach(), self._backward(gradient, lengths, backward_order, features)

    def _score(self, read: Tensor, lengths: Tensor) -> Tensor:
        """Return the difference from what the last layer gives the read-out: (B, D H), or (B, T', D H) outputs."""
        if self.attention is not None:
            read = self.attention(read, lengths)
        elif self.readout == "mean":
            read = mean_over_hours(read, lengths)
        elif self.readout == "max":
            read = max_over_hours(read, lengths)
        logits: Tensor = self.head(read)
        return logits[:, 1] - logits[:, 0]

    def _forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        n_hours = int(lengths.max())
        order = _backward_order(lengths, n_hours)
        current = blank_padding(features[:, :n_hours], lengths).transpose(0, 1)
        for layer in self.lower:
            current = self._side_by_side(layer.forward(self._directed(current, order)), order)
        if self.one_step is not None:
            ends = last_hour(current.transpose(0, 1), lengths)
            forward = _at_end(self.top.forward(current[None])[0], lengths)
            backward = self.one_step.forward(ends[None, None])[0, 0]
            return torch.cat([forward, backward], dim=1), order
        states = self.top.forward(self._directed(current, order))
        if self.readout in {"final", "last_hour"}:
            return torch.cat([_at_end(direction, lengths) for direction in states], dim=1), order
        return self._side_by_side(states, order).transpose(0, 1), order

    def _backward(self, gradient: Tensor, lengths: Tensor, order: Tensor, features: Tensor) -> Tensor:
        n_stays, n_hours = len(lengths), order.shape[0]
        stays = torch.arange(n_stays, device=lengths.device)
        if self.readout in {"final", "last_hour"}:
            halves = gradient.view(n_stays, -1, self.size).transpose(0, 1)
            loop = halves[:1] if self.one_step is not None else halves
            upstream = gradient.new_zeros(len(loop), n_hours, n_stays, self.size)
            upstream[:, lengths - 1, stays] = loop
        else:
            upstream = self._directed_gradient(gradient.transpose(0, 1), order)
        current = self._undirected_gradient(self.top.backward(upstream), order)
        if self.one_step is not None:
            current[lengths - 1, stays] += self.one_step.backward(halves[1][None, None])[0, 0]
        for layer in reversed(self.lower):
            current = self._undirected_gradient(layer.backward(self._directed_gradient(current, order)), order)
        full = torch.zeros_like(features)
        full[:, :n_hours] = blank_padding(current.transpose(0, 1), lengths)
        return full

    def _directed(self, current: Tensor, order: Tensor) -> Tensor:
        """Return (D, T, B, C): each direction's own sequence, from its step 0 on."""
        if self.n_directions == 1:
            return current[None]
        return torch.stack([current, _reorder_hours(current, order)])

    def _side_by_side(self, states: Tensor, order: Tensor) -> Tensor:
        """Return (T, B, D H): the states of both directions at the same hour."""
        if self.n_directions == 1:
            return states[0]
        return torch.cat([states[0], _reorder_hours(states[1], order)], dim=2)

    def _directed_gradient(self, gradient: Tensor, order: Tensor) -> Tensor:
        if self.n_directions == 1:
            return gradient[None]
        forward, backward = gradient.chunk(2, dim=2)
        return torch.stack([forward, _reorder_hours(backward, order)])

    @staticmethod
    def _undirected_gradient(gradient: Tensor, order: Tensor) -> Tensor:
        if len(gradient) == 1:
            return gradient[0]
        return gradient[0] + _reorder_hours(gradient[1], order)


def _backward_order(lengths: Tensor, n_hours: int) -> Tensor:
    """Return (T, B): which hour the backward direction reads at each step; its own inverse."""
    steps = torch.arange(n_hours, device=lengths.device)[:, None]
    return torch.where(steps < lengths, lengths - 1 - steps, steps)


def _reorder_hours(current: Tensor, order: Tensor) -> Tensor:
    return current.gather(0, order[:, :, None].expand(-1, -1, current.shape[2]))


def _at_end(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the (B, H) states (T, B, H) after each stay's last step."""
    return states[lengths - 1, torch.arange(len(lengths), device=lengths.device)]
