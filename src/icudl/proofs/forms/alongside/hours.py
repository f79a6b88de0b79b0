"""One hour of an LSTM or a GRU, alongside the unchanged stay.

What carries noise through the hour are its slopes in the unchanged stay. What a pass adds is an error of the state
after the hour: the distance of its slopes from those times the noise, what the functions and products of the cell are
off their lines, and rounding.
"""

from __future__ import annotations

import ctypes
import dataclasses
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from icudl.compiled import address
from icudl.errors import StageError
from icudl.proofs.forms.affine import ROUNDING, SINGLE, TINY
from icudl.proofs.forms.alongside.noisy import Noisy
from icudl.proofs.forms.cells import Cell, GruCell, LstmCell, Weights
from icudl.proofs.forms.compiled import HourOfLstm, PassesOfLstm, relaxations
from icudl.proofs.forms.relaxations import Line, sigmoid, tanh


class HourInputs(NamedTuple):
    """Inputs of B passes at one hour, linear in e.

    Attributes:
        centre: (B, C) float64, where e is 0.
        slope: (B, C) change from there to where e is 1.
        own: (B, C) error of each number.
    """

    centre: Tensor
    slope: Tensor
    own: Tensor


class States(NamedTuple):
    """States of B passes after an hour; S numbers, the H hidden units first.

    Attributes:
        middle: (B, S).
        moves: (B, S).
        errors: (B, S) float32, errors made in the hour, rounded up.
        beyond: (B, S - H) noise of the numbers behind the hidden units.
    """

    middle: Tensor
    moves: Tensor
    errors: Tensor
    beyond: Tensor


class Hour(Protocol):
    """One hour of a stay that all passes run alongside, or of B stays, one for each pass."""

    @property
    def rows(self) -> int:
        """R, how many numbers of the hour are to be bounded: its hidden units before the hour first."""

    def carry(self, carried: Tensor, sizes: Tensor, onward: Tensor) -> None:
        """Carry K errors made before the hour through it.

        Args:
            carried: (S, K) float32, what they do to the state before it.
            sizes: (R, K) float32, where the sizes of what they do to the R numbers go.
            onward: (S, K) float32, where what they do to the state after the hour goes.
        """

    def carry_apart(self, carried: Tensor, errors: Tensor, onward: Tensor) -> Tensor:
        """Carry K errors of each of B stays through it.

        Args:
            carried: (B, S, K) float32, what they do to the states before it.
            errors: (B, K) float32, their sizes.
            onward: (B, S, K) float32, where what they do to the states after the hour goes.

        Returns:
            (B, R) float32 sums of the sizes of what they do to the R numbers.
        """

    def back(self, after: Tensor, noise: Tensor, errors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what moves r numbers that are linear in the states after the hour.

        Args:
            after: (B, r, S) how these states move the numbers.
            noise: (B, S) sizes of the noise of the states before the hour.
            errors: (B, S) sizes of the errors made in the hour.

        Returns:
            (B, r, S) how errors made in the hour move the numbers, (B, r, S) how the states before it do, and (B, r)
            what rounding makes of the noise on this way.
        """

    def beginnings(self) -> Tensor:
        """Return the ([B,] S, S) float32 effect of errors made in the hour on the state after it."""

    def step(self, before: States, inputs: HourInputs, noise: Tensor) -> States:
        """Carry passes through the hour.

        Args:
            before: The states before it.
            inputs: Of the passes.
            noise: (B, R) sizes of the noise of the R numbers.
        """


def rounded_up(numbers: Tensor) -> Tensor:
    """Return numbers of float64 as float32 that are not smaller."""
    return (numbers * (1 + 2.0**-22)).float()


def seen_by(errors: Tensor, done: Tensor) -> Tensor:
    """Return the (B, n) float32 sums of the sizes of what (B, K) errors do to n numbers, (B, n, K)."""
    return (done.abs() @ errors[:, :, None])[..., 0]


def noise_of(sums: Tensor, terms: int) -> Tensor:
    """Return the noise of (B, n) float32 sums of so many terms in float64, rounded up."""
    return sums.double() * (1 + 2 * SINGLE * (terms + 8)) + TINY


def lost_in_products(size: int) -> float:
    """Return by how much a product of 2 H terms in float32 may err, relative to the sum of their sizes."""
    return SINGLE * (2 * size + 24)


class Unchanged(NamedTuple):
    """The unchanged stay at the N places that a direction visits, or B of them.

    Attributes:
        inputs: ([B,] N, C).
        state: ([B,] N, S) hidden units, and the memory of an LSTM, after each.
        own: ([B,] N, S) error of each number.
    """

    inputs: Tensor
    state: Tensor
    own: Tensor


def hour_of(cell: Cell, stay: Unchanged, place: int) -> Hour:
    """Return an hour of a stay.

    Args:
        cell: The cell.
        stay: The stay.
        place: Which of the places of the direction.
    """
    before = stay.state[place - 1] if place else torch.zeros_like(stay.state[0])
    return hour_at(cell, stay.inputs[place], before)


def hour_at(cell: Cell, inputs: Tensor, before: Tensor) -> Hour:
    """Return an hour of a stay, or of B stays.

    Args:
        cell: The cell.
        inputs: ([B,] C) inputs.
        before: ([B,] S) state before the hour.

    Raises:
        StageError: The cell is of another kind.
    """
    if isinstance(cell, LstmCell):
        return LstmHour.of(cell, inputs, before)
    if isinstance(cell, GruCell):
        return GruHour.of(cell, inputs, before)
    raise StageError(f"No pass alongside is known for {type(cell).__name__}. Expected an LSTM or a GRU.")


@dataclasses.dataclass(frozen=True, eq=False)
class Sizes:
    """Parts of the sums that a gate adds up.

    Attributes:
        own: (B, g H) errors of the inputs times the weights.
        added: (B, g H) sizes of all that is added up.
        noise: (B, g H) noise of the hidden units times the sizes of their weights.
        units: H.
        columns: C.
    """

    own: Tensor
    added: Tensor
    noise: Tensor
    units: int
    columns: int

    @classmethod
    def of(cls, weights: Weights, before: States, inputs: HourInputs, noise: Tensor) -> Sizes:
        """Add up the sizes.

        Args:
            weights: Of the cell.
            before: The states before the hour.
            inputs: Of the hour.
            noise: (B, H) noise of the hidden units.
        """
        units, columns = weights.hidden.abs(), weights.inputs.abs()
        size = units.shape[1]
        through = noise @ units.T
        added = (before.middle[:, :size].abs() + before.moves[:, :size].abs()) @ units.T + through
        added = added + (inputs.centre.abs() + inputs.slope.abs() + inputs.own) @ columns.T
        added = added + (weights.hidden_bias.abs() + weights.input_bias.abs())
        return cls(inputs.own @ columns.T, added, through, size, columns.shape[1])

    def fresh(self, part: slice = slice(None)) -> Tensor:
        """Return the errors of gates before their activation."""
        rounding = SINGLE * (self.units + self.columns + 16) * self.added[:, part]
        return self.own[:, part] + rounding + lost_in_products(self.units) * self.noise[:, part]


def _over(steady: Tensor, numbers: Tensor) -> Tensor:
    """Return ([B,] n) numbers of the stays in the shape in which they multiply (n, [B,] ...) numbers."""
    found = steady.to(numbers).T if steady.ndim == 2 else steady.to(numbers)
    return found[(...,) + (None,) * (numbers.ndim - found.ndim)]


@dataclasses.dataclass(frozen=True, eq=False)
class LstmHour:
    """One hour of an LSTM in the unchanged stay; its state is the hidden units and the memory.

    Of one stay; of B stays, arrays begin with an axis for them.

    Attributes:
        weights: Of the cell.
        gates: (4 H,) values of the gates.
        steep: (4 H,) their slopes.
        before: (H,) memory before the hour.
        curbed: (H,) tanh of the memory after it.
        curve: (H,) slope of that tanh.
    """

    weights: Weights
    gates: Tensor
    steep: Tensor
    before: Tensor
    curbed: Tensor
    curve: Tensor

    @classmethod
    def of(cls, cell: LstmCell, inputs: Tensor, before: Tensor) -> LstmHour:
        """Read an hour of a stay: ([B,] C) inputs, and the ([B,] 2 H) state before it."""
        weights, size = cell.weights, cell.hidden_size
        hidden, memory = before[..., :size], before[..., size:]
        raw = hidden @ weights.hidden.T + weights.hidden_bias + inputs @ weights.inputs.T + weights.input_bias
        gates, third = torch.sigmoid(raw), slice(2 * size, 3 * size)
        gates[..., third] = torch.tanh(raw[..., third])
        steep = gates * (1 - gates)
        steep[..., third] = 1 - gates[..., third] ** 2
        enter, forget, candidate, _ = gates.chunk(4, dim=-1)
        curbed = torch.tanh(forget * memory + enter * candidate)
        return cls(weights, gates, steep, memory, curbed, 1 - curbed**2)

    @property
    def rows(self) -> int:
        """See ``Hour``: hidden units, gates before their activation, memory after the hour."""
        return 6 * self.before.shape[-1]

    @property
    def factor(self) -> Tensor:
        """(4 H,) what a gate before its activation does to the memory; of the last one, to the hidden units."""
        enter, _, candidate, _ = self.gates.chunk(4, dim=-1)
        return self.steep * torch.cat([candidate, self.before, enter, self.curbed], dim=-1)

    def _after(self, raw: Tensor, memory: Tensor, *, sizes: bool = False) -> tuple[Tensor, Tensor]:
        """Return what reaches hidden units and memory after the hour, from what reaches gates and memory.

        Args:
            raw: (4 H, ...) what reaches the gates before their activation.
            memory: (H, ...).
            sizes: Whether sizes are added up instead of numbers.
        """
        factor, (_, forget, _, leave) = self.factor, self.gates.chunk(4, dim=-1)
        out = leave * self.curve
        if sizes:
            factor, out = factor.abs(), out.abs()
        parts = (raw * _over(factor, raw)).chunk(4)
        kept = memory * _over(forget, raw) + parts[0] + parts[1] + parts[2]
        return kept * _over(out, raw) + parts[3], kept

    def carry(self, carried: Tensor, sizes: Tensor, onward: Tensor) -> None:
        """See ``Hour.carry``."""
        size, library = self.before.shape[-1], relaxations()
        raw = self.weights.hidden.float() @ carried[:size]
        if library is not None:
            moving = (raw, carried, onward, sizes)
            arrays, rows = (*self._carrying(), *moving), [array.stride(0) for array in moving]
            library.lstm_carry(size, carried.shape[1], *(array.data_ptr() for array in arrays), *rows)
            return
        onward[:size], onward[size:] = self._after(raw, carried[size:])
        torch.abs(torch.cat([carried[:size], raw, onward[size:]]), out=sizes)

    def carry_apart(self, carried: Tensor, errors: Tensor, onward: Tensor) -> Tensor:
        """See ``Hour.carry_apart``."""
        size, library, weights = self.before.shape[-1], relaxations(), self.weights.hidden.float()
        if library is None:
            raw = (weights @ carried[:, :size]).transpose(0, 1)
            units, memory = self._after(raw, carried[:, size:].transpose(0, 1))
            onward[:, :size], onward[:, size:] = units.transpose(0, 1), memory.transpose(0, 1)
            return seen_by(errors, torch.cat([carried[:, :size], raw.transpose(0, 1), onward[:, size:]], dim=1))
        noise, errors, steady = carried.new_empty(len(errors), self.rows), errors.contiguous(), self._carrying()
        raw = carried.new_empty(4 * size, carried.shape[2])
        # One stay at a time: what an hour adds up then stays in the cache.
        for each in range(len(errors)):
            torch.mm(weights, carried[each, :size], out=raw)
            moving = (raw, carried[each], onward[each])
            arrays = (*(array[each] for array in steady), errors[each], *moving, noise[each])
            rows = [array.stride(0) for array in moving]
            library.lstm_carry_noise(size, carried.shape[2], *(array.data_ptr() for array in arrays), *rows)
        return noise

    def _carrying(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return, in float32, what gates do to the memory, what the memory does to itself, and to the hidden units."""
        _, forget, _, leave = self.gates.chunk(4, dim=-1)
        factor, forget, out = (each.float().contiguous() for each in (self.factor, forget, leave * self.curve))
        return factor, forget, out

    def back(self, after: Tensor, noise: Tensor, errors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Hour.back``."""
        size, weights, factor = self.before.shape[-1], self.weights.hidden, self.factor[..., None, :]
        _, forget, _, leave = self.gates[..., None, :].chunk(4, dim=-1)
        units, held = after[..., :size], after[..., size:]
        shown = units * (leave * self.curve[..., None, :])
        memory = held + shown
        raw = torch.cat([memory, memory, memory, units], dim=-1) * factor
        # Both ways through the memory may cancel: what is lost is relative to their sizes, not to their sum.
        most = held.abs() + shown.abs()
        sizes = torch.cat([noise[..., :size] @ weights.abs().T, noise[..., size:], errors[..., size:]], dim=-1)
        through = torch.cat([most, most, most, units.abs()], dim=-1) * factor.abs()
        lost = ROUNDING * (torch.cat([through, most * forget, most], dim=-1) @ sizes[..., None])[..., 0]
        return torch.cat([units, memory], dim=-1), torch.cat([raw @ weights, memory * forget], dim=-1), lost

    def beginnings(self) -> Tensor:
        """See ``Hour.beginnings``: an error of the memory moves the hidden units as well."""
        size = self.before.shape[-1]
        found = torch.eye(2 * size).expand(*self.before.shape[:-1], -1, -1).clone()
        found[..., :size, size:].diagonal(dim1=-2, dim2=-1).copy_(self.gates[..., 3 * size :] * self.curve)
        return found

    def step(self, before: States, inputs: HourInputs, noise: Tensor) -> States:
        """See ``Hour.step``."""
        weights, size = self.weights, self.before.shape[-1]
        unit_noise, raw, memory_noise = noise[:, :size], noise[:, size : 5 * size], noise[:, 5 * size :]
        sizes = Sizes.of(weights, before, inputs, unit_noise)
        middle, moves = before.middle[:, :size], before.moves[:, :size]
        bias = weights.hidden_bias + weights.input_bias
        gates = Noisy(
            middle @ weights.hidden.T + inputs.centre @ weights.inputs.T + bias,
            moves @ weights.hidden.T + inputs.slope @ weights.inputs.T,
            raw,
            sizes.fresh(),
        )
        if relaxations() is not None:
            return self._compiled_step(before, gates, sizes, noise)
        lower, upper = gates.bounds()
        kinds = (sigmoid, sigmoid, tanh, sigmoid)
        ends = zip(kinds, lower.chunk(4, 1), upper.chunk(4, 1), strict=True)
        lines = zip(*(kind(low, high) for kind, low, high in ends), strict=True)
        gates = gates.through(Line(*(torch.cat(arrays, dim=1) for arrays in lines)), self.steep)
        enter, forget, candidate, leave = (gates.part(k * size, (k + 1) * size) for k in range(4))
        at = self.gates.chunk(4, dim=-1)
        # What products of float32 lose of the noise on its way through the hour.
        lost = (lost_in_products(size) * each for each in self._after(sizes.noise.T, before.beyond.T, sizes=True))
        lost_units, lost_memory = (each.T for each in lost)
        zero = torch.zeros_like(before.beyond)
        held = Noisy(before.middle[:, size:], before.moves[:, size:], before.beyond, zero)
        memory = forget.times(held, at[1], self.before).plus(enter.times(candidate, at[0], at[2]))
        memory_error = (memory.fresh + lost_memory) * (1 + ROUNDING)
        # An error of the memory moves the new hidden units as the slopes say.
        memory = Noisy(memory.middle, memory.moves, memory_noise + memory_error, zero)
        shown = memory.through(tanh(*memory.bounds()), self.curve)
        units = leave.times(shown, at[3], self.curbed)
        units_error = (units.fresh + lost_units + 2 * SINGLE * memory_error) * (1 + ROUNDING)
        return States(
            torch.cat([units.middle, memory.middle], dim=1),
            torch.cat([units.moves, memory.moves], dim=1),
            rounded_up(torch.cat([units_error, memory_error], dim=1)),
            memory.known,
        )

    def _compiled_step(self, before: States, gates: Noisy, sizes: Sizes, noise: Tensor) -> States:
        """Do the same in C.

        Args:
            before: The states before the hour.
            gates: (B, 4 H) before their activation.
            sizes: Of what they add up.
            noise: As in ``step``.
        """
        size, library = self.before.shape[-1], relaxations()
        assert library is not None  # noqa: S101 - the caller has looked
        middle, moves, beyond = (array.clone() for array in (before.middle, before.moves, before.beyond))
        errors = torch.empty_like(middle, dtype=torch.float32)
        steady = [self.gates, self.steep, self.factor, self.before.contiguous(), self.curbed, self.curve]
        hour = HourOfLstm(size, sizes.columns, int(self.before.ndim > 1), *(address(each) for each in steady))
        parts = [each.contiguous() for each in (gates.middle, gates.moves, sizes.own, sizes.added, sizes.noise)]
        noise = noise.contiguous()
        passes = PassesOfLstm(
            len(middle),
            *(address(each) for each in parts),
            address(noise),
            noise.shape[1],
            *(address(each) for each in (middle, moves, beyond, errors)),
            2 * size,
        )
        library.lstm_hour(ctypes.byref(hour), ctypes.byref(passes))
        return States(middle, moves, errors, beyond)


@dataclasses.dataclass(frozen=True, eq=False)
class GruHour:
    """One hour of a GRU in the unchanged stay; its state is the hidden units.

    Of one stay; of B stays, arrays begin with an axis for them.

    Attributes:
        weights: Of the cell.
        before: (H,) hidden units before the hour.
        gates: (2 H,) values of the gates that reset and that keep.
        recalled: (H,) what the hidden units say to the candidate, before it is reset.
        candidate: (H,) candidate.
    """

    weights: Weights
    before: Tensor
    gates: Tensor
    recalled: Tensor
    candidate: Tensor

    @classmethod
    def of(cls, cell: GruCell, inputs: Tensor, before: Tensor) -> GruHour:
        """Read an hour of a stay: ([B,] C) inputs, and the ([B,] H) hidden units before it."""
        weights, size = cell.weights, cell.hidden_size
        from_units = before @ weights.hidden.T + weights.hidden_bias
        from_inputs = inputs @ weights.inputs.T + weights.input_bias
        gates = torch.sigmoid(from_units[..., : 2 * size] + from_inputs[..., : 2 * size])
        recalled = from_units[..., 2 * size :]
        candidate = torch.tanh(from_inputs[..., 2 * size :] + gates[..., :size] * recalled)
        return cls(weights, before, gates, recalled, candidate)

    @property
    def rows(self) -> int:
        """See ``Hour``: hidden units, gates and what is recalled, the candidate before its activation."""
        return 5 * self.before.shape[-1]

    def _slopes(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return what moves the candidate before its activation, and then what moves the hidden units.

        Returns:
            ([B,] H) what a reset gate before its activation does to the candidate, and what is recalled; what hidden
            units before the hour do to those after it, a keeping gate before its activation, and the candidate.
        """
        gate, keep = self.gates.chunk(2, dim=-1)
        steep = self.recalled * gate * (1 - gate)
        turned = (self.before - self.candidate) * keep * (1 - keep)
        return steep, gate, keep, turned, (1 - keep) * (1 - self.candidate**2)

    def _within(self, raw: Tensor, *, sizes: bool = False) -> Tensor:
        """Return what reaches the candidate before its activation, from the (3 H, ...) that reaches the gates."""
        reset, _, recalled = raw.chunk(3)
        steep, gate, *_ = self._slopes()
        if sizes:
            steep = steep.abs()
        return recalled * _over(gate, raw) + reset * _over(steep, raw)

    def _after(self, raw: Tensor, within: Tensor, units: Tensor, *, sizes: bool = False) -> Tensor:
        """Return what reaches the hidden units after the hour."""
        _, _, keep, turned, new = self._slopes()
        if sizes:
            turned = turned.abs()
        return units * _over(keep, raw) + raw.chunk(3)[1] * _over(turned, raw) + within * _over(new, raw)

    def carry(self, carried: Tensor, sizes: Tensor, onward: Tensor) -> None:
        """See ``Hour.carry``."""
        raw = self.weights.hidden.float() @ carried
        within = self._within(raw)
        onward.copy_(self._after(raw, within, carried))
        torch.abs(torch.cat([carried, raw, within]), out=sizes)

    def carry_apart(self, carried: Tensor, errors: Tensor, onward: Tensor) -> Tensor:
        """See ``Hour.carry_apart``."""
        before = carried.transpose(0, 1)
        raw = (self.weights.hidden.float() @ carried).transpose(0, 1)
        within = self._within(raw)
        onward.copy_(self._after(raw, within, before).transpose(0, 1))
        return seen_by(errors, torch.cat([before, raw, within]).transpose(0, 1))

    def back(self, after: Tensor, noise: Tensor, errors: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002 - as LSTM
        """See ``Hour.back``: nothing cancels before it is multiplied by the weights."""
        weights, slopes = self.weights.hidden, self._slopes()
        steep, gate, keep, turned, new = (each[..., None, :] for each in slopes)
        within, kept = after * new, after * keep
        raw = torch.cat([within * steep, after * turned, within * gate], dim=-1)
        sizes = torch.cat([noise @ weights.abs().T, noise], dim=-1)
        lost = ROUNDING * (torch.cat([raw, kept], dim=-1).abs() @ sizes[..., None])[..., 0]
        return after, raw @ weights + kept, lost

    def beginnings(self) -> Tensor:
        """See ``Hour.beginnings``."""
        return torch.eye(self.before.shape[-1]).expand(*self.before.shape[:-1], -1, -1)

    def step(self, before: States, inputs: HourInputs, noise: Tensor) -> States:
        """See ``Hour.step``."""
        weights, size = self.weights, self.before.shape[-1]
        unit_noise, raw, within = noise[:, :size], noise[:, size : 4 * size], noise[:, 4 * size :]
        sizes = Sizes.of(weights, before, inputs, unit_noise)
        middle = before.middle @ weights.hidden.T + weights.hidden_bias
        moves = before.moves @ weights.hidden.T
        entered = inputs.centre @ weights.inputs.T + weights.input_bias
        moved = inputs.slope @ weights.inputs.T
        two, last = slice(2 * size), slice(2 * size, 3 * size)
        gates = Noisy(middle[:, two] + entered[:, two], moves[:, two] + moved[:, two], raw[:, two], sizes.fresh(two))
        gates = gates.through(sigmoid(*gates.bounds()), self.gates * (1 - self.gates))
        reset, keep = gates.part(0, size), gates.part(size, 2 * size)
        at_reset, at_keep = self.gates.chunk(2, dim=-1)
        recalled = Noisy(middle[:, last], moves[:, last], raw[:, last], sizes.fresh(last))
        told = reset.times(recalled, at_reset, self.recalled)
        lost = lost_in_products(size) * self._within(sizes.noise.T, sizes=True).T
        loose = told.fresh + sizes.fresh(last) + 2 * SINGLE * (told.size + sizes.added[:, last]) + lost
        new = Noisy(told.middle + entered[:, last], told.moves + moved[:, last], within, loose)
        new = new.through(tanh(*new.bounds()), 1 - self.candidate**2)
        # h' = n + z (h - n). The candidate n occurs twice; its own error d comes out as (1 - z) d.
        alone = Noisy(new.middle, new.moves, new.known, torch.zeros_like(new.fresh))
        lower, upper = keep.bounds()
        remaining = new.fresh * torch.maximum((1 - lower).abs(), (1 - upper).abs())
        held = Noisy(before.middle, before.moves, unit_noise, torch.zeros_like(unit_noise))
        apart = held.plus(Noisy(-alone.middle, -alone.moves, alone.known, alone.fresh))
        after = alone.plus(keep.times(apart, at_keep, self.before - self.candidate))
        within_sizes = self._within(sizes.noise.T, sizes=True)
        lost = lost_in_products(size) * self._after(sizes.noise.T, within_sizes, unit_noise.T, sizes=True).T
        errors = (after.fresh + remaining + lost) * (1 + ROUNDING)
        return States(after.middle, after.moves, rounded_up(errors), before.beyond)
