"""End states of a recurrent layer for stays that differ little from a known one: only the hours that differ are read.

Until the first changed hour a forward direction is in the state that it had on the known stay, and a backward direction
until the last changed hour; this is exact. T hours, K variants of known stays, C features, H units.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import torch
from torch import Tensor

from icudl.attacks.products import rounded_up
from icudl.attacks.recurrence import RecurrentDirection


@dataclasses.dataclass(frozen=True, eq=False)
class Course:
    """What one direction went through while it read B stays, in the order in which it reads.

    Attributes:
        states: (T + 1, B, H) before each step and after the last one.
        cells: (T + 1, B, H) likewise, or (T + 1, B, 0) where the cell has none.
    """

    states: Tensor
    cells: Tensor

    @classmethod
    def of(cls, direction: RecurrentDirection) -> Self:
        """Copy the course of the direction's last ``forward``."""
        states, cells = direction.course
        return cls(states.clone(), cells.clone())

    def before(self, steps: Tensor, stays: Tensor) -> tuple[Tensor, Tensor]:
        """Return state and cells (K, H) before each of ``steps`` (K,) of ``stays`` (K,)."""
        return self.states[steps, stays], self.cells[steps, stays]


@dataclasses.dataclass(frozen=True, eq=False)
class Memory:
    """Known stays: B stays as the engine has read them.

    Attributes:
        features: (B, T, C).
        courses: Of each direction whose end state counts.
    """

    features: Tensor
    courses: tuple[Course, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """Which known stay each of K stays is a variant of.

    Attributes:
        memory: Known stays.
        stays: (K,) positions in it.
    """

    memory: Memory
    stays: Tensor

    def select(self, indices: Tensor) -> Self:
        """Return the same for the stays at ``indices``."""
        return dataclasses.replace(self, stays=self.stays[indices])


def forward_end(direction: RecurrentDirection, features: Tensor, lengths: Tensor, known: Known | None) -> Tensor:
    """Return the (K, H) states in which a direction that reads onwards ends, given (K, T, C) features."""
    n_hours = features.shape[1]
    waits = n_hours - lengths
    steps = torch.zeros_like(lengths)
    if known is not None:
        differs = _differs(features, known)
        steps = torch.where(differs.any(dim=1), differs.int().argmax(dim=1), lengths)
    if bool((waits > 0).any()):
        hours = (torch.arange(n_hours, device=lengths.device) - waits[:, None]).clamp(min=0)
        features = features.gather(1, hours[:, :, None].expand_as(features))
    start = None if known is None else known.memory.courses[0].before(steps, known.stays)
    return _end(direction, features.transpose(0, 1), waits + steps, start)


def backward_end(direction: RecurrentDirection, features: Tensor, lengths: Tensor, known: Known | None) -> Tensor:
    """Return the (K, H) states in which a direction that reads from the last hour to the first ends."""
    waits = features.shape[1] - lengths
    steps = torch.zeros_like(lengths)
    if known is not None:
        differs = _differs(features, known)
        unchanged_at_end = differs.flip(1).int().argmax(dim=1) - waits
        steps = torch.where(differs.any(dim=1), unchanged_at_end, lengths)
    start = None if known is None else known.memory.courses[1].before(steps, known.stays)
    return _end(direction, features.flip(1).transpose(0, 1), waits + steps, start)


def _differs(features: Tensor, known: Known) -> Tensor:
    return (features != known.memory.features[known.stays]).any(dim=2)


def _end(direction: RecurrentDirection, inputs: Tensor, begins: Tensor, start: tuple[Tensor, Tensor] | None) -> Tensor:
    """Read on from where each stay begins to the last step, at which all of them end.

    Args:
        direction: Weights.
        inputs: (T, K, C).
        begins: (K,) first step to read; T for none.
        start: State and cells (K, H) before it; None for zeros.
    """
    n_hours, n_stays, n_inputs = inputs.shape
    size = direction.size
    rows = direction.space.take("end", (rounded_up(n_stays), size + n_inputs + 1), inputs)
    rows[:, :-1].zero_()
    rows[:, -1].fill_(1.0)
    # In the order of their first steps, those that read are always at the front.
    order = begins.argsort(stable=True)
    inputs = inputs[:, order]
    cells = inputs.new_zeros(n_stays, size if direction.carries_cells else 0)
    if start is not None:
        rows[:n_stays, :size], cells = start[0][order], start[1][order]
    steps = torch.arange(n_hours, device=begins.device)
    for step, n_reading in enumerate(torch.searchsorted(begins[order], steps, right=True).tolist()):
        if n_reading:
            rows[:n_reading, size:-1].copy_(inputs[step, :n_reading])
            blocks = direction.product(rows[: rounded_up(n_reading)])[:n_reading]
            state, cell = rows[:n_reading, :size], cells[:n_reading]
            direction.step(blocks, state, cell, state, cell)
    ends = torch.empty_like(rows[:n_stays, :size])
    ends[order] = rows[:n_stays, :size]
    return ends
