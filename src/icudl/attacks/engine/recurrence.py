"""Recurrent layers with a backward pass of their own, reduced to what an attack needs of an LSTM or a GRU.

Parameters are frozen, so only the gradient of the input is computed, and the parameters can be laid out for speed:
state, input and a constant 1 stand side by side in one row. One matrix product an hour then gives the inputs of all
gates, bias included, and one product an hour takes the gradient back to state and input together. Elementwise
operations run while an hour is in the cache. tanh(x) is computed as 2 sigmoid(2 x) - 1, which is several times faster
in torch and as exact in absolute terms; the inner factor 2 is part of the matrix. No library RNN takes part, so neither
cuDNN's refusal of a backward pass in eval mode nor dropout matters.

T hours, B stays, C inputs, H units; K = H + C + 1 columns of a row. Equations of the cells: documentation of
``torch.nn.LSTM`` and ``torch.nn.GRU``.
"""

from __future__ import annotations

import abc
import math

import torch
from torch import Tensor, nn

from icudl.attacks.engine.products import FrozenProduct

_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


Kept = tuple[Tensor, ...]
"""Arrays of one hour: state and cells before it, and what ``RecurrentDirection.step`` returned."""


class Workspace:
    """Arrays that every pass reuses: mapping fresh arrays of this size costs more than filling them."""

    def __init__(self) -> None:
        self._arrays: dict[str, Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return an uninitialised array, in the memory of the array taken before under this name."""
        size = math.prod(shape)
        array = self._arrays.get(name)
        if array is None or array.numel() < size or array.dtype != like.dtype or array.device != like.device:
            array = like.new_empty(size)
            self._arrays[name] = array
        return array[:size].view(shape)


class RecurrentDirection(abc.ABC):
    """One hour of one direction of a layer; the loops over hours are in ``attacks.engine.reading``.

    Args:
        weights: (K, 4 H) from a row of state, input and 1 to four blocks of units.
        back: (4 H, K) from the gradient of a cell's blocks to that of the row.
        size: H.
    """

    carries_cells = False
    """Whether the cell passes on more than its state."""

    @property
    def n_cells(self) -> int:
        """Count of numbers that the cell passes on beside its state: H or 0."""
        return self.size if self.carries_cells else 0

    def __init__(self, weights: Tensor, back: Tensor, size: int) -> None:
        self.product, self.product_back = FrozenProduct(weights), FrozenProduct(back)
        self._minus_one = weights.new_tensor(-1.0)
        self.size = size
        self.space = Workspace()

    @abc.abstractmethod
    def step(
        self, blocks: Tensor, state: Tensor, cells: Tensor, state_after: Tensor, cells_after: Tensor
    ) -> tuple[Tensor, ...]:
        """Turn an hour's (B, 4 H) blocks into gates, in place, and write state and cells after the hour.

        Args:
            blocks: Result of the product.
            state: (B, H) before the hour; may be the array of ``state_after``.
            cells: (B, H) before the hour (or (B, 0)); may be the array of ``cells_after``.
            state_after: (B, H) to be written.
            cells_after: (B, H) to be written.

        Returns:
            The arrays that ``step_back`` needs beside ``state`` and ``cells``.
        """

    @abc.abstractmethod
    def step_back(self, kept: Kept, by_state: Tensor, by_cell: Tensor, parts: Kept) -> None:
        """Fill the gradient of an hour's blocks, given that of the state after it.

        Args:
            kept: State and cells before the hour, and the result of ``step``.
            by_state: (B, H).
            by_cell: (B, H) gradient of the cell, passed from hour to hour.
            parts: Parts to fill: each of the four blocks, then all but the first, then the first two together.
        """

    @abc.abstractmethod
    def carry(self, kept: Kept, by_state: Tensor, by_row_state: Tensor) -> Tensor:
        """Return the (B, H) gradient of the state before an hour, which may be written to.

        Args:
            kept: See ``step_back``.
            by_state: (B, H) gradient of the state after it; may be overwritten.
            by_row_state: (B, H) gradient that comes back through the product; may be overwritten.
        """


class LSTMDirection(RecurrentDirection):
    """c_t = f c_(t-1) + i g, h_t = o tanh(c_t); blocks g, i, f, o.

    The cells hold 2 c, the argument of the sigmoid in tanh(c). The forget rows of ``back`` are halved to compensate.
    """

    carries_cells = True

    def step(
        self,
        blocks: Tensor,
        state: Tensor,  # noqa: ARG002
        cells: Tensor,
        state_after: Tensor,
        cells_after: Tensor,
    ) -> tuple[Tensor, ...]:
        """See ``RecurrentDirection``."""
        candidate, entry, keep, exit_ = blocks.sigmoid_().split_with_sizes([self.size] * 4, dim=-1)
        torch.add(self._minus_one, candidate, alpha=2.0, out=candidate)
        torch.mul(keep, cells, out=cells_after).addcmul_(candidate, entry, value=2.0)
        squashed = torch.sigmoid(cells_after)
        torch.add(self._minus_one, squashed, alpha=2.0, out=squashed)
        torch.mul(exit_, squashed, out=state_after)
        return blocks, candidate, entry, keep, exit_, squashed

    def step_back(self, kept: Kept, by_state: Tensor, by_cell: Tensor, parts: Kept) -> None:
        """See ``RecurrentDirection``."""
        _, cells, blocks, candidate, entry, keep, exit_, squashed = kept
        by_candidate, by_entry, by_keep, by_exit, by_sigmoids, _ = parts
        through = torch.mul(by_state, exit_)
        by_cell.add_(_tanh_backward(through, squashed, grad_input=through))
        torch.mul(by_cell, entry, out=by_candidate)
        torch.mul(by_cell, candidate, out=by_entry)
        torch.mul(by_cell, cells, out=by_keep)
        torch.mul(by_state, squashed, out=by_exit)
        _sigmoid_backward(by_sigmoids, blocks[..., self.size :], grad_input=by_sigmoids)
        _tanh_backward(by_candidate, candidate, grad_input=by_candidate)
        by_cell.mul_(keep)

    def carry(self, kept: Kept, by_state: Tensor, by_row_state: Tensor) -> Tensor:  # noqa: ARG002
        """See ``RecurrentDirection``."""
        return by_row_state


class GRUDirection(RecurrentDirection):
    """n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h_t = (1 - z) n + z h_(t-1).

    Blocks r, z, the state's part of n, the inputs' part of n; the last one is overwritten by n itself. The two parts
    come out of the product twice as large (see the module), so the reset rows of ``back`` are halved.
    """

    def step(
        self,
        blocks: Tensor,
        state: Tensor,
        cells: Tensor,  # noqa: ARG002
        state_after: Tensor,
        cells_after: Tensor,  # noqa: ARG002
    ) -> tuple[Tensor, ...]:
        """See ``RecurrentDirection``."""
        reset, update, drive, new = blocks.split_with_sizes([self.size] * 4, dim=-1)
        switches = blocks[..., : 2 * self.size].sigmoid_()
        new.addcmul_(reset, drive).sigmoid_()
        torch.add(self._minus_one, new, alpha=2.0, out=new)
        torch.lerp(new, state, update, out=state_after)
        return switches, reset, update, drive, new

    def step_back(self, kept: Kept, by_state: Tensor, by_cell: Tensor, parts: Kept) -> None:  # noqa: ARG002
        """See ``RecurrentDirection``."""
        state, _, switches, reset, update, drive, new = kept
        by_reset, by_update, by_drive, by_new, _, by_switches = parts
        torch.addcmul(by_state, by_state, update, value=-1.0, out=by_new)
        _tanh_backward(by_new, new, grad_input=by_new)
        torch.mul(by_new, reset, out=by_drive)
        torch.mul(by_new, drive, out=by_reset)
        torch.sub(state, new, out=by_update).mul_(by_state)
        _sigmoid_backward(by_switches, switches, grad_input=by_switches)

    def carry(self, kept: Kept, by_state: Tensor, by_row_state: Tensor) -> Tensor:
        """See ``RecurrentDirection``."""
        return by_row_state.addcmul_(by_state, kept[4])


def direction_of(rnn: nn.LSTM | nn.GRU, layer: int, *, backward: bool) -> RecurrentDirection:
    """Return a copy of one direction of one layer of a library RNN.

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
        back = torch.cat([candidate, entry, 0.5 * keep, exit_])
        return LSTMDirection(torch.cat([2.0 * candidate, entry, keep, exit_]).t(), back, rnn.hidden_size)
    from_state = torch.cat([by_state, torch.zeros_like(by_input), state_bias[:, None]], dim=1).chunk(3)
    from_input = torch.cat([torch.zeros_like(by_state), by_input, input_bias[:, None]], dim=1).chunk(3)
    reset, update = (state + inputs for state, inputs in zip(from_state[:2], from_input[:2], strict=True))
    drive, new = from_state[2], from_input[2]
    back = torch.cat([0.5 * reset, update, drive, new])
    return GRUDirection(torch.cat([reset, update, 2.0 * drive, 2.0 * new]).t(), back, rnn.hidden_size)
