"""The hours of a direction, for many passes about one stay."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

from icudl.proofs.forms.affine import SINGLE
from icudl.proofs.forms.alongside.hours import (
    HourInputs,
    States,
    Unchanged,
    hour_of,
    lost_in_products,
    noise_of,
    rounded_up,
)
from icudl.proofs.forms.cells import Cell

CHUNK = 64
"""Passes carried at once. Those that begin later have fewer errors to carry."""


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

    def each_at(self, where: tuple[Tensor, Tensor]) -> HourInputs:
        """Return the inputs of some passes, each at a place of its own."""
        return HourInputs(*(array[where] for array in self[:3]))

    def at(self, place: int, active: int) -> HourInputs:
        """Return the inputs of the first passes at a place."""
        return HourInputs(*(array[:active, place] for array in self[:3]))


class Asked(NamedTuple):
    """What a read-out asks of the hidden units of the last P places, as far as it is linear.

    Attributes:
        each: (P, q, H) numbers of each place.
        summed: (P, r, H) numbers that are summed up over the places.
    """

    each: Tensor
    summed: Tensor


class Arrived(NamedTuple):
    """B passes at the last P places.

    Attributes:
        middle: (B, P, H) hidden units.
        moves: (B, P, H).
        noise: (B, P, H) sizes of their noise; the Jacobians carry all of it.
        each: (B, P, q) sizes of the noise of the numbers asked of each place.
        summed: (B, r) sizes of the noise of the sums.
    """

    middle: Tensor
    moves: Tensor
    noise: Tensor
    each: Tensor
    summed: Tensor

    def turned(self) -> Arrived:
        """Return the places in the opposite order."""
        middle, moves, noise, each = (array.flip(1) for array in self[:4])
        return Arrived(middle, moves, noise, each, self.summed)


@dataclasses.dataclass(eq=False)
class Pack:
    """Passes on their way.

    Attributes:
        inputs: Of the passes, by the place at which they start.
        first: Place at which the first of them starts.
        states: After the last place.
        errors: (B, M S) float32, the errors of the states before each of the M places from the first on.
        lost: (B, r) what products of float32 lose of the sums.
        arrived: What is to be returned.
    """

    inputs: Inputs
    first: int
    states: States
    errors: Tensor
    lost: Tensor
    arrived: Arrived

    @classmethod
    def of(cls, inputs: Inputs, stay: Unchanged, asked: Asked) -> Pack:
        """Put passes in front of their first place; what comes before it is as in the unchanged stay."""
        batch, (places, total) = len(inputs.start), stay.state.shape
        size, first = asked.each.shape[2], int(inputs.start.min())
        zeros = stay.state.new_zeros
        states = States(
            zeros(batch, total), zeros(batch, total), zeros(batch, total).float(), zeros(batch, total - size)
        )
        errors = torch.zeros(batch, (places + 1 - first) * total, dtype=torch.float32)
        last = slice(places - len(asked.each), places)
        units, own = stay.state[last, :size], stay.own[last, :size]
        each = (asked.each.abs() @ own[:, :, None])[..., 0]
        summed = torch.cumsum((asked.summed.abs() @ own[:, :, None])[..., 0], dim=0)
        summed = torch.cat([torch.zeros_like(summed[:1]), summed])[(inputs.start - last.start).clamp(min=0)]
        return cls(
            inputs,
            first,
            states,
            errors,
            zeros(batch, asked.summed.shape[1]),
            Arrived(
                middle=units.repeat(batch, 1, 1),
                moves=torch.zeros_like(units).repeat(batch, 1, 1),
                noise=own.repeat(batch, 1, 1),
                each=each.repeat(batch, 1, 1),
                summed=summed,
            ),
        )

    def active(self, place: int) -> int:
        """Return how many passes have started before a place, or start there."""
        return int((self.inputs.start <= place).sum())

    def enter(self, place: int, stay: Unchanged, shown: Tensor) -> None:
        """Let passes that start at a place begin with the state of the unchanged stay.

        Args:
            place: The place.
            stay: The unchanged stay.
            shown: (S - H,) how an error of a number behind the hidden units is taken to move those.
        """
        begins = (self.inputs.start == place).nonzero()[:, 0]
        if not len(begins) or place == 0:
            return
        own, beyond = stay.own[place - 1].clone(), len(shown)
        size = len(own) - beyond
        self.states.middle[begins] = stay.state[place - 1]
        self.states.beyond[begins] = own[size:]
        # Both errors are independent here: that of the hidden units makes up for what the other is taken to do.
        own[:beyond] += shown.abs().double() * own[size:] * (1 + 2 * SINGLE)
        slot = (place - self.first) * len(own)
        self.errors[begins, slot : slot + len(own)] = rounded_up(own)

    def move(self, place: int, after: States) -> None:
        """Put the first passes behind a place."""
        active = len(after.middle)
        for name in ("middle", "moves", "beyond"):
            getattr(self.states, name)[:active] = getattr(after, name)
        slot = (place + 1 - self.first) * after.errors.shape[1]
        self.errors[:active, slot : slot + after.errors.shape[1]] = after.errors


def travel(cell: Cell, stay: Unchanged, inputs: Inputs, asked: Asked) -> Arrived:
    """Carry passes about one stay through the hours of a direction.

    Args:
        cell: The cell.
        stay: The unchanged stay.
        inputs: Of B passes.
        asked: What is read in the end.
    """
    size, (places, total) = cell.hidden_size, stay.state.shape
    order = torch.argsort(inputs.start, stable=True)
    packs = [Pack.of(Inputs(*(array[rows] for array in inputs)), stay, asked) for rows in torch.split(order, CHUNK)]
    first, read_from = packs[0].first, places - len(asked.each)
    # How the errors of each place move the state before the next one, and the sums over the places so far.
    products = torch.empty(2, total, (places + 1 - first) * total)
    products[0, :, :total] = torch.eye(total)
    sums = torch.zeros(len(asked.summed[0]), products.shape[2])
    sizes = torch.empty(0)
    for place in range(first, places + 1):
        known = (place + 1 - first) * total
        carried, onward = (products[(place - first + turn) % 2, :, :known] for turn in (0, 1))
        hour = None if place == places else hour_of(cell, stay, place)
        rows = size if hour is None else hour.rows
        read = place - 1 - read_from if place > first else -1
        behind = [asked.each[read].float() @ carried[:size]] if read >= 0 else []
        if read >= 0:
            sums[:, :known] += asked.summed[read].float() @ carried[:size]
        if hour is None:
            sizes = torch.cat([carried[:size], *behind, sums]).abs()
        else:
            if len(sizes) == 0:
                sizes = torch.empty(rows + asked.each.shape[1], products.shape[2])
            hour.carry(carried, sizes[:rows, :known], onward)
            if behind:
                torch.abs(behind[0], out=sizes[rows:, :known])
        shown = carried[: total - size, size - total :].diagonal() if total > size else carried[0, :0]
        for pack in packs:
            pack.enter(place, stay, shown)
            active = pack.active(place)
            if not active:
                continue
            before = (pack.first - first) * total
            noise = _noise(pack.errors[:active, : known - before], sizes[:, before:known])
            if read >= 0:
                _record(pack, pack.active(place - 1), read, noise, asked, rows)
            if hour is None:
                pack.arrived.summed.add_(noise[:, noise.shape[1] - len(sums) :] + pack.lost)
            else:
                states = States(*(array[:active] for array in pack.states))
                pack.move(place, hour.step(states, pack.inputs.at(place, active), noise[:, : hour.rows]))
        if hour is not None:
            products[(place - first + 1) % 2, :, known : known + total] = hour.beginnings()
    back = torch.argsort(order)
    return Arrived(*(torch.cat(arrays)[back] for arrays in zip(*(pack.arrived for pack in packs), strict=True)))


def _record(pack: Pack, active: int, read: int, noise: Tensor, asked: Asked, behind: int) -> None:
    """Keep the states of passes after a place that is read.

    Args:
        pack: The passes.
        active: How many were under way there.
        read: Number of the place among those that are read.
        noise: (B, ...) noise: hidden units first.
        asked: What is read.
        behind: Where the noise of the numbers asked of the place begins.
    """
    _, count, size = asked.each.shape
    arrived, noise, loss = pack.arrived, noise[:active], lost_in_products(size)
    units = noise[:, :size]
    arrived.middle[:active, read] = pack.states.middle[:active, :size]
    arrived.moves[:active, read] = pack.states.moves[:active, :size]
    arrived.noise[:active, read] = units
    arrived.each[:active, read] = noise[:, behind : behind + count] + loss * (units @ asked.each[read].abs().T)
    pack.lost[:active] += (loss + SINGLE * (len(asked.each) + 8)) * (units @ asked.summed[read].abs().T)


def _noise(errors: Tensor, sizes: Tensor) -> Tensor:
    """Return the (B, n) float64 noise of n numbers.

    Args:
        errors: (B, K) errors.
        sizes: (n, K) sizes of what they do to the numbers.
    """
    return noise_of(errors @ sizes.T, sizes.shape[1])
