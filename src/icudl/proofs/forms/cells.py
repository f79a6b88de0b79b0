"""One hour of an LSTM or a GRU on affine forms.

The state of a cell is one form: the hidden units, and behind them the memory of an LSTM. Errors of gates enter one unit
of the new state only, so they stay that unit's own until the hour is over; then each gets an unknown that later hours
share. Weights are laid out as torch lays them out (gates i, f, g, o of an LSTM; r, z, n of a GRU).
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch
from torch import Tensor, nn

from icudl.proofs.forms.affine import ONE_VALUE, AffineForm, Freedom
from icudl.proofs.forms.relaxations import Line, sigmoid, tanh


class Cell(Protocol):
    """One direction of one recurrent layer.

    Attributes:
        hidden_size: Units.
        state_size: Components of the state.
    """

    @property
    def hidden_size(self) -> int:
        """Units."""

    @property
    def state_size(self) -> int:
        """Components of the state."""

    def after(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Return the (B, S) states one hour on of numbers: (B, C) inputs, and the states before."""

    def step(self, inputs: AffineForm, state: AffineForm) -> AffineForm:
        """Return the state one hour on; the hidden units are its first components, errors have shared unknowns.

        Args:
            inputs: (B, C) inputs of the hour.
            state: State of the hour before, without errors of its own.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """Weights of one direction of one layer, in float64.

    Attributes:
        inputs: (g H, C) of the inputs.
        hidden: (g H, H) of the hidden units.
        input_bias: (g H,).
        hidden_bias: (g H,).
    """

    inputs: Tensor
    hidden: Tensor
    input_bias: Tensor
    hidden_bias: Tensor

    @classmethod
    def of(cls, rnn: nn.RNNBase, layer: int, *, reverse: bool) -> Weights:
        """Take the weights of one direction of a layer."""
        suffix = f"l{layer}{'_reverse' if reverse else ''}"
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return cls(*(getattr(rnn, f"{name}_{suffix}").detach().double() for name in names))


@dataclasses.dataclass(frozen=True, eq=False)
class _Gated:
    """A cell with gates.

    Attributes:
        weights: Of the cell.
    """

    weights: Weights

    @property
    def hidden_size(self) -> int:
        """Units."""
        return self.weights.hidden.shape[1]

    def raw(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """Return the (2, B, g H) contributions of (B, C) inputs and of (B, H) hidden units to the gates."""
        weights = self.weights
        from_inputs = inputs @ weights.inputs.T + weights.input_bias
        return torch.stack([from_inputs, hidden @ weights.hidden.T + weights.hidden_bias])

    def gates(self, inputs: AffineForm, hidden: AffineForm) -> tuple[AffineForm, AffineForm]:
        """Return what the inputs and what the hidden units contribute to the gates."""
        weights = self.weights
        return (
            inputs.linear(weights.inputs, weights.input_bias),
            hidden.linear(weights.hidden, weights.hidden_bias),
        )


class LstmCell(_Gated):
    """An LSTM cell; its state is (h, c)."""

    @property
    def state_size(self) -> int:
        """Components of the state."""
        return 2 * self.hidden_size

    def after(self, inputs: Tensor, state: Tensor) -> Tensor:
        """See ``Cell.after``."""
        hidden, memory = state.chunk(2, dim=1)
        enter, forget, candidate, leave = self.raw(inputs, hidden).sum(dim=0).chunk(4, dim=1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(candidate)
        return torch.cat([torch.sigmoid(leave) * torch.tanh(memory), memory], dim=1)

    def step(self, inputs: AffineForm, state: AffineForm) -> AffineForm:
        """See ``Cell.step``."""
        size = self.hidden_size
        hidden, memory = state.part(0, size), state.part(size, 2 * size)
        weights = self.weights
        gates = hidden.linear_with(weights.hidden, weights.hidden_bias, inputs, weights.inputs, weights.input_bias)
        lower, upper = gates.bounds()
        squashed = [sigmoid(lower[:, part], upper[:, part]) for part in (slice(2 * size), slice(3 * size, 4 * size))]
        curbed = tanh(lower[:, 2 * size : 3 * size], upper[:, 2 * size : 3 * size])
        lines = zip(squashed[0], curbed, squashed[1], strict=True)
        gates = gates.through(Line(*(torch.cat(arrays, dim=1) for arrays in lines)))
        enter, forget, candidate, leave = (gates.part(k * size, (k + 1) * size) for k in range(4))
        memory = forget.times(memory).plus(enter.times(candidate))
        return AffineForm.settled(leave.times(_curbed(memory.shared())), memory)


class GruCell(_Gated):
    """A GRU cell; its state is h."""

    @property
    def state_size(self) -> int:
        """Components of the state."""
        return self.hidden_size

    def after(self, inputs: Tensor, state: Tensor) -> Tensor:
        """See ``Cell.after``."""
        from_inputs, from_hidden = (part.chunk(3, dim=1) for part in self.raw(inputs, state))
        reset, update = (torch.sigmoid(from_inputs[k] + from_hidden[k]) for k in range(2))
        candidate = torch.tanh(from_inputs[2] + reset * from_hidden[2])
        return candidate + update * (state - candidate)

    def step(self, inputs: AffineForm, state: AffineForm) -> AffineForm:
        """See ``Cell.step``."""
        size = self.hidden_size
        from_inputs, from_hidden = self.gates(inputs, state)
        reset, update = (
            _squashed(from_inputs.part(k * size, (k + 1) * size).plus(from_hidden.part(k * size, (k + 1) * size)))
            for k in range(2)
        )
        recalled = reset.times(from_hidden.part(2 * size, 3 * size))
        candidate = _curbed(from_inputs.part(2 * size, 3 * size).plus(recalled))
        # h' = n + z (h - n). The candidate n occurs twice; its own error d comes out as (1 - z) d.
        alone = AffineForm(candidate.centre, candidate.terms, torch.zeros_like(candidate.own), candidate.freedom)
        lower, upper = update.bounds()
        remaining = candidate.own * torch.maximum((1 - lower).abs(), (1 - upper).abs())
        moved = alone.plus(update.times(state.minus(alone)))
        return AffineForm(moved.centre, moved.terms, moved.own + remaining, moved.freedom).shared()


def make_cell(rnn: nn.RNNBase, layer: int, *, reverse: bool) -> Cell:
    """Return one direction of one layer of an ``nn.LSTM`` or ``nn.GRU``."""
    weights = Weights.of(rnn, layer, reverse=reverse)
    return LstmCell(weights) if isinstance(rnn, nn.LSTM) else GruCell(weights)


def _squashed(form: AffineForm) -> AffineForm:
    return form.through(sigmoid(*form.bounds()))


def _curbed(form: AffineForm) -> AffineForm:
    return form.through(tanh(*form.bounds()))


def first_state(cell: Cell, batch: int, freedom: Freedom = ONE_VALUE) -> AffineForm:
    """Return the state before the first hour: zero."""
    return AffineForm.exact(torch.zeros(batch, cell.state_size, dtype=torch.float64), freedom=freedom)
