"""One direction of a recurrent layer, read to its end; each stay begins at a step of its own.

K stays of T steps are aligned at the end: a stay that is shorter, or known up to some step, begins later. Steps follow
the order in which the direction reads. C features, H units.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from icudl.attacks.engine.products import rounded_up
from icudl.attacks.engine.recurrence import Kept, RecurrentDirection
from icudl.models.base import blank_padding


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """Which stays are read at which step. Sorted by first step, the stays being read are always at the front.

    Attributes:
        order: (K,) stays by first step; None where all begin together, which saves copies.
        n_reading: For each step the number of stays being read.
    """

    order: Tensor | None
    n_reading: list[int]

    @classmethod
    def of(cls, begins: Tensor, n_steps: int) -> Schedule:
        """Make the schedule of stays that begin at the steps ``begins`` (K,); T for a stay that is not read."""
        first = begins[:1]
        if bool((begins == first).all()):
            return cls(None, [0 if step < int(first) else len(begins) for step in range(n_steps)])
        order = begins.argsort(stable=True)
        steps = torch.arange(n_steps, device=begins.device)
        return cls(order, torch.searchsorted(begins[order], steps, right=True).tolist())

    def apply(self, array: Tensor, dim: int = 0) -> Tensor:
        """Return an array whose dimension ``dim`` counts the stays, put in this order."""
        return array if self.order is None else array.index_select(dim, self.order)

    def undo(self, ordered: Tensor, dim: int = 0) -> Tensor:
        """Undo ``apply``."""
        return ordered if self.order is None else ordered.index_select(dim, self.order.argsort())


Start = tuple[Tensor, Tensor]
"""State (K, H) and cells (K, H or 0) of each stay before the step at which it begins."""


def read_to_end(direction: RecurrentDirection, inputs: Tensor, begins: Tensor, start: Start) -> Tensor:
    """Return the (K, H) states after the last step.

    Args:
        direction: The direction, with its weights.
        inputs: (T, K, C).
        begins: (K,) first steps.
        start: States before these steps.
    """
    n_steps, n_stays, n_inputs = inputs.shape
    size = direction.size
    schedule = Schedule.of(begins, n_steps)
    rows = direction.space.take("end", (rounded_up(n_stays), size + n_inputs + 1), inputs)
    rows[:, :-1].zero_()
    rows[:, -1].fill_(1.0)
    rows[:n_stays, :size], cells = schedule.apply(start[0]), schedule.apply(start[1]).clone()
    inputs = schedule.apply(inputs, 1)
    for step, n_reading in enumerate(schedule.n_reading):
        if n_reading:
            rows[:n_reading, size:-1].copy_(inputs[step, :n_reading])
            blocks = direction.product(rows[: rounded_up(n_reading)])[:n_reading]
            state, cell = rows[:n_reading, :size], cells[:n_reading]
            direction.step(blocks, state, cell, state, cell)
    return schedule.undo(rows[:n_stays, :size].clone())


class Reading:
    """A reading as ``read_to_end`` does it that keeps what the gradient needs.

    It is valid until the direction is read again.

    Args:
        direction: The direction, with its weights.
        inputs: (T, K, C).
        begins: (K,) first steps.
        start: States before these steps.
    """

    def __init__(self, direction: RecurrentDirection, inputs: Tensor, begins: Tensor, start: Start) -> None:
        n_steps, self.n_stays, self.n_inputs = inputs.shape
        self.direction = direction
        self.schedule = Schedule.of(begins, n_steps)
        size = direction.size
        rows = direction.space.take("rows", (n_steps + 1, rounded_up(self.n_stays), size + self.n_inputs + 1), inputs)
        rows[0].zero_()
        rows[:-1, : self.n_stays, size:-1].copy_(self.schedule.apply(inputs, 1))
        rows[:-1, self.n_stays :, :-1].zero_()
        rows[:, :, -1].fill_(1.0)
        self.states = rows[:, : self.n_stays, :size]
        self.cells = direction.space.take("cells", (n_steps + 1, self.n_stays, start[1].shape[1]), inputs)
        self.kept = self._read(rows, *(self.schedule.apply(part) for part in start))

    def _read(self, rows: Tensor, state: Tensor, cell: Tensor) -> list[Kept]:
        direction, kept, n_before = self.direction, [], 0
        states, cells = self.states.unbind(0), self.cells.unbind(0)
        for step, (n, row) in enumerate(zip(self.schedule.n_reading, rows[:-1].unbind(0), strict=True)):
            if n > n_before:
                states[step][n_before:n], cells[step][n_before:n] = state[n_before:n], cell[n_before:n]
                n_before = n
            if n:
                blocks = _first(direction.product(_first(row, rounded_up(n))), n)
                before, after = (_first(states[step], n), _first(cells[step], n)), step + 1
                further = direction.step(blocks, *before, _first(states[after], n), _first(cells[after], n))
                kept.append((*before, *further))
        self.states[-1, n_before:], self.cells[-1, n_before:] = state[n_before:], cell[n_before:]
        return kept

    def ends(self) -> Tensor:
        """Return the (K, H) states after the last step."""
        return self.schedule.undo(self.states[-1].clone())

    def course(self) -> tuple[Tensor, Tensor]:
        """Return copies of the (T + 1, K, H) states and cells; values before a stay begins are undefined."""
        return self.schedule.undo(self.states.clone(), 1), self.schedule.undo(self.cells.clone(), 1)

    def back(self, upstream: Sequence[Tensor | None]) -> Tensor:
        """Return the (K, T, C) gradient of the inputs; zero for inputs that were not read.

        Args:
            upstream: For each step the (K, H) gradient of the loss by the state after it; None for zero.
        """
        direction, size = self.direction, self.direction.size
        like = self.states
        by_blocks = direction.space.take("by_blocks", (rounded_up(self.n_stays), 4 * size), like).zero_()
        by_state, by_cell = like.new_zeros(self.n_stays, size), like.new_zeros(self.n_stays, size)
        by_inputs = like.new_zeros(self.n_stays, len(upstream), self.n_inputs)
        by_steps = by_inputs.unbind(1)
        n_after = 0
        parts: Kept = ()
        n_steps = len(upstream)
        for step, kept in zip(reversed(range(n_steps)), reversed(self.kept), strict=False):
            n = self.schedule.n_reading[step]
            if n != n_after:
                parts = parts_of(by_blocks[:n], size)
                by_state, by_cell, n_after = by_state[:n], by_cell[:n], n
            own = upstream[step]
            if own is not None:
                by_state.add_(_first(self.schedule.apply(own), n))
            direction.step_back(kept, by_state, by_cell, parts)
            by_row = _first(direction.product_back(_first(by_blocks, rounded_up(n))), n)
            _first(by_steps[step], n).copy_(by_row[:, size:-1])
            by_state = direction.carry(kept, by_state, by_row[:, :size])
        return self.schedule.undo(by_inputs)


def _first(rows: Tensor, n_rows: int) -> Tensor:
    """Return the first rows, or the array itself if it has no others: a view costs as much as a small operation."""
    return rows if len(rows) == n_rows else rows[:n_rows]


def without_padding(features: Tensor, lengths: Tensor) -> Tensor:
    """Return (B, T, C) features with zeros beyond each length, or the array itself if no stay is shorter."""
    return features if bool((lengths == features.shape[1]).all()) else blank_padding(features, lengths)


def parts_of(by_blocks: Tensor, size: int) -> Kept:
    """Return the views of (..., 4 H) blocks that ``RecurrentDirection.step_back`` fills."""
    return (*by_blocks.split_with_sizes([size] * 4, dim=-1), by_blocks[..., size:], by_blocks[..., : 2 * size])


def from_nothing(direction: RecurrentDirection, n_stays: int, like: Tensor) -> Start:
    """Return the start of stays that are read from their first hour on."""
    return like.new_zeros(n_stays, direction.size), like.new_zeros(n_stays, direction.n_cells)
