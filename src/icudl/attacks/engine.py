"""Logit difference of a recurrent classifier and its input gradient, fast; and the same of any model, by autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from icudl.attacks.products import rounded_up
from icudl.attacks.recurrence import RecurrentDirection, direction_of
from icudl.attacks.resumption import Course, Known, Memory, backward_end, forward_end
from icudl.errors import AttackError
from icudl.models.base import SequenceClassifier, blank_padding
from icudl.models.readout import last_hour, max_over_hours, mean_over_hours
from icudl.models.recurrent import RecurrentClassifier


class Engine(Protocol):
    """Scores features: (B,) logit of death minus logit of survival."""

    def remember(self, features: Tensor, lengths: Tensor) -> Memory | None:
        """Read stays that others will be variants of; None where this engine gains nothing from knowing them."""

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:
        """Return the (B,) logit differences of ``features`` (B, T, C).

        Args:
            features: Of B stays.
            lengths: (B,) hours of each.
            known: Known stays of the same lengths that these stays are variants of; changes the time it takes only.
        """

    def difference_and_gradient(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B,) logit differences and their (B, T, C) gradient."""


def make_engine(model: SequenceClassifier) -> Engine:
    """Return the fastest engine that is exact for a model: hand-written for LSTM and GRU, else autograd."""
    return RecurrentEngine(model) if type(model) is RecurrentClassifier else AutogradEngine(model)


class AutogradEngine:
    """Any differentiable model, in eval mode, by autograd.

    cuDNN refuses the backward pass of an RNN in eval mode (pytorch issue 5878), so it is switched off around the pass.

    Args:
        model: (features, lengths) to (B, 2) logits.
        name: What error messages call the model; its class where not given.
    """

    def __init__(self, model: nn.Module, name: str = "") -> None:
        self.model = model.eval()
        self.name = name or type(model).__name__

    def remember(self, features: Tensor, lengths: Tensor) -> None:
        """See ``Engine``: any model may depend on every hour in any way."""

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:  # noqa: ARG002
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
                    f"The model {self.name} is not differentiable: its logits carry no gradient of "
                    "the inputs. Expected a model made of differentiable operations; use another model or an attack "
                    "without gradients."
                )
            (gradient,) = torch.autograd.grad(difference.sum(), leaf)
        return difference.detach(), gradient


class RecurrentEngine:
    """``RecurrentClassifier`` through ``attacks.recurrence``.

    Where the read-out is ``last_hour``, the backward direction of the last layer has only read one hour there, so one
    hour of it is computed; this is exact, as is leaving out the hours beyond the longest stay of a batch.

    Args:
        model: Its weights are used as they are; training it further would change the engine.
    """

    def __init__(self, model: RecurrentClassifier) -> None:
        self.readout = model.options.readout
        self.attention, self.head = model.attention, model.head.eval()
        self.size = model.options.hidden_size
        self.layers: list[list[RecurrentDirection]] = [
            [direction_of(model.rnn, layer, backward=backward) for backward in _ways(model.options.bidirectional)]
            for layer in range(model.options.n_layers)
        ]
        self.has_shortcut = self.readout == "last_hour" and model.options.bidirectional
        self.reads_ends = self.readout in {"final", "last_hour"} and model.options.n_layers == 1

    def remember(self, features: Tensor, lengths: Tensor) -> Memory | None:
        """See ``Engine``; for models of one layer of which only end states are read."""
        if not self.reads_ends:
            return None
        with torch.no_grad():
            self._forward(features, lengths)
        own = self.layers[0][:1] if self.has_shortcut else self.layers[0]
        return Memory(_without_padding(features.clone(), lengths), tuple(Course.of(direction) for direction in own))

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:
        """See ``Engine``."""
        with torch.no_grad():
            if self.reads_ends:
                return self._score(self._ends(features, lengths, known), lengths)
            full, full_lengths = _rounded_up(features, lengths)
            return self._score(self._forward(full, full_lengths)[0], full_lengths)[: len(features)]

    def _ends(self, features: Tensor, lengths: Tensor, known: Known | None) -> Tensor:
        """Return what ``_forward`` returns for a model of one layer of which only end states are read."""
        features = _without_padding(features, lengths)
        forward, *backward = self.layers[0]
        states = [forward_end(forward, features, lengths, known)]
        if self.has_shortcut:
            states.append(backward[0].forward(last_hour(features, lengths)[None])[0])
        elif backward:
            states.append(backward_end(backward[0], features, lengths, known))
        return torch.cat(states, dim=1)

    def difference_and_gradient(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Engine``."""
        n_stays = len(features)
        features, lengths = _rounded_up(features, lengths)
        with torch.no_grad():
            read, order = self._forward(features, lengths)
        with torch.enable_grad():
            leaf = read.detach().clone().requires_grad_()
            difference = self._score(leaf, lengths)
            (gradient,) = torch.autograd.grad(difference.sum(), leaf)
        with torch.no_grad():
            by_features = self._backward(gradient, lengths, order, features)
        return difference[:n_stays].detach(), by_features[:n_stays]

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
        current = _without_padding(features[:, :n_hours], lengths).transpose(0, 1)
        for layer in self.layers[:-1]:
            current = _side_by_side(_run(layer, current, order), order)
        if self.has_shortcut:
            forward, backward = self.layers[-1]
            ends = last_hour(current.transpose(0, 1), lengths)
            states = _at_end(forward.forward(current), lengths)
            return torch.cat([states, backward.forward(ends[None])[0]], dim=1), order
        outputs = _run(self.layers[-1], current, order)
        if self.readout in {"final", "last_hour"}:
            return torch.cat([_at_end(states, lengths) for states in outputs], dim=1), order
        return _side_by_side(outputs, order).transpose(0, 1), order

    def _backward(self, gradient: Tensor, lengths: Tensor, order: Tensor, features: Tensor) -> Tensor:
        top = self.layers[-1]
        halves = gradient.split_with_sizes([self.size] * len(top), dim=-1)
        if self.has_shortcut:
            current = top[0].backward(_only_at_end(halves[0], lengths))
            stays = torch.arange(len(lengths), device=lengths.device)
            current[lengths - 1, stays] += top[1].backward([halves[1]])[0]
        elif self.readout in {"final", "last_hour"}:
            upstream = [_only_at_end(half, lengths) for half in halves]
            current = _run_back(top, upstream, order)
        else:
            current = _run_back(top, _own_orders(gradient.transpose(0, 1), len(top), order), order)
        for layer in reversed(self.layers[:-1]):
            current = _run_back(layer, _own_orders(current, len(layer), order), order)
        gradient = _without_padding(current.transpose(0, 1), lengths)
        beyond = features.shape[1] - len(order)
        return nn.functional.pad(gradient, (0, 0, 0, beyond)) if beyond else gradient


def _rounded_up(features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Add empty stays up to a number of stays that is one of few (``products.rounded_up``)."""
    extra = rounded_up(len(features)) - len(features)
    if extra == 0:
        return features, lengths
    features = nn.functional.pad(features, (0, 0, 0, 0, 0, extra))
    return features, nn.functional.pad(lengths, (0, extra), value=int(lengths.max()))


def _without_padding(features: Tensor, lengths: Tensor) -> Tensor:
    """Return (B, T, C) features with zeros beyond each length; the array itself where no stay is shorter."""
    return features if bool((lengths == features.shape[1]).all()) else blank_padding(features, lengths)


def _ways(bidirectional: bool) -> tuple[bool, ...]:
    return (False, True) if bidirectional else (False,)


def _run(layer: list[RecurrentDirection], current: Tensor, order: Tensor) -> list[Tensor]:
    """Return the (T, B, H) states of each direction, in the order in which it reads."""
    return [
        direction.forward(_reorder_hours(current, order) if number else current)
        for number, direction in enumerate(layer)
    ]


def _run_back(layer: list[RecurrentDirection], upstream: Sequence[Sequence[Tensor | None]], order: Tensor) -> Tensor:
    """Return the (T, B, C) gradient of a layer's inputs, given that of each direction's states in its own order."""
    gradients = [direction.backward(part) for direction, part in zip(layer, upstream, strict=True)]
    return gradients[0] if len(gradients) == 1 else gradients[0] + _reorder_hours(gradients[1], order)


def _side_by_side(states: list[Tensor], order: Tensor) -> Tensor:
    """Return (T, B, D H): the states of all directions at the same hour."""
    return states[0] if len(states) == 1 else torch.cat([states[0], _reorder_hours(states[1], order)], dim=2)


def _own_orders(gradient: Tensor, n_directions: int, order: Tensor) -> list[tuple[Tensor, ...]]:
    """Take apart what ``_side_by_side`` put together."""
    parts = list(gradient.chunk(n_directions, dim=2))
    orders = parts if n_directions == 1 else [parts[0], _reorder_hours(parts[1], order)]
    return [part.unbind(0) for part in orders]


def _backward_order(lengths: Tensor, n_hours: int) -> Tensor:
    """Return (T, B): which hour the backward direction reads at each step; its own inverse."""
    steps = torch.arange(n_hours, device=lengths.device)[:, None]
    return torch.where(steps < lengths, lengths - 1 - steps, steps)


def _reorder_hours(current: Tensor, order: Tensor) -> Tensor:
    if bool((order[0] == len(order) - 1).all()):
        return current.flip(0)
    return current.gather(0, order[:, :, None].expand(-1, -1, current.shape[2]))


def _only_at_end(gradient: Tensor, lengths: Tensor) -> list[Tensor | None]:
    """Return, for each hour, ``gradient`` (B, H) of the stays of which it is the last; None where it is of none."""
    ends = lengths.tolist()
    upstream: list[Tensor | None] = [None] * max(ends)
    for last in sorted(set(ends)):
        upstream[last - 1] = torch.where((lengths == last)[:, None], gradient, torch.zeros_like(gradient))
    return upstream


def _at_end(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the (B, H) states (T, B, H) after each stay's last step."""
    return states[lengths - 1, torch.arange(len(lengths), device=lengths.device)]
