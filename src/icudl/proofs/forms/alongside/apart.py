"""Passes that each run alongside a stay of its own: the one into which the middle of the changed value turns the stay.

Noise stays small there, as nothing is far from where its slopes are taken. So errors may be merged: after some hours,
all but the largest are replaced by one error for each number of the state. What a product of Jacobians costs then no
longer grows with the window. What is read in the end is a sum over the hours whose noise is found from the last hour
back, with each error of its own.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Self

import torch
from torch import Tensor

from icudl.proofs.forms.affine import ROUNDING, TINY
from icudl.proofs.forms.alongside.hours import (
    Hour,
    States,
    Unchanged,
    hour_at,
    lost_in_products,
    noise_of,
    rounded_up,
    seen_by,
)
from icudl.proofs.forms.alongside.travel import Arrived, Asked, Inputs
from icudl.proofs.forms.cells import Cell
from icudl.proofs.forms.compiled import relaxations

MOST = 10
"""Errors kept apart at most, in hours: multiples of the numbers of a state."""

KEPT = 3
"""Errors that stay apart when the others are merged, the largest ones, likewise."""

AT_ONCE = 32
"""Passes carried at once."""


def changed_stays(cell: Cell, stay: Unchanged, inputs: Inputs) -> Unchanged:
    """Return the stays into which the middle of each of B passes turns the unchanged stay.

    Errors of states from the first place of a pass on are not known; it carries its own.
    """
    batch, places = inputs.centre.shape[:2]
    states = stay.state.repeat(batch, 1, 1)
    now = torch.zeros_like(states[:, 0])
    for place in range(int(inputs.start.min()), places):
        if place:
            now = states[:, place - 1]
        moved = cell.after(inputs.centre[:, place], now)
        states[:, place] = torch.where((inputs.start <= place)[:, None], moved, states[:, place])
    return Unchanged(inputs.centre, states, stay.own.repeat(batch, 1, 1))


def travel_apart(cell: Cell, stays: Unchanged, inputs: Inputs, asked: Asked, rough: int = 0) -> Arrived:
    """Carry passes through the hours of a direction, as ``travel`` does.

    Args:
        cell: The cell.
        stays: Of B passes, each the stay that it runs alongside: (B, N, ...).
        inputs: Of the passes.
        asked: (B, P, ...) what is read in the end.
        rough: For how many of the sums, the first ones, the noise of each hour is added up by itself.
    """
    order = torch.argsort(inputs.start, stable=True)
    parts = []
    for rows in torch.split(order, AT_ONCE):
        chosen = Unchanged(*(array[rows] for array in stays))
        own = Inputs(*(array[rows] for array in inputs)), Asked(*(array[rows] for array in asked))
        parts.append(Fleet.of(cell, chosen, *own, rough).travel())
    back = torch.argsort(order)
    return Arrived(*(torch.cat(arrays)[back] for arrays in zip(*parts, strict=True)))


class Passed(NamedTuple):
    """An hour that B' passes went through.

    Attributes:
        hour: The hour.
        place: (B',) at which each of them did.
        errors: (B', S) float32, errors made in it.
        before: (B', S) noise of the states before it.
    """

    hour: Hour
    place: Tensor
    errors: Tensor
    before: Tensor


@dataclasses.dataclass(eq=False)
class Fleet:
    """Passes on their way, in the order of their first places: the first of them have most hours to go.

    Attributes:
        cell: The cell.
        stays: Of B passes, each the stay that it runs alongside.
        inputs: Of the passes.
        asked: What is read in the end.
        rough: See ``travel_apart``.
        states: Of the passes.
        carried: (B', S, K) what the errors of each of some hours do to the states of the B' passes still under way.
        spare: (B, S, .) room for what they do an hour later.
        errors: (B', K) float32, their sizes.
        own: (B, S) errors of the states before the first places.
        passed: The hours behind the passes, each with those that went through it.
        arrived: What is to be returned.
    """

    cell: Cell
    stays: Unchanged
    inputs: Inputs
    asked: Asked
    rough: int
    states: States
    carried: Tensor
    spare: Tensor
    errors: Tensor
    own: Tensor
    passed: list[Passed]
    arrived: Arrived

    @classmethod
    def of(cls, cell: Cell, stays: Unchanged, inputs: Inputs, asked: Asked, rough: int) -> Self:
        """Put passes in front of their first places; what comes before them is as in the unchanged stay."""
        (batch, places, total), size, start = stays.state.shape, cell.hidden_size, inputs.start
        every, before = torch.arange(batch), (start - 1).clamp(min=0)
        first, own = (array[every, before] * (start > 0)[:, None] for array in (stays.state, stays.own))
        read_from = places - asked.each.shape[1]
        units, unit_own = stays.state[:, read_from:, :size], stays.own[:, read_from:, :size]
        each = (asked.each.abs() @ unit_own[..., None])[..., 0]
        so_far = torch.cumsum((asked.summed.abs() @ unit_own[..., None])[..., 0], dim=1)
        so_far = torch.cat([torch.zeros_like(so_far[:, :1]), so_far], dim=1)[every, (start - read_from).clamp(min=0)]
        # One room for what errors do before an hour, one for what they do after it.
        room = torch.empty(2, batch, total, (MOST + 1) * total)
        carried = room[0, :, :, :total]
        carried.copy_(torch.eye(total))
        return cls(
            cell,
            stays,
            inputs,
            asked,
            rough,
            States(first.clone(), torch.zeros_like(first), first[:, :0], own[:, size:].clone()),
            carried,
            room[1],
            rounded_up(own),
            own,
            [],
            Arrived(units.clone(), torch.zeros_like(units), unit_own.clone(), each, so_far),
        )

    def travel(self) -> Arrived:
        """Carry the passes through their hours."""
        places, start = self.stays.state.shape[1], self.inputs.start
        for step in range(places - int(start.min()) + 1):
            going, under_way = int((start + step < places).sum()), len(self.errors)
            # All passes have been through an hour, or none has.
            if step and going < under_way:
                carried, errors = self.carried[going:, : self.cell.hidden_size], self.errors[going:]
                self._read(slice(going, under_way), start[going:under_way] + step - 1, _noise(errors, carried))
            if not going:
                break
            self.carried, self.errors = self.carried[:going], self.errors[:going]
            if self.carried.shape[2] >= MOST * self.carried.shape[1]:
                self._merge()
            self._step(step, start[:going] + step)
        self._sum_up()
        return self.arrived

    def _read(self, passes: slice, place: Tensor, noise: Tensor) -> None:
        """Read the hour at a place of each of some passes: the (B', H) noise of their hidden units is known."""
        size, arrived = self.cell.hidden_size, self.arrived
        count, places = self.asked.each.shape[1], self.stays.state.shape[1]
        number = place - (places - count)
        read = (number >= 0).nonzero()[:, 0]
        if not len(read):
            return
        rows = read + passes.start
        at, noise = (rows, number[read]), noise[read]
        each, summed = self.asked.each[at], self.asked.summed[at][:, : self.rough]
        arrived.middle[at], arrived.moves[at] = self.states.middle[rows, :size], self.states.moves[rows, :size]
        arrived.noise[at] = noise
        if each.shape[1]:
            # Most read-outs read all passes or none; a view costs nothing.
            carried = self.carried[passes] if len(read) == len(place) else self.carried[rows]
            seen = _noise(self.errors[rows], each.float() @ carried[:, :size])
            arrived.each[at] = seen + lost_in_products(size) * (each.abs() @ noise[:, :, None])[..., 0]
        if self.rough:
            arrived.summed[rows, : self.rough] += (summed.abs() @ noise[:, :, None])[..., 0]

    def _merge(self) -> None:
        """Replace all but the largest errors by one for each number of the state."""
        total, known = self.carried.shape[1:]
        after = self._spare((KEPT + 1) * total)
        after[:, :, :total] = torch.eye(total)
        sums, kept = _largest(self.carried, self.errors, after[:, :, total:])
        self._turn(after)
        self.errors = torch.cat([rounded_up(noise_of(sums, known)), kept], dim=1)

    def _spare(self, known: int) -> Tensor:
        """Return room for what so many errors do to the states of the passes under way."""
        return self.spare[: len(self.carried), :, :known]

    def _turn(self, after: Tensor) -> None:
        """Let what was written into the spare room be what is carried."""
        # What was carried until now becomes the spare room, over its full width again.
        whole = self.carried
        self.carried, self.spare = (
            after,
            whole.as_strided((len(whole), whole.shape[1], self.spare.shape[2]), whole.stride(), whole.storage_offset()),
        )

    def _step(self, step: int, place: Tensor) -> None:
        """Carry the passes through the hour at a place of each, and read the one before it, if there is one."""
        going = len(place)
        at, past = (torch.arange(going), place), (torch.arange(going), (place - 1).clamp(min=0))
        before = self.stays.state[past] * (place > 0)[:, None]
        hour, known = hour_at(self.cell, self.stays.inputs[at], before), self.carried.shape[2]
        after = self._spare(known + self.carried.shape[1])
        noise = noise_of(hour.carry_apart(self.carried, self.errors, after[:, :, :known]), known)
        if step:
            self._read(slice(0, going), place - 1, noise[:, : self.cell.hidden_size])
        after[:, :, known:] = hour.beginnings()
        self._turn(after)
        states = States(*(array[:going] for array in self.states))
        moved = hour.step(states, self.inputs.each_at(at), noise)
        behind = torch.cat([noise[:, : self.cell.hidden_size], states.beyond], dim=1)
        self.passed.append(Passed(hour, place, moved.errors, behind))
        for name in ("middle", "moves", "beyond"):
            getattr(self.states, name)[:going] = getattr(moved, name)
        self.errors = torch.cat([self.errors, moved.errors], dim=1)

    def _sum_up(self) -> None:
        """Add the noise of the sums over the places, from the last hour back.

        What merging loses does not reach it: the errors of each hour are multiplied by what they do in the end.
        """
        (batch, _, total), size = self.stays.state.shape, self.cell.hidden_size
        count, places = self.asked.each.shape[1], self.stays.state.shape[1]
        asked = self.asked.summed[:, :, self.rough :]
        done = self.own.new_zeros(batch, asked.shape[2], total)
        seen = self.own.new_zeros(done.shape[:2])
        for hour, place, made, before in reversed(self.passed):
            going = len(place)
            number = place - (places - count)
            rows = (number >= 0).nonzero()[:, 0]
            done[rows, :, :size] += asked[rows, number[rows]]
            errors = made.double()
            begun, onward, lost = hour.back(done[:going], before, errors)
            seen[:going] += (begun.abs() @ errors[:, :, None])[..., 0] + lost
            done[:going] = onward
        seen += (done.abs() @ self.own[:, :, None])[..., 0]
        self.arrived.summed[:, self.rough :] += seen * (1 + ROUNDING) + TINY


def _noise(errors: Tensor, done: Tensor) -> Tensor:
    """Return the (B, n) float64 noise of n numbers: (B, K) errors, and what they do to the numbers, (B, n, K)."""
    return noise_of(seen_by(errors, done), done.shape[2])


def _largest(carried: Tensor, errors: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Keep the errors that move the states most.

    Args:
        carried: (B, S, K) what errors do to the states.
        errors: (B, K) their sizes.
        after: (B, S, N) where what the N kept ones do goes.

    Returns:
        The (B, S) sums of what all others do, and the (B, N) sizes of the kept ones.
    """
    (batch, total, known), count, library = carried.shape, after.shape[2], relaxations()
    if library is None:
        sizes = carried.abs()
        order = torch.argsort(sizes.sum(dim=1) * errors, dim=1, descending=True)
        large, small = order[:, :count], order[:, count:]
        after.copy_(carried.gather(2, large[:, None].expand(-1, total, -1)))
        others = sizes.gather(2, small[:, None].expand(-1, total, -1))
        return seen_by(errors.gather(1, small), others), errors.gather(1, large)
    errors = errors.contiguous()
    sums, kept = carried.new_empty(batch, total), carried.new_empty(batch, count)
    room = carried.new_empty(known), torch.empty(known, dtype=torch.int64)
    for each in range(batch):
        arrays = (errors[each], carried[each], after[each], kept[each], sums[each], *room)
        rows = carried.stride(1), after.stride(1)
        library.merge(total, known, count, *(array.data_ptr() for array in arrays), *rows)
    return sums, kept
