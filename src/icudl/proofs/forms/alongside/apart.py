"""Passes that each run alongside a stay of its own: the one into which the middle of the changed value turns the stay.

Noise stays small there, as nothing is far from where its slopes are taken. So older errors may be merged: after some
hours, all but the last few are replaced by one error for each number of the state. What a product of Jacobians costs
then no longer grows with the window.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import torch
from torch import Tensor

from icudl.proofs.forms.affine import SINGLE
from icudl.proofs.forms.alongside.hours import (
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

MOST = 12
"""Hours whose errors are kept apart."""

KEPT = 4
"""Hours whose errors stay apart when older ones are merged."""

AT_ONCE = 8
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


def travel_apart(cell: Cell, stays: Unchanged, inputs: Inputs, asked: Asked) -> Arrived:
    """Carry passes through the hours of a direction, as ``travel`` does.

    Args:
        cell: The cell.
        stays: Of B passes, each the stay that it runs alongside: (B, N, ...).
        inputs: Of the passes.
        asked: (B, P, ...) what is read in the end.
    """
    order = torch.argsort(inputs.start, stable=True)
    parts = []
    for rows in torch.split(order, AT_ONCE):
        chosen = Unchanged(*(array[rows] for array in stays))
        own = Inputs(*(array[rows] for array in inputs)), Asked(*(array[rows] for array in asked))
        parts.append(Fleet.of(cell, chosen, *own).travel())
    back = torch.argsort(order)
    return Arrived(*(torch.cat(arrays)[back] for arrays in zip(*parts, strict=True)))


@dataclasses.dataclass(eq=False)
class Fleet:
    """Passes on their way, in the order of their first places: the first of them have most hours to go.

    Attributes:
        cell: The cell.
        stays: Of B passes, each the stay that it runs alongside.
        inputs: Of the passes.
        asked: What is read in the end.
        states: Of the passes.
        carried: (S, B', K) what the errors of each of some hours do to the states of the B' passes still under way.
        sums: (r, B', K) what they do to the sums over the hours.
        errors: (B', K) float32, their sizes.
        arrived: What is to be returned.
    """

    cell: Cell
    stays: Unchanged
    inputs: Inputs
    asked: Asked
    states: States
    carried: Tensor
    sums: Tensor
    errors: Tensor
    arrived: Arrived

    @classmethod
    def of(cls, cell: Cell, stays: Unchanged, inputs: Inputs, asked: Asked) -> Self:
        """Put passes in front of their first places; what comes before them is as in the unchanged stay."""
        (batch, places, total), size, start = stays.state.shape, cell.hidden_size, inputs.start
        every, before = torch.arange(batch), (start - 1).clamp(min=0)
        first, own = (array[every, before] * (start > 0)[:, None] for array in (stays.state, stays.own))
        read_from = places - asked.each.shape[1]
        units, unit_own = stays.state[:, read_from:, :size], stays.own[:, read_from:, :size]
        each = (asked.each.abs() @ unit_own[..., None])[..., 0]
        so_far = torch.cumsum((asked.summed.abs() @ unit_own[..., None])[..., 0], dim=1)
        so_far = torch.cat([torch.zeros_like(so_far[:, :1]), so_far], dim=1)[every, (start - read_from).clamp(min=0)]
        return cls(
            cell,
            stays,
            inputs,
            asked,
            States(first.clone(), torch.zeros_like(first), first[:, :0], own[:, size:].clone()),
            torch.eye(total)[:, None].repeat(1, batch, 1),
            torch.zeros(asked.summed.shape[2], batch, total),
            rounded_up(own),
            Arrived(units.clone(), torch.zeros_like(units), unit_own.clone(), each, so_far),
        )

    def travel(self) -> Arrived:
        """Carry the passes through their hours."""
        places, start = self.stays.state.shape[1], self.inputs.start
        for step in range(places - int(start.min()) + 1):
            going = int((start + step < places).sum())
            place = start[: len(self.errors)] + step
            # All passes have been through an hour, or none has.
            if step:
                self._read(place - 1)
            self.arrived.summed[going : len(self.errors)] += _noise(self.errors[going:], self.sums[:, going:])
            if not going:
                break
            self.carried, self.sums, self.errors = self.carried[:, :going], self.sums[:, :going], self.errors[:going]
            if self.carried.shape[2] > MOST * len(self.carried):
                self._merge()
            self._step(place[:going])
        return self.arrived

    def _read(self, place: Tensor) -> None:
        """Read the hour at a place of each pass that is under way."""
        size, arrived = self.cell.hidden_size, self.arrived
        count, places = self.asked.each.shape[1], self.stays.state.shape[1]
        number = place - (places - count)
        rows = (number >= 0).nonzero()[:, 0]
        if not len(rows):
            return
        at = rows, number[rows]
        each, summed = self.asked.each[at], self.asked.summed[at]
        hidden = self.carried[:size, rows]
        noise = _noise(self.errors[rows], hidden)
        loss = lost_in_products(size)
        units = hidden.permute(1, 0, 2)
        self.sums = self.sums.clone()
        self.sums[:, rows] += (summed.float() @ units).permute(1, 0, 2)
        arrived.middle[at], arrived.moves[at] = self.states.middle[rows, :size], self.states.moves[rows, :size]
        arrived.noise[at] = noise
        seen = _noise(self.errors[rows], (each.float() @ units).permute(1, 0, 2))
        arrived.each[at] = seen + loss * (each.abs() @ noise[:, :, None])[..., 0]
        arrived.summed[rows] += (loss + SINGLE * (count + 8)) * (summed.abs() @ noise[:, :, None])[..., 0]

    def _merge(self) -> None:
        """Replace all but the last errors by one for each number of the state."""
        total = len(self.carried)
        old = self.carried.shape[2] - KEPT * total
        merged = rounded_up(_noise(self.errors[:, :old], self.carried[:, :, :old]))
        self.arrived.summed[: len(merged)] += _noise(self.errors[:, :old], self.sums[:, :, :old])
        fresh = torch.eye(total)[:, None].expand(-1, len(merged), -1)
        self.carried = torch.cat([fresh, self.carried[:, :, old:]], dim=2)
        self.sums = torch.cat([torch.zeros_like(self.sums[:, :, :total]), self.sums[:, :, old:]], dim=2)
        self.errors = torch.cat([merged, self.errors[:, old:]], dim=1)

    def _step(self, place: Tensor) -> None:
        """Carry the passes through the hour at a place of each."""
        going = len(place)
        at, past = (torch.arange(going), place), (torch.arange(going), (place - 1).clamp(min=0))
        before = self.stays.state[past] * (place > 0)[:, None]
        hour, carried = hour_at(self.cell, self.stays.inputs[at], before), self.carried.contiguous()
        onward = torch.empty_like(carried)
        noise = noise_of(hour.carry_apart(carried, self.errors, onward), carried.shape[2])
        after = hour.step(States(*(array[:going] for array in self.states)), self.inputs.each_at(at), noise)
        for name in ("middle", "moves", "beyond"):
            getattr(self.states, name)[:going] = getattr(after, name)
        begun = hour.beginnings().permute(1, 0, 2)
        self.carried = torch.cat([onward, begun], dim=2)
        self.sums = torch.nn.functional.pad(self.sums, (0, len(begun)))
        self.errors = torch.cat([self.errors, after.errors], dim=1)


def _noise(errors: Tensor, done: Tensor) -> Tensor:
    """Return the (B, n) float64 noise of n numbers: (B, K) errors, and what they do to the numbers, (n, B, K)."""
    return noise_of(seen_by(errors, done), done.shape[2])
