"""Passes of an LSTM alongside the unchanged stay: hundreds of values of one stay, for the price of a few forms.

A pass about one value carries states ``middle + e moves + noise``: e between -1 and 1 says where the value is, and the
noise is the sum of what all errors made on the way have become. How an error of one hour moves the state of a later
one is read off the *unchanged* stay, as the product of its Jacobians in between. These products are the same for all
values of a stay, so each is made once, and the noise of all values is one product of matrices. A pass is elsewhere than
the unchanged stay, so its slopes differ: the difference times the noise is one more error. It is small where a value
moves the network little, as most values do. Forms of their own (``passes``) are for the others.

No error is merged with others, as ``AffineForm.reduced`` has to. Rounding is bounded as in ``affine``: products of
Jacobians are float32, and what each of them loses is an error of its hour.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

from icudl.models.recurrent.readout import Head
from icudl.proofs.forms.affine import ROUNDING, SINGLE, TINY
from icudl.proofs.forms.cells import LstmCell
from icudl.proofs.forms.relaxations import ACTIVATIONS, Line, sigmoid, tanh

CHUNK = 128
"""Passes carried at once."""

_UP = 1 + 2.0**-22
"""A number of float64 times this is not larger in float32 than before."""


class Inputs(NamedTuple):
    """Inputs of B passes about one stay, in the order in which a direction reads them.

    Attributes:
        centre: (B, N, C) float64, where e is 0.
        slope: (B, N, C) change from there to where e is 1.
        own: (B, N, C) error of each number.
        start: (B,) first place that the value reaches; N for none.
    """

    centre: Tensor
    slope: Tensor
    own: Tensor
    start: Tensor


class Unchanged(NamedTuple):
    """The states of the unchanged stay at the N places that a direction visits.

    Attributes:
        inputs: (N, C).
        state: (N, 2 H) hidden units and memory after each.
        own: (N, 2 H) error of each number.
    """

    inputs: Tensor
    state: Tensor
    own: Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Noisy:
    """B sets of vectors of n components, ``middle + e moves + known + fresh``.

    Attributes:
        middle: (B, n).
        moves: (B, n).
        known: (B, n), at least 0: size of the noise that the Jacobians of the unchanged stay carry.
        fresh: (B, n), at least 0: size of errors that they do not carry yet.
    """

    middle: Tensor
    moves: Tensor
    known: Tensor
    fresh: Tensor

    @property
    def noise(self) -> Tensor:
        """(B, n), size of all noise."""
        return self.known + self.fresh

    @property
    def size(self) -> Tensor:
        """(B, n), the largest size of each component."""
        return self.middle.abs() + self.moves.abs() + self.noise

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Return the smallest and largest value of each component."""
        reach = (self.moves.abs() + self.noise) * (1 + ROUNDING)
        room = ROUNDING * (self.middle.abs() + reach)
        return self.middle - reach - room, self.middle + reach + room

    def through(self, line: Line, slope: Tensor) -> Noisy:
        """Return a function of each component, replaced by a line; ``slope`` is what carries its noise."""
        steep = line.slope.abs()
        error = line.error + ROUNDING * (steep * self.size + line.offset.abs())
        fresh = (line.slope - slope).abs() * self.known + steep * self.fresh + error
        moved = line.slope * self.middle + line.offset
        return Noisy(moved, line.slope * self.moves, slope.abs() * self.known, fresh)

    def times(self, other: Noisy, at: Tensor, other_at: Tensor) -> Noisy:
        """Return the product, component by component; of its known noise only the sizes are added.

        Args:
            other: The other factor.
            at: (n,) what carries the noise of the other factor: this one in the unchanged stay.
            other_at: (n,) what carries the noise of this one.
        """
        half = self.moves * other.moves / 2
        noise, other_noise = self.noise, other.noise
        fresh = (self.middle - at).abs() * other.known + (other.middle - other_at).abs() * self.known
        fresh = fresh + self.middle.abs() * other.fresh + other.middle.abs() * self.fresh + half.abs()
        fresh = fresh + self.moves.abs() * other_noise + other.moves.abs() * noise + noise * other_noise
        fresh = fresh + (2 * SINGLE + 16 * ROUNDING) * self.size * other.size
        moves = self.middle * other.moves + other.middle * self.moves
        known = at.abs() * other.known + other_at.abs() * self.known
        return Noisy(self.middle * other.middle + half, moves, known, fresh)

    def plus(self, other: Noisy) -> Noisy:
        """Return the sum; of its known noise only the sizes are added."""
        fresh = self.fresh + other.fresh + 2 * SINGLE * (self.size + other.size)
        return Noisy(self.middle + other.middle, self.moves + other.moves, self.known + other.known, fresh)

    def part(self, start: int, end: int) -> Noisy:
        """Return the components from ``start`` up to ``end``."""
        return Noisy(*(getattr(self, field.name)[:, start:end] for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True, eq=False)
class Slopes:
    """What carries noise through one hour of an LSTM: the unchanged stay.

    Attributes:
        gates: (4 H,) values of the gates.
        steep: (4 H,) slopes of the gates.
        before: (H,) memory before the hour.
        curbed: (H,) tanh of the memory after it.
        curve: (H,) slope of that tanh.
        jacobian: (2 H, 2 H) float32.
        sizes: (2 H, 2 H) float64, bounds of the sizes of all that is added up in each of its entries.
    """

    gates: Tensor
    steep: Tensor
    before: Tensor
    curbed: Tensor
    curve: Tensor
    jacobian: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, cell: LstmCell, inputs: Tensor, hidden: Tensor, before: Tensor) -> Slopes:
        """Return the slopes of one hour of a stay.

        Args:
            cell: The cell.
            inputs: (C,) inputs of the hour.
            hidden: (H,) hidden units before it.
            before: (H,) memory before it.
        """
        weights, size = cell.weights, cell.hidden_size
        raw = weights.hidden @ hidden + weights.hidden_bias + weights.inputs @ inputs + weights.input_bias
        gates = torch.sigmoid(raw)
        gates[2 * size : 3 * size] = torch.tanh(raw[2 * size : 3 * size])
        steep = gates * (1 - gates)
        steep[2 * size : 3 * size] = 1 - gates[2 * size : 3 * size] ** 2
        enter, forget, candidate, leave = gates.chunk(4)
        curbed = torch.tanh(forget * before + enter * candidate)
        curve = 1 - curbed**2
        factor = steep * torch.cat([candidate, before, enter, curbed])
        through, through_sizes = factor[:, None] * weights.hidden, factor.abs()[:, None] * weights.hidden.abs()
        found = []
        for rows in (through, through_sizes):
            memory = torch.cat([rows[: 3 * size].view(3, size, size).sum(dim=0), torch.diag(forget)], dim=1)
            units = (leave * curve)[:, None] * memory
            units[:, :size] += rows[3 * size :]
            found.append(torch.cat([units, memory]))
        return cls(gates, steep, before, curbed, curve, found[0].float(), found[1])

    def beginnings(self, size: int) -> Tensor:
        """Return the (2 H, 2 H) float32 effect of errors of the new hidden units and of the new memory on the state."""
        found = torch.eye(2 * size)
        found[:size, size:].diagonal().copy_(self.gates[3 * size :] * self.curve)
        return found


@dataclasses.dataclass(eq=False)
class Pack:
    """Passes on their way.

    Attributes:
        inputs: Of the passes, by the place at which they start.
        middle: (B, 2 H) states.
        moves: (B, 2 H).
        errors: (B, M, 2 H) float32, the errors of the states before each place from the first that any pass visits on.
    """

    inputs: Inputs
    middle: Tensor
    moves: Tensor
    errors: Tensor


class Arrived(NamedTuple):
    """States of B passes after the last hour.

    Attributes:
        state: Hidden units; of their noise the Jacobians carry all.
        noise: (B, n) sizes of the noise of n further numbers, linear in the hidden units.
    """

    state: Noisy
    noise: Tensor


def travel(cell: LstmCell, stay: Unchanged, inputs: Inputs, reader: Tensor) -> Arrived:
    """Carry passes about one stay through the hours of a direction.

    Args:
        cell: The cell.
        stay: The unchanged stay.
        inputs: Of B passes.
        reader: (n, H) what is read of the hidden units in the end, as far as it is linear.
    """
    size, places = cell.hidden_size, len(stay.inputs)
    order = torch.argsort(inputs.start, stable=True)
    first = int(inputs.start.min())
    packs = []
    for rows in torch.split(order, CHUNK):
        part = Inputs(*(array[rows] for array in inputs))
        empty = stay.state.new_zeros(len(rows), 2 * size)
        errors = torch.zeros(len(rows), places + 1 - first, 2 * size, dtype=torch.float32)
        packs.append(Pack(part, empty, empty.clone(), errors))
    nothing = stay.state.new_zeros(2 * size)
    # (2 H, places so far x 2 H): how the errors of each place move the state before the next one.
    carried = torch.eye(2 * size)
    for place in range(first, places):
        now = stay.state[place - 1] if place else nothing
        slopes = Slopes.of(cell, stay.inputs[place], now[:size], now[size:])
        onward = slopes.jacobian @ carried
        seen = torch.cat([cell.weights.hidden.float() @ carried[:size], carried, onward[size:]]).abs_()
        for pack in packs:
            _enter(pack, place, first, stay, carried[:size, -size:].diagonal())
            active = int((pack.inputs.start <= place).sum())
            if active:
                _step(cell, slopes, pack, (place, place - first), active, seen)
        carried = torch.cat([onward, slopes.beginnings(size)], dim=1)
    rows = torch.cat([torch.eye(size), reader.float()])
    seen = (rows @ carried[:size]).abs_()
    loss = _loss(size) * torch.cat([torch.zeros_like(rows[:size]), rows[size:]]).abs().double()
    parts = []
    for pack in packs:
        _enter(pack, places, first, stay, carried[:size, -size:].diagonal())
        noise = _noise(pack.errors, seen)
        parts.append((pack.middle[:, :size], pack.moves[:, :size], noise + noise[:, :size] @ loss.T))
    back = torch.argsort(order)
    middle, moves, noise = (torch.cat(arrays)[back] for arrays in zip(*parts, strict=True))
    return Arrived(Noisy(middle, moves, noise[:, :size], torch.zeros_like(middle)), noise[:, size:])


def _loss(size: int) -> float:
    """Return by how much a product of 2 H terms in float32 may err, relative to the sum of their sizes."""
    return SINGLE * (2 * size + 24)


def _enter(pack: Pack, place: int, first: int, stay: Unchanged, shown: Tensor) -> None:
    """Let passes that start at a place begin with the state of the unchanged stay.

    Args:
        pack: The passes.
        place: The place.
        first: Place of the first errors of the pack.
        stay: The unchanged stay.
        shown: (H,) how an error of the memory before the place is taken to move the hidden units.
    """
    begins = (pack.inputs.start == place).nonzero()[:, 0]
    if not len(begins) or place == 0:
        return
    pack.middle[begins] = stay.state[place - 1]
    size, own = len(shown), stay.own[place - 1].clone()
    # Both errors are independent here: that of the hidden units makes up for what the memory's is taken to do.
    own[:size] += shown.abs().double() * own[size:] * (1 + 2 * SINGLE)
    pack.errors[begins, place - first] = (own * _UP).float()


def _noise(errors: Tensor, seen: Tensor) -> Tensor:
    """Return the (B, n) float64 noise of n numbers.

    Args:
        errors: (B, M, 2 H) errors of each place.
        seen: (n, M x 2 H) sizes of what they do to the numbers.
    """
    total = errors.flatten(1) @ seen.T
    return total.double() * (1 + 2 * SINGLE * (seen.shape[1] + 8)) + TINY


def _step(cell: LstmCell, slopes: Slopes, pack: Pack, at_place: tuple[int, int], active: int, seen: Tensor) -> None:
    """Carry the first passes of a pack through an hour.

    Args:
        cell: The cell.
        slopes: Of the hour.
        pack: The passes.
        at_place: Place of the hour, and of its errors in the pack.
        active: Passes under way.
        seen: (7 H, M x 2 H) sizes of what errors do to the gates before their activation, to the state, and to the
            memory after the hour.
    """
    size, weights, (place, slot) = cell.hidden_size, cell.weights, at_place
    noise = _noise(pack.errors[:active, : slot + 1], seen)
    loss = _loss(size)
    raw, state, memory_noise = noise[:, : 4 * size], noise[:, 4 * size : 6 * size], noise[:, 6 * size :]
    middle, moves = pack.middle[:active], pack.moves[:active]
    centre, slope, own = (array[:active, place] for array in pack.inputs[:3])
    # What the products of float32 lose of the noise.
    hidden_sizes = weights.hidden.abs()
    lost = loss * (state @ slopes.sizes.T)
    before = Noisy(middle, moves, state, torch.zeros_like(state))
    sizes = before.size[:, :size] @ hidden_sizes.T
    sizes = sizes + (centre.abs() + slope.abs() + own) @ weights.inputs.abs().T
    sizes = sizes + (weights.hidden_bias.abs() + weights.input_bias.abs())
    count = size + centre.shape[1] + 16
    fresh = own @ weights.inputs.abs().T + SINGLE * count * sizes + loss * (state[:, :size] @ hidden_sizes.T)
    gates = Noisy(
        middle[:, :size] @ weights.hidden.T + centre @ weights.inputs.T + (weights.hidden_bias + weights.input_bias),
        moves[:, :size] @ weights.hidden.T + slope @ weights.inputs.T,
        raw,
        fresh,
    )
    lower, upper = gates.bounds()
    kinds = (sigmoid, sigmoid, tanh, sigmoid)
    ends = zip(kinds, lower.chunk(4, 1), upper.chunk(4, 1), strict=True)
    lines = zip(*(kind(low, high) for kind, low, high in ends), strict=True)
    gates = gates.through(Line(*(torch.cat(arrays, dim=1) for arrays in lines)), slopes.steep)
    enter, forget, candidate, leave = (gates.part(k * size, (k + 1) * size) for k in range(4))
    at = slopes.gates.chunk(4)
    kept = forget.times(before.part(size, 2 * size), at[1], slopes.before)
    memory = kept.plus(enter.times(candidate, at[0], at[2]))
    memory_error = (memory.fresh + lost[:, size:]) * (1 + ROUNDING)
    # An error of the memory moves the new hidden units as the slopes say.
    memory = Noisy(memory.middle, memory.moves, memory_noise + memory_error, torch.zeros_like(memory_error))
    shown = memory.through(tanh(*memory.bounds()), slopes.curve)
    units = leave.times(shown, at[3], slopes.curbed)
    units_error = (units.fresh + lost[:, :size] + 2 * SINGLE * memory_error) * (1 + ROUNDING)
    pack.middle[:active] = torch.cat([units.middle, memory.middle], dim=1)
    pack.moves[:active] = torch.cat([units.moves, memory.moves], dim=1)
    pack.errors[:active, slot + 1] = (torch.cat([units_error, memory_error], dim=1) * _UP).float()


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """A head, and what carries noise through it: its slopes in the unchanged stay.

    Attributes:
        head: The head.
        names: Names of the activations of the read-out and of the fully connected layer.
        read: (m,) slopes of the activation of the read-out.
        squashed: (k,) slopes of that of the fully connected layer; empty where there is none.
        rows: (k + 1, m) what is read of the hidden units: the fully connected layer and the logit difference.
    """

    head: Head
    names: tuple[str, str]
    read: Tensor
    squashed: Tensor
    rows: Tensor

    @classmethod
    def of(cls, head: Head, names: tuple[str, str], units: Tensor) -> Reading:
        """Return the slopes of a head.

        Args:
            head: The head.
            names: Of the activations.
            units: (m,) read-out of the unchanged stay.
        """
        weight, _ = _weights(head.out)
        last = weight[1] - weight[0]
        read = ACTIVATIONS[names[0]](units[None], units[None])
        if head.fc is None:
            return cls(head, names, read.slope[0], units[:0], (last * read.slope[0])[None])
        inner, bias = _weights(head.fc)
        raw = (read.slope[0] * units + read.offset[0]) @ inner.T + bias
        squashed = ACTIVATIONS[names[1]](raw[None], raw[None]).slope[0]
        first = inner * read.slope[0]
        return cls(head, names, read.slope[0], squashed, torch.cat([first, ((last * squashed) @ first)[None]]))

    def difference(self, units: Noisy, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return middle, movement and noise of the (B,) logit differences, death minus survival.

        Args:
            units: (B, m) read-outs.
            noise: (B, k + 1) noise of ``rows`` times them.
        """
        form = units.through(ACTIVATIONS[self.names[0]](*units.bounds()), self.read)
        weight, bias = _weights(self.head.out)
        last = weight[1] - weight[0]
        rest = noise[:, -1]
        if self.head.fc is not None:
            inner, inner_bias = _weights(self.head.fc)
            lost = SINGLE * (inner.shape[1] + 8) * (form.size @ inner.abs().T + inner_bias.abs())
            # What the activation of the read-out errs by is carried on like all other noise.
            carried = noise[:, :-1] + form.fresh @ inner.abs().T
            rest = rest + form.fresh @ ((last * self.squashed) @ inner).abs()
            raw = Noisy(form.middle @ inner.T + inner_bias, form.moves @ inner.T, carried, lost)
            form = raw.through(ACTIVATIONS[self.names[1]](*raw.bounds()), self.squashed)
        rest = rest + form.fresh @ last.abs()
        sizes = form.size @ weight.abs().sum(dim=0) + bias.abs().sum()
        rest = (rest + SINGLE * (weight.shape[1] + 16) * sizes) * (1 + ROUNDING)
        middle, moves = form.middle @ last + (bias[1] - bias[0]), form.moves @ last
        # Noise that grew beyond all numbers says nothing.
        known = middle.isfinite() & moves.isfinite() & rest.isfinite()
        return middle.where(known, 0.0), moves.where(known, 0.0), rest.where(known, torch.inf)


def _weights(layer: torch.nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight.detach().double(), layer.bias.detach().double()
