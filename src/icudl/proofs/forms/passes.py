"""Passes of recurrent layers over the hours that a changed value reaches.

A pass begins at the first hour that the value reaches; what came before is the same for all values of a stay and is
computed once (``Base``). Several values are carried at once, each from its own first hour on.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import torch
from torch import Tensor, nn

from icudl.proofs.forms.affine import ONE_VALUE, AffineForm, Freedom
from icudl.proofs.forms.attention import Attention
from icudl.proofs.forms.cells import Cell, first_state, make_cell
from icudl.proofs.forms.relaxations import Line, relu

BELOW_ALL = -2.0
"""Smaller than every hidden unit, which lies between -1 and 1."""


@dataclasses.dataclass(frozen=True, eq=False)
class Track:
    """Inputs of B passes at each hour, linear in the V changed values.

    Attributes:
        centre: (B, T, C) float64, where all unknowns are 0.
        slope: (B, V, T, C) change from there to where one of the unknowns is 1.
        own: (B, T, C) error of each number.
        freedom: What the unknowns of the values may be.
    """

    centre: Tensor
    slope: Tensor
    own: Tensor
    freedom: Freedom = ONE_VALUE

    @classmethod
    def exact(cls, features: Tensor) -> Self:
        """Return the inputs of unchanged stays."""
        return cls(features, torch.zeros_like(features)[:, None], torch.zeros_like(features))

    def at(self, rows: Tensor, hours: Tensor) -> AffineForm:
        """Return the inputs of some passes, each at an hour of its own."""
        slope = self.slope[rows, :, hours]
        return AffineForm(self.centre[rows, hours], slope, self.own[rows, hours], self.freedom)

    def select(self, rows: Tensor) -> Track:
        """Return the inputs of the passes at ``rows``."""
        return Track(self.centre[rows], self.slope[rows], self.own[rows], self.freedom)


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
        gather: ``"mean"`` or ``"max"`` for sums or largest values of the hidden units so far; ``"weighted"`` for sums
            of their products with matrices that a pass brings with it; "" for none.
    """

    cell: Cell
    gather: str = ""

    def beginning(self, batch: int, freedom: Freedom = ONE_VALUE) -> AffineForm:
        """Return the state before the first hour."""
        state = first_state(self.cell, batch, freedom)
        if self.gather not in {"mean", "max"}:
            return state
        empty = torch.full((batch, self.cell.hidden_size), BELOW_ALL if self.gather == "max" else 0.0).double()
        return AffineForm.joined([state, AffineForm.exact(empty, freedom=freedom)])

    def travel(
        self,
        track: Track,
        journey: Journey,
        state: AffineForm,
        most_terms: int,
        *,
        keep: bool = False,
        weights: Tensor | None = None,
    ) -> tuple[AffineForm, Track]:
        """Visit the hours of a journey.

        Args:
            track: (B, T, C) inputs.
            journey: The hours.
            state: Before the first of them.
            most_terms: Most unknowns that are carried beside those of the values; more are replaced by one for each
                component of the state.
            keep: Whether to return the states on the way.
            weights: (B, T, m, H) matrices of the gathering ``"weighted"``, which ``state`` has room for.

        Returns:
            The last states, and the state after each hour, as far as it follows from the changed values; hours not
            visited are 0. Without ``keep`` the second is empty.
        """
        # Longest journeys first, so that those under way are always the first of the batch.
        order = torch.argsort(journey.steps, descending=True, stable=True)
        steps, start = journey.steps[order], journey.start[order]
        freedom = track.freedom
        state = AffineForm(state.centre[order], state.terms[order], state.own[order], freedom).single().shared()
        batch, size = state.centre.shape
        most = max(most_terms, 2 * self.cell.state_size + size)
        last = AffineForm.exact(torch.zeros_like(state.centre), freedom.values + most + 2 * size, freedom)
        hours = track.centre.shape[1] if keep else 0
        way = Track(
            state.centre.new_zeros(batch, hours, size),
            state.centre.new_zeros(batch, freedom.values, hours, size),
            state.centre.new_zeros(batch, hours, size),
            freedom,
        )
        sign = 1 if journey.forward else -1
        done = batch
        for step in range(int(steps.max()) + 1 if batch else 0):
            active = int((steps > step).sum())
            _put(last, state, active, done)
            if active == 0:
                break
            state, done = state.rows(active), active
            now = start[:active] + sign * step
            matrices = None if weights is None else weights[order[:active], now]
            state = self._advance(track.at(order[:active], now).single(), state, matrices)
            if state.terms.shape[1] - freedom.values > most:
                state = state.reduced(most // 2)
            if keep:
                alone, rows = state.in_values_alone(), order[:active]
                way.centre[rows, now], way.slope[rows, :, now] = alone.centre, alone.terms.double()
                way.own[rows, now] = alone.own
        back = torch.argsort(order)
        return AffineForm(last.centre[back], last.terms[back], last.own[back], freedom), way

    def _advance(self, inputs: AffineForm, state: AffineForm, matrices: Tensor | None) -> AffineForm:
        size = self.cell.state_size
        moved = self.cell.step(inputs, state.part(0, size))
        if state.centre.shape[1] == size:
            return moved
        units, so_far = moved.part(0, self.cell.hidden_size), state.part(size, state.centre.shape[1])
        if matrices is not None:
            gathered = so_far.plus(units.transformed(matrices))
        elif self.gather == "mean":
            gathered = so_far.plus(units)
        else:
            above = units.minus(so_far)
            gathered = so_far.plus(above.through(relu(*above.bounds())))
        # What the sums of products err by alone is rounding, which later hours do not multiply.
        return AffineForm.joined([moved, gathered if matrices is not None else gathered.shared()])

    def read(self, state: AffineForm, lengths: Tensor) -> AffineForm:
        """Return the part of a state that the read-out takes."""
        if not self.gather:
            return state.part(0, self.cell.hidden_size)
        gathered = state.part(self.cell.state_size, state.centre.shape[1])
        if self.gather != "mean":
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
    """Return the components of two forms that share the changed values and no other unknown."""
    n_values, size = first.freedom.values, first.centre.shape[1]
    own_terms, their_terms = first.terms.shape[1], second.terms.shape[1]
    terms = first.terms.new_zeros(len(first.centre), own_terms + their_terms - n_values, size + second.centre.shape[1])
    terms[:, :own_terms, :size] = first.terms
    terms[:, :n_values, size:] = second.terms[:, :n_values]
    terms[:, own_terms:, size:] = second.terms[:, n_values:]
    centre = torch.cat([first.centre, second.centre], dim=1)
    return AffineForm(centre, terms, torch.cat([first.own, second.own], dim=1), first.freedom)


@dataclasses.dataclass(frozen=True, eq=False)
class Layers:
    """The recurrent layers of a classifier.

    Attributes:
        cells: For each layer its directions: forward, and backward where there is one.
        readout: ``last_hour``, ``final``, ``mean``, ``max`` or ``attention``.
        most_terms: Most unknowns that a pass carries beside those of the values.
        attention: Weights of the read-out ``attention``, else None.
    """

    cells: tuple[tuple[Direction, ...], ...]
    readout: str
    most_terms: int
    attention: Attention | None = None

    @classmethod
    def of(cls, rnn: nn.RNNBase, readout: str, most_terms: int, attention: Attention | None = None) -> Self:
        """Take the layers of an ``nn.LSTM`` or ``nn.GRU``."""
        gather = {"mean": "mean", "max": "max", "attention": "weighted"}.get(readout, "")
        reverses = (False, True) if rnn.bidirectional else (False,)
        cells = tuple(
            tuple(
                Direction(make_cell(rnn, layer, reverse=reverse), gather if layer == rnn.num_layers - 1 else "")
                for reverse in reverses
            )
            for layer in range(rnn.num_layers)
        )
        return cls(cells, readout, most_terms, attention)

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
            reached: (B, 2) first and last hour that the changed values reach.
        """
        lengths = base.lengths[rows]
        for number, layer in enumerate(self.cells[:-1]):
            track = self._outputs(layer, base, rows, track, reached, first_layer=number == 0)
            reached = torch.stack([torch.zeros_like(lengths), lengths - 1], dim=1)
        only = len(self.cells) == 1
        if self.attention is not None:
            return self._attended(self.attention, base, rows, track, reached, only=only)
        forms = []
        for place, direction in enumerate(self.cells[-1]):
            if place == 1 and self.readout == "last_hour":
                # The backward direction has read one hour when it comes by the last one.
                journey = Journey(lengths - 1, torch.ones_like(lengths), forward=False)
                state = direction.beginning(len(rows), track.freedom)
            else:
                journey, state = _leg(direction, base, rows, reached, place, track.freedom, from_base=only)
            forms.append(direction.read(direction.travel(track, journey, state, self.most_terms)[0], lengths))
        return forms[0] if len(forms) == 1 else beside(forms[0], forms[1])

    def _attended(
        self, attention: Attention, base: Base, rows: Tensor, track: Track, reached: Tensor, *, only: bool
    ) -> AffineForm:
        """Return the read-out ``attention``.

        A first pass bounds the hidden units of every hour. These bounds turn the read-out into a sum of the hidden
        units of all hours times matrices, with an error; a second pass gathers that sum, in which errors cancel.
        """
        lengths = base.lengths[rows]
        directions = self.cells[-1]
        outputs = self._outputs(directions, base, rows, track, reached, first_layer=only)
        line = attention.line(outputs, lengths)
        found = AffineForm.exact(line.offset, freedom=track.freedom)
        sums, size, start = [], line.offset.shape[1], 0
        for place, direction in enumerate(directions):
            weights = line.weights[..., start : start + direction.cell.hidden_size]
            start += direction.cell.hidden_size
            journey, state = _leg(direction, base, rows, reached, place, track.freedom, from_base=only)
            before = _hours_before(track, reached, forward=place == 0) if only else None
            state = AffineForm.joined([state, _gathered_before(base, rows, weights, before, place, track.freedom)])
            state = direction.travel(track, journey, state, self.most_terms, weights=weights)[0]
            sums.append(direction.read(state, lengths))
        both = sums[0] if len(sums) == 1 else beside(sums[0], sums[1])
        eye = torch.eye(size, dtype=torch.float64).repeat(1, len(sums))
        found = both.linear(eye, torch.zeros(size, dtype=torch.float64)).plus(found)
        return AffineForm(found.centre, found.terms, found.own + line.error, found.freedom)

    def _outputs(
        self,
        directions: tuple[Direction, ...],
        base: Base,
        rows: Tensor,
        track: Track,
        reached: Tensor,
        *,
        first_layer: bool,
    ) -> Track:
        """Return the hidden units of a layer at each hour, as far as they follow from the changed values."""
        parts = []
        for place, direction in enumerate(directions):
            size = direction.cell.hidden_size
            # What the read-out gathers is none of the outputs.
            alone = Direction(direction.cell)
            journey, state = _leg(alone, base, rows, reached, place, track.freedom, from_base=first_layer)
            way = alone.travel(track, journey, state, self.most_terms, keep=True)[1]
            centre, slope, own = way.centre[..., :size], way.slope[..., :size], way.own[..., :size]
            if first_layer:
                before, unchanged = _hours_before(track, reached, forward=place == 0), base.ways[place].select(rows)
                centre[before] = unchanged.centre[..., :size][before]
                own[before] = unchanged.own[..., :size][before]
            parts.append((centre, slope, own))
        centre, slope, own = (torch.cat(arrays, dim=-1) for arrays in zip(*parts, strict=True))
        return Track(centre, slope, own, track.freedom)


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


def _hours_before(track: Track, reached: Tensor, *, forward: bool) -> Tensor:
    """Return (B, T) bool: hours that a direction visits before any hour that the changed values reach."""
    hours = torch.arange(track.centre.shape[1])[None, :]
    return hours < reached[:, :1] if forward else hours > reached[:, 1:]


def _gathered_before(
    base: Base, rows: Tensor, weights: Tensor, before: Tensor | None, place: int, freedom: Freedom
) -> AffineForm:
    """Return the (B, m) sums of products of the unchanged hidden units of the hours before with matrices."""
    n_hours, size, units = weights.shape[1:]
    if before is None:
        return AffineForm.exact(weights.new_zeros(len(rows), size), freedom=freedom)
    way = base.ways[place]
    # Hours that a stay does not have are 0 in the way.
    matrices = (weights * before[:, :, None, None]).transpose(1, 2).flatten(2)
    hidden = AffineForm(
        way.centre[rows, :, :units].flatten(1),
        weights.new_zeros(len(rows), 0, n_hours * units),
        way.own[rows, :, :units].flatten(1),
    )
    found = hidden.transformed(matrices)
    return AffineForm(found.centre, weights.new_zeros(len(rows), freedom.values, size), found.own, freedom)


def _leg(
    direction: Direction,
    base: Base,
    rows: Tensor,
    reached: Tensor,
    place: int,
    freedom: Freedom,
    *,
    from_base: bool,
) -> tuple[Journey, AffineForm]:
    """Return the hours that a direction visits from the first one reached on, and the state before them."""
    lengths = base.lengths[rows]
    state = direction.beginning(len(rows), freedom)
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
    size = state.centre.shape[1]
    centre = torch.where(known, way.centre[rows, where, :size], state.centre)
    own = torch.where(known, way.own[rows, where, :size], state.own)
    return Journey(start, steps, place == 0), AffineForm(centre, state.terms, own, freedom)
