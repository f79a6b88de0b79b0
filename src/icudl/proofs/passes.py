"""Passes of recurrent layers over the hours that a changed value reaches.

A pass begins at the first hour that the value reaches; what came before is the same for all values of a stay and is
computed once (``Base``). Several values are carried at once, each from its own first hour on.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import torch
from torch import Tensor, nn

from icudl.proofs.affine import AffineForm
from icudl.proofs.cells import Cell, first_state, make_cell
from icudl.proofs.relaxations import Line, relu

BELOW_ALL = -2.0
"""Smaller than every hidden unit, which lies between -1 and 1."""


@dataclasses.dataclass(frozen=True, eq=False)
class Track:
    """Inputs of B passes at each hour, linear in the changed value.

    Attributes:
        centre: (B, T, C) float64, at the middle of the value's range.
        slope: (B, T, C) change from there to the upper end.
        own: (B, T, C) error of each number.
    """

    centre: Tensor
    slope: Tensor
    own: Tensor

    @classmethod
    def exact(cls, features: Tensor) -> Self:
        """Return the inputs of unchanged stays."""
        return cls(features, torch.zeros_like(features), torch.zeros_like(features))

    def at(self, rows: Tensor, hours: Tensor) -> AffineForm:
        """Return the inputs of some passes, each at an hour of its own."""
        return AffineForm(self.centre[rows, hours], self.slope[rows, hours][:, None], self.own[rows, hours])

    def select(self, rows: Tensor) -> Track:
        """Return the inputs of the passes at ``rows``."""
        return Track(self.centre[rows], self.slope[rows], self.own[rows])


@dataclasses.dataclass(frozen=True, eq=False)
class Journey:
    """One direction of a pass: which hours it visits.

    Attributes:
        start: (B,) first hour.
        steps: (B,) hours visited; 0 for none.
        forward: Whether time runs forward.
    """

    start: Tensor
    steps: Tensor
    forward: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Direction:
    """One direction of a layer, with what its read-out gathers on the way.

    Attributes:
        cell: The cell.
        gather: ``"mean"`` or ``"max"`` for sums or largest values of the hidden units so far; "" for none.
    """

    cell: Cell
    gather: str = ""

    def beginning(self, batch: int) -> AffineForm:
        """Return the state before the first hour."""
        state = first_state(self.cell, batch)
        if not self.gather:
            return state
        empty = torch.full((batch, self.cell.hidden_size), BELOW_ALL if self.gather == "max" else 0.0).double()
        return AffineForm.joined([state, AffineForm.exact(empty)])

    def travel(
        self, track: Track, journey: Journey, state: AffineForm, most_terms: int, *, keep: bool = False
    ) -> tuple[AffineForm, Track]:
        """Visit the hours of a journey.

        Args:
            track: (B, T, C) inputs.
            journey: The hours.
            state: Before the first of them.
            most_terms: Most unknowns that are carried; more are replaced by one for each component of the state.
            keep: Whether to return the states on the way.

        Returns:
            The last states, and the state after each hour, as far as it follows from the changed value; hours not
            visited are 0. Without ``keep`` the second is empty.
        """
        # Longest journeys first, so that those under way are always the first of the batch.
        order = torch.argsort(journey.steps, descending=True, stable=True)
        steps, start = journey.steps[order], journey.start[order]
        state = AffineForm(state.centre[order], state.terms[order], state.own[order]).shared()
        batch, size = state.centre.shape
        room = max(most_terms, 4 * size) + 2 * size + 1
        last = AffineForm.exact(torch.zeros_like(state.centre), room)
        hours = track.centre.shape[1] if keep else 0
        way = Track.exact(state.centre.new_zeros(batch, hours, size))
        sign = 1 if journey.forward else -1
        done = batch
        for step in range(int(steps.max()) + 1 if batch else 0):
            active = int((steps > step).sum())
            _put(last, state, active, done)
            if active == 0:
                break
            state, done = state.rows(active), active
            now = start[:active] + sign * step
            state = self._advance(track.at(order[:active], now), state)
            if state.terms.shape[1] > max(most_terms, 4 * size):
                state = state.reduced(max(most_terms // 2, 2 * size))
            if keep:
                alone, rows = state.in_value_alone(), order[:active]
                way.centre[rows, now], way.slope[rows, now] = alone.centre, alone.terms[:, 0]
                way.own[rows, now] = alone.own
        back = torch.argsort(order)
        return AffineForm(last.centre[back], last.terms[back], last.own[back]), way

    def _advance(self, inputs: AffineForm, state: AffineForm) -> AffineForm:
        size = self.cell.state_size
        moved = self.cell.step(inputs, state.part(0, size))
        if not self.gather:
            return moved
        units, so_far = moved.part(0, self.cell.hidden_size), state.part(size, size + self.cell.hidden_size)
        if self.gather == "mean":
            gathered = so_far.plus(units)
        else:
            above = units.minus(so_far)
            gathered = so_far.plus(above.through(relu(*above.bounds())))
        return AffineForm.joined([moved, gathered.shared()])

    def read(self, state: AffineForm, lengths: Tensor) -> AffineForm:
        """Return the part of a state that the read-out takes."""
        if not self.gather:
            return state.part(0, self.cell.hidden_size)
        gathered = state.part(self.cell.state_size, self.cell.state_size + self.cell.hidden_size)
        if self.gather == "max":
            return gathered
        share = (1 / lengths.double())[:, None].expand_as(gathered.centre)
        zero = torch.zeros_like(gathered.centre)
        return gathered.through(Line(share, zero, zero))


def _put(last: AffineForm, state: AffineForm, start: int, end: int) -> None:
    """Keep the states of the passes that have ended, those from ``start`` to ``end``."""
    if start < end:
        last.centre[start:end] = state.centre[start:end]
        last.terms[start:end, : state.terms.shape[1]] = state.terms[start:end]
        last.own[start:end] = state.own[start:end]


def beside(first: AffineForm, second: AffineForm) -> AffineForm:
    """Return the components of two forms that share the changed value and no other unknown."""
    own_terms, their_terms = first.terms.shape[1], second.terms.shape[1]
    terms = first.terms.new_zeros(
        len(first.centre), own_terms + their_terms - 1, first.centre.shape[1] + second.centre.shape[1]
    )
    size = first.centre.shape[1]
    terms[:, :own_terms, :size] = first.terms
    terms[:, 0, size:] = second.terms[:, 0]
    terms[:, own_terms:, size:] = second.terms[:, 1:]
    return AffineForm(torch.cat([first.centre, second.centre], dim=1), terms, torch.cat([first.own, second.own], dim=1))


@dataclasses.dataclass(frozen=True, eq=False)
class Layers:
    """The recurrent layers of a classifier.

    Attributes:
        cells: For each layer its directions: forward, and backward where there is one.
        readout: ``last_hour``, ``final``, ``mean`` or ``max``.
        most_terms: Most unknowns that a pass carries.
    """

    cells: tuple[tuple[Direction, ...], ...]
    readout: str
    most_terms: int

    @classmethod
    def of(cls, rnn: nn.RNNBase, readout: str, most_terms: int) -> Self:
        """Take the layers of an ``nn.LSTM`` or ``nn.GRU``."""
        gather = readout if readout in {"mean", "max"} else ""
        reverses = (False, True) if rnn.bidirectional else (False,)
        cells = tuple(
            tuple(
                Direction(make_cell(rnn, layer, reverse=reverse), gather if layer == rnn.num_layers - 1 else "")
                for reverse in reverses
            )
            for layer in range(rnn.num_layers)
        )
        return cls(cells, readout, most_terms)

    def base(self, features: Track, lengths: Tensor) -> Base:
        """Pass unchanged stays through the first layer."""
        ways = []
        for place, direction in enumerate(self.cells[0]):
            journey = _whole(lengths, forward=place == 0)
            state = direction.beginning(len(lengths))
            ways.append(direction.travel(features, journey, state, self.most_terms, keep=True)[1])
        return Base(features, lengths, tuple(ways))

    def summary(self, base: Base, rows: Tensor, track: Track, reached: Tensor) -> AffineForm:
        """Return the read-out of B passes.

        Args:
            base: The unchanged stays.
            rows: (B,) stay of each pass.
            track: Inputs of the passes.
            reached: (B, 2) first and last hour that the changed value reaches.
        """
        lengths = base.lengths[rows]
        for number, layer in enumerate(self.cells[:-1]):
            parts = [
                self._outputs(direction, base, rows, track, reached, forward=place == 0, first_layer=number == 0)
                for place, direction in enumerate(layer)
            ]
            track = Track(*(torch.cat(arrays, dim=2) for arrays in zip(*parts, strict=True)))
            reached = torch.stack([torch.zeros_like(lengths), lengths - 1], dim=1)
        only = len(self.cells) == 1
        forms = []
        for place, direction in enumerate(self.cells[-1]):
            if place == 1 and self.readout == "last_hour":
                # The backward direction has read one hour when it comes by the last one.
                journey = Journey(lengths - 1, torch.ones_like(lengths), forward=False)
                state = direction.beginning(len(rows))
            else:
                journey, state = _leg(direction, base, rows, reached, place, from_base=only)
            forms.append(direction.read(direction.travel(track, journey, state, self.most_terms)[0], lengths))
        return forms[0] if len(forms) == 1 else beside(forms[0], forms[1])

    def _outputs(
        self,
        direction: Direction,
        base: Base,
        rows: Tensor,
        track: Track,
        reached: Tensor,
        *,
        forward: bool,
        first_layer: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return (B, T, H) centre, slope and error of one direction's hidden units at each hour."""
        place, size = 0 if forward else 1, direction.cell.hidden_size
        journey, state = _leg(direction, base, rows, reached, place, from_base=first_layer)
        way = direction.travel(track, journey, state, self.most_terms, keep=True)[1]
        arrays = [array[:, :, :size] for array in (way.centre, way.slope, way.own)]
        if first_layer:
            hours = torch.arange(track.centre.shape[1])[None, :]
            before = hours < reached[:, :1] if forward else hours > reached[:, 1:]
            unchanged = base.ways[place].select(rows)
            for array, known in zip(arrays, (unchanged.centre, unchanged.slope, unchanged.own), strict=True):
                array[before] = known[:, :, :size][before]
        return arrays[0], arrays[1], arrays[2]


@dataclasses.dataclass(frozen=True, eq=False)
class Base:
    """Unchanged stays in the first layer.

    Attributes:
        features: (N, T, C) inputs.
        lengths: (N,).
        ways: For each direction the states after each hour.
    """

    features: Track
    lengths: Tensor
    ways: tuple[Track, ...]


def _whole(lengths: Tensor, *, forward: bool) -> Journey:
    return Journey(torch.zeros_like(lengths) if forward else lengths - 1, lengths, forward)


def _leg(
    direction: Direction, base: Base, rows: Tensor, reached: Tensor, place: int, *, from_base: bool
) -> tuple[Journey, AffineForm]:
    """Return the hours that a direction visits from the first one reached on, and the state before them."""
    lengths = base.lengths[rows]
    state = direction.beginning(len(rows))
    if not from_base:
        return _whole(lengths, forward=place == 0), state
    if place == 0:
        start, steps, before = reached[:, 0], lengths - reached[:, 0], reached[:, 0] - 1
        known = before >= 0
    else:
        start, steps, before = reached[:, 1], reached[:, 1] + 1, reached[:, 1] + 1
        known = before < lengths
    way = base.ways[place]
    where = before.clamp(min=0, max=way.centre.shape[1] - 1)
    known = known[:, None]
    centre = torch.where(known, way.centre[rows, where], state.centre)
    own = torch.where(known, way.own[rows, where], state.own)
    return Journey(start, steps, place == 0), AffineForm(centre, state.terms, own)
