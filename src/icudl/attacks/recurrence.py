"""Recurrent layers with a backward pass of their own: what an attack needs of an LSTM or a GRU, and nothing else.

Parameters are frozen, so only the gradient of the input is formed. The time loops hold what cannot be done for all
hours at once: going forward the product of the state with the recurrent weights and the gates, going back
dh <- dgates W_hh. Everything else is one operation over all hours. Both directions of a layer go through the same loop.
There is no library RNN in the way, so neither cuDNN's refusal of a backward pass in eval mode nor dropout matters.

D directions, T hours, B stays, C inputs, H units; arrays are (D, T, B, ...) so that an hour is a batch of matrices.
Equations of the cells: documentation of ``torch.nn.LSTM`` and ``torch.nn.GRU``.
"""

from __future__ import annotations

import abc
import math

import torch
from torch import Tensor, nn


class Workspace:
    """Arrays that are used again at every pass: fresh ones of this size cost more to map than to fill."""

    def __init__(self) -> None:
        self._arrays: dict[str, Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return an uninitialised array; what was taken under this name before is overwritten."""
        size = math.prod(shape)
        array = self._arrays.get(name)
        if array is None or array.numel() < size or array.dtype != like.dtype or array.device != like.device:
            array = like.new_empty(size)
            self._arrays[name] = array
        return array[:size].view(shape)


class RecurrentLayer(abc.ABC):
    """One layer, in one or two directions; every direction reads its sequence from step 0 on.

    Args:
        input_weights: (D, G H, C).
        state_weights: (D, G H, H).
        input_bias: (D, G H).
        state_bias: (D, G H).
    """

    def __init__(self, input_weights: Tensor, state_weights: Tensor, input_bias: Tensor, state_bias: Tensor) -> None:
        self.input_weights = input_weights.contiguous()
        self.input_transposed = input_weights.transpose(1, 2).contiguous()
        self.state_weights = state_weights.contiguous()
        self.state_transposed = state_weights.transpose(1, 2).contiguous()
        self.input_bias, self.state_bias = input_bias, state_bias
        self.size = state_weights.shape[2]
        self.space = Workspace()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (D, T, B, H) states of ``inputs`` (D, T, B, C), and keep what ``backward`` needs."""
        n_directions, n_hours, n_stays, _ = inputs.shape
        width = self.input_weights.shape[1]
        gates = self.space.take("gates", (n_directions, n_hours, n_stays, width), inputs)
        torch.baddbmm(
            self._bias()[:, None, :],
            inputs.reshape(n_directions, n_hours * n_stays, -1),
            self.input_transposed,
            out=gates.view(n_directions, n_hours * n_stays, width),
        )
        # Step 0 of the states is the zero state before the first hour.
        states = self.space.take("states", (n_directions, n_hours + 1, n_stays, self.size), inputs)
        states[:, 0].zero_()
        self._advance(gates, states)
        return states[:, 1:]

    def backward(self, upstream: Tensor) -> Tensor:
        """Return the (D, T, B, C) gradient of the inputs, given that of the states (D, T, B, H)."""
        return self._input_gradient(upstream)

    @abc.abstractmethod
    def _bias(self) -> Tensor:
        """Return the (D, G H) bias added to all hours at once."""

    @abc.abstractmethod
    def _advance(self, gates: Tensor, states: Tensor) -> None:
        """Fill ``states`` hour by hour; ``gates`` holds the inputs' part and may be overwritten."""

    @abc.abstractmethod
    def _input_gradient(self, upstream: Tensor) -> Tensor:
        """Go back through the hours of the last forward pass."""


def _reorder(weights: Tensor, order: tuple[int, ...]) -> Tensor:
    """Reorder the gate blocks of (D, G H, ...) weights."""
    blocks = weights.chunk(len(order), dim=1)
    return torch.cat([blocks[index] for index in order], dim=1)


class LSTMLayer(RecurrentLayer):
    """c_t = f c_(t-1) + i g, h_t = o tanh(c_t).

    The gates are kept in the order g, i, f, o: the three sigmoids lie side by side, and so do the three gates that the
    gradient reaches through the cell state.
    """

    def __init__(self, input_weights: Tensor, state_weights: Tensor, input_bias: Tensor, state_bias: Tensor) -> None:
        weights = (input_weights, state_weights, input_bias, state_bias)
        super().__init__(*(_reorder(part, (2, 0, 1, 3)) for part in weights))

    def _bias(self) -> Tensor:
        return self.input_bias + self.state_bias

    def _advance(self, gates: Tensor, states: Tensor) -> None:
        n_directions, n_hours, n_stays, _ = gates.shape
        size = self.size
        cells = self.space.take("cells", (n_directions, n_hours + 1, n_stays, size), gates)
        squashed = self.space.take("squashed", (n_directions, n_hours, n_stays, size), gates)
        cells[:, 0].zero_()
        for hour in range(n_hours):
            gate = gates[:, hour].baddbmm_(states[:, hour], self.state_transposed)
            gate[..., :size].tanh_()
            gate[..., size:].sigmoid_()
            candidate, entry, keep, exit_ = gate.chunk(4, dim=-1)
            cell = torch.mul(keep, cells[:, hour], out=cells[:, hour + 1]).addcmul_(candidate, entry)
            torch.mul(exit_, torch.tanh(cell, out=squashed[:, hour]), out=states[:, hour + 1])
        self._kept = (gates, cells, squashed)

    def _input_gradient(self, upstream: Tensor) -> Tensor:
        gates, cells, squashed = self._kept
        n_directions, n_hours, n_stays, width = gates.shape
        size = self.size
        candidate, entry, keep, exit_ = gates.chunk(4, dim=-1)
        # d gate / d (cell or state), for all hours at once; the loop below multiplies in place.
        change = self.space.take("change", tuple(gates.shape), gates)
        torch.mul(entry, 1 - candidate.square(), out=change[..., :size])
        torch.mul(candidate, entry - entry.square(), out=change[..., size : 2 * size])
        torch.mul(cells[:, :-1], keep - keep.square(), out=change[..., 2 * size : 3 * size])
        torch.mul(squashed, exit_ - exit_.square(), out=change[..., 3 * size :])
        through = exit_ * (1 - squashed.square())
        by_gate = change.view(n_directions, n_hours, n_stays, 4, size)
        cell_gradient = torch.zeros_like(cells[:, 0])
        carried: Tensor | None = None
        for hour in reversed(range(n_hours)):
            state_gradient = upstream[:, hour] if carried is None else carried.add_(upstream[:, hour])
            cell_gradient.addcmul_(state_gradient, through[:, hour])
            by_gate[:, hour, :, :3].mul_(cell_gradient[:, :, None])
            by_gate[:, hour, :, 3].mul_(state_gradient)
            if hour:
                carried = torch.bmm(change[:, hour], self.state_weights)
                cell_gradient.mul_(keep[:, hour])
        flat = torch.bmm(change.view(n_directions, n_hours * n_stays, width), self.input_weights)
        return flat.view(n_directions, n_hours, n_stays, -1)


class GRULayer(RecurrentLayer):
    """n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h_t = (1 - z) n + z h_(t-1), in torch's order r, z, n."""

    def _bias(self) -> Tensor:
        return self.input_bias

    def _advance(self, gates: Tensor, states: Tensor) -> None:
        n_directions, n_hours, n_stays, width = gates.shape
        size = self.size
        recurrent = self.space.take("recurrent", (n_directions, n_hours, n_stays, width), gates)
        bias = self.state_bias[:, None, :]
        for hour in range(n_hours):
            before = states[:, hour]
            drive = torch.baddbmm(bias, before, self.state_transposed, out=recurrent[:, hour])
            switches = gates[:, hour, :, : 2 * size].add_(drive[..., : 2 * size]).sigmoid_()
            reset, update = switches.chunk(2, dim=-1)
            new = gates[:, hour, :, 2 * size :].addcmul_(reset, drive[..., 2 * size :]).tanh_()
            torch.lerp(new, before, update, out=states[:, hour + 1])
        self._kept = (gates, states, recurrent)

    def _input_gradient(self, upstream: Tensor) -> Tensor:
        gates, states, recurrent = self._kept
        n_directions, n_hours, n_stays, width = gates.shape
        size = self.size
        reset, update, new = gates.chunk(3, dim=-1)
        new_part = (1 - update) * (1 - new.square())
        # Columns r, z and the recurrent half of n: each is the state's gradient times a factor known beforehand.
        change = self.space.take("change", tuple(gates.shape), gates)
        torch.mul(new_part * recurrent[..., 2 * size :], reset - reset.square(), out=change[..., :size])
        torch.mul(states[:, :-1] - new, update - update.square(), out=change[..., size : 2 * size])
        torch.mul(new_part, reset, out=change[..., 2 * size :])
        by_gate = change.view(n_directions, n_hours, n_stays, 3, size)
        carried: Tensor | None = None
        for hour in reversed(range(n_hours)):
            state_gradient = upstream[:, hour] if carried is None else carried.add_(upstream[:, hour])
            by_gate[:, hour].mul_(state_gradient[:, :, None])
            new_part[:, hour].mul_(state_gradient)
            if hour:
                carried = torch.baddbmm(state_gradient * update[:, hour], change[:, hour], self.state_weights)
        change[..., 2 * size :].copy_(new_part)
        flat = torch.bmm(change.view(n_directions, n_hours * n_stays, width), self.input_weights)
        return flat.view(n_directions, n_hours, n_stays, -1)


def layers_of(rnn: nn.LSTM | nn.GRU, directions: tuple[int, ...], layer: int) -> RecurrentLayer:
    """Return one layer of a library RNN, in the directions asked for (0 forward, 1 backward), detached from it.

    Args:
        rnn: The library's module.
        directions: Which directions go through one loop.
        layer: Number of the layer, from 0.
    """

    def stack(kind: str) -> Tensor:
        names = [f"{kind}_l{layer}" + ("_reverse" if direction else "") for direction in directions]
        return torch.stack([getattr(rnn, name).detach() for name in names])

    make = LSTMLayer if isinstance(rnn, nn.LSTM) else GRULayer
    return make(stack("weight_ih"), stack("weight_hh"), stack("bias_ih"), stack("bias_hh"))
