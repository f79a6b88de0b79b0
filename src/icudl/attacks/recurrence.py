"""Recurrent layers with a backward pass of their own: what an attack needs of an LSTM or a GRU, and nothing else.

Parameters are frozen, so only the gradient of the input is formed, and the parameters can be laid out for speed: state,
input and a constant 1 stand side by side as one row, so that one matrix product an hour gives all that the gates are
made of, bias included, and one product an hour takes the gradient back to state and input together. What is done entry
by entry is done while an hour is in the cache. There is no library RNN in the way, so neither cuDNN's refusal of a
backward pass in eval mode nor dropout matters.

T hours, B stays, C inputs, H units; K = H + C + 1 columns of a row. Equations of the cells: documentation of
``torch.nn.LSTM`` and ``torch.nn.GRU``.
"""

from __future__ import annotations

import abc
import math

import torch
from torch import Tensor, nn

_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


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


class RecurrentDirection(abc.ABC):
    """One direction of one layer; it reads its sequence from step 0 on.

    Args:
        weights: (K, 4 H) from a row of state, input and 1 to four blocks of units.
        size: H.
    """

    def __init__(self, weights: Tensor, size: int) -> None:
        self.weights, self.transposed = weights.contiguous(), weights.t().contiguous()
        self.size = size
        self.space = Workspace()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (T, B, H) states of ``inputs`` (T, B, C), and keep what ``backward`` needs."""
        n_hours, n_stays, n_inputs = inputs.shape
        size = self.size
        # Row t holds the state before hour t beside the inputs of hour t.
        rows = self.space.take("rows", (n_hours + 1, n_stays, size + n_inputs + 1), inputs)
        rows[0, :, :size].zero_()
        rows[:-1, :, size:-1].copy_(inputs)
        rows[:, :, -1].fill_(1.0)
        blocks = self.space.take("blocks", (n_hours, n_stays, 4 * size), inputs)
        states = rows[:, :, :size]
        self._prepare(states, blocks)
        for hour, (row, block) in enumerate(_views(rows[:-1], blocks)):
            torch.mm(row, self.weights, out=block)
            self._step(hour)
        return states[1:]

    def backward(self, upstream: Tensor) -> Tensor:
        """Return the (T, B, C) gradient of the last pass's inputs, given that of its states (T, B, H)."""
        n_hours, n_stays, _ = upstream.shape
        by_rows = self.space.take("by_rows", (n_hours, n_stays, self.transposed.shape[1]), upstream)
        by_blocks = self.space.take("by_blocks", (n_stays, 4 * self.size), upstream)
        self._prepare_back(by_blocks)
        by_state = upstream[-1].clone()
        by_hour = _views(by_rows, by_rows[:, :, : self.size], torch.cat([upstream[:1], upstream[:-1]]))
        for hour in reversed(range(n_hours)):
            by_row, by_state_before, upstream_before = by_hour[hour]
            self._step_back(hour, by_state, by_blocks)
            torch.mm(by_blocks, self.transposed, out=by_row)
            if hour:
                self._carry(hour, by_state, by_state_before, upstream_before)
        return by_rows[:, :, self.size : -1]

    @abc.abstractmethod
    def _prepare(self, states: Tensor, blocks: Tensor) -> None:
        """Take (T + 1, B, H) states and (T, B, 4 H) blocks to work on, before the first hour."""

    @abc.abstractmethod
    def _step(self, hour: int) -> None:
        """Turn the blocks of an hour into gates, and write the state after it."""

    @abc.abstractmethod
    def _prepare_back(self, by_blocks: Tensor) -> None:
        """Get ready for the way back; ``by_blocks`` (B, 4 H) is used at every hour."""

    @abc.abstractmethod
    def _step_back(self, hour: int, by_state: Tensor, by_blocks: Tensor) -> None:
        """Fill the gradient of an hour's blocks, given that of the state after it."""

    @abc.abstractmethod
    def _carry(self, hour: int, by_state: Tensor, by_blocks_part: Tensor, upstream: Tensor) -> None:
        """Turn the gradient of the state after an hour into that of the state before it, in place.

        Args:
            hour: The hour.
            by_state: (B, H) to be overwritten.
            by_blocks_part: (B, H) what comes back through the blocks.
            upstream: (B, H) what the caller adds to the state before the hour.
        """


def _views(*arrays: Tensor) -> list[tuple[Tensor, ...]]:
    """Return, for every hour, its part of each (T, ...) array."""
    return list(zip(*(array.unbind(0) for array in arrays), strict=True))


class LSTMDirection(RecurrentDirection):
    """c_t = f c_(t-1) + i g, h_t = o tanh(c_t); blocks g, i, f, o, so that the sigmoids lie side by side."""

    def _prepare(self, states: Tensor, blocks: Tensor) -> None:
        n_hours, n_stays, _ = blocks.shape
        self._cells = self.space.take("cells", (n_hours + 1, n_stays, self.size), blocks)
        self._squashed = self.space.take("squashed", (n_hours, n_stays, self.size), blocks)
        self._cells[0].zero_()
        # Views of every hour, made once: making them in the loops costs as much as some of the arithmetic.
        self._by_hour = _views(*blocks.chunk(4, dim=2), blocks[:, :, self.size :], self._cells[:-1], self._squashed)
        self._results = _views(self._cells[1:], states[1:])

    def _step(self, hour: int) -> None:
        candidate, entry, keep, exit_, sigmoids, before, squashed = self._by_hour[hour]
        cell, state = self._results[hour]
        candidate.tanh_()
        sigmoids.sigmoid_()
        torch.mul(keep, before, out=cell).addcmul_(candidate, entry)
        torch.mul(exit_, torch.tanh(cell, out=squashed), out=state)

    def _prepare_back(self, by_blocks: Tensor) -> None:
        self._by_cell = torch.zeros_like(self._cells[0])
        self._through = torch.empty_like(self._by_cell)
        self._parts = (*by_blocks.chunk(4, dim=1), by_blocks[:, self.size :])

    def _step_back(self, hour: int, by_state: Tensor, by_blocks: Tensor) -> None:  # noqa: ARG002
        candidate, entry, keep, exit_, sigmoids, before, squashed = self._by_hour[hour]
        by_candidate, by_entry, by_keep, by_exit, by_sigmoids = self._parts
        by_cell = self._by_cell
        torch.mul(by_state, exit_, out=self._through)
        by_cell.add_(_tanh_backward(self._through, squashed, grad_input=self._through))
        torch.mul(by_cell, entry, out=by_candidate)
        torch.mul(by_cell, candidate, out=by_entry)
        torch.mul(by_cell, before, out=by_keep)
        torch.mul(by_state, squashed, out=by_exit)
        _sigmoid_backward(by_sigmoids, sigmoids, grad_input=by_sigmoids)
        _tanh_backward(by_candidate, candidate, grad_input=by_candidate)
        by_cell.mul_(keep)

    def _carry(self, hour: int, by_state: Tensor, by_blocks_part: Tensor, upstream: Tensor) -> None:  # noqa: ARG002
        torch.add(by_blocks_part, upstream, out=by_state)


class GRUDirection(RecurrentDirection):
    """n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h_t = (1 - z) n + z h_(t-1).

    Blocks r, z, the state's part of n, the inputs' part of n; the last one is overwritten by n itself.
    """

    def _prepare(self, states: Tensor, blocks: Tensor) -> None:
        self._states, self._blocks = states, blocks

    def _step(self, hour: int) -> None:
        block = self._blocks[hour]
        reset, update, drive, new = block.chunk(4, dim=1)
        block[:, : 2 * self.size].sigmoid_()
        new.addcmul_(reset, drive).tanh_()
        torch.lerp(new, self._states[hour], update, out=self._states[hour + 1])

    def _prepare_back(self, by_blocks: Tensor) -> None:
        self._parts = by_blocks.chunk(4, dim=1)

    def _step_back(self, hour: int, by_state: Tensor, by_blocks: Tensor) -> None:
        block = self._blocks[hour]
        reset, update, drive, new = block.chunk(4, dim=1)
        by_reset, by_update, by_drive, by_new = self._parts
        torch.mul(by_state, 1.0 - update, out=by_new)
        _tanh_backward(by_new, new, grad_input=by_new)
        torch.mul(by_new, reset, out=by_drive)
        torch.mul(by_new, drive, out=by_reset)
        torch.mul(by_state, self._states[hour] - new, out=by_update)
        by_switches = by_blocks[:, : 2 * self.size]
        _sigmoid_backward(by_switches, block[:, : 2 * self.size], grad_input=by_switches)

    def _carry(self, hour: int, by_state: Tensor, by_blocks_part: Tensor, upstream: Tensor) -> None:
        update = self._blocks[hour, :, self.size : 2 * self.size]
        by_state.mul_(update).add_(by_blocks_part).add_(upstream)


def direction_of(rnn: nn.LSTM | nn.GRU, layer: int, *, backward: bool) -> RecurrentDirection:
    """Return one direction of one layer of a library RNN, detached from it.

    Args:
        rnn: The library's module.
        layer: Number of the layer, from 0.
        backward: The direction that reads from the last hour to the first.
    """
    suffix = f"_l{layer}" + ("_reverse" if backward else "")
    names = ("weight_hh", "weight_ih", "bias_hh", "bias_ih")
    by_state, by_input, state_bias, input_bias = (getattr(rnn, name + suffix).detach() for name in names)
    if isinstance(rnn, nn.LSTM):
        rows = torch.cat([by_state, by_input, (state_bias + input_bias)[:, None]], dim=1)
        entry, keep, candidate, exit_ = rows.chunk(4)
        return LSTMDirection(torch.cat([candidate, entry, keep, exit_]).t(), rnn.hidden_size)
    from_state = torch.cat([by_state, torch.zeros_like(by_input), state_bias[:, None]], dim=1).chunk(3)
    from_input = torch.cat([torch.zeros_like(by_state), by_input, input_bias[:, None]], dim=1).chunk(3)
    switches = [state + inputs for state, inputs in zip(from_state[:2], from_input[:2], strict=True)]
    return GRUDirection(torch.cat([*switches, from_state[2], from_input[2]]).t(), rnn.hidden_size)
