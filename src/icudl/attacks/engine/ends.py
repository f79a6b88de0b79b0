"""Engine for one recurrent layer whose end states alone are read (read-outs ``final`` and ``last_hour``).

The output of such a model depends only on where each direction ends, so no hour need be read twice. Up to the first
changed hour, a forward direction has the states that it had on the known stay; so does a backward direction down to the
last changed hour. This is exact. The gradient need be followed back only as far as it matters (``Known.reach``).

T hours, B stays, C features, H units, D directions that are read to their ends (with ``last_hour`` the backward one
reads a single hour and does not count).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from icudl.attacks.engine.directional import DirectionalEngine
from icudl.attacks.engine.known import Known, Memory
from icudl.attacks.engine.reading import Reading, Start, from_nothing, read_to_end, without_padding
from icudl.attacks.engine.recurrence import RecurrentDirection, direction_of
from icudl.models.recurrent.classifier import RecurrentClassifier
from icudl.models.recurrent.readout import last_hour


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class EndMemory(Memory):
    """B known stays.

    Attributes:
        courses: For each of D directions the (T + 1, B, H) states and cells before each step and after the last one.
    """

    courses: tuple[tuple[Tensor, Tensor], ...]

    @property
    def n_ways(self) -> int:
        """See ``Memory``."""
        return len(self.courses)


class EndStateEngine(DirectionalEngine):
    """An ``engine.protocol.Engine`` that reads only changed hours; see the module.

    Args:
        model: One layer, read-out ``final`` or ``last_hour``. The engine uses its weights unchanged.
    """

    def __init__(self, model: RecurrentClassifier) -> None:
        self.head = model.head.eval()
        self.forward_direction = direction_of(model.rnn, 0, backward=False)
        is_bidirectional, is_last_hour = model.options.bidirectional, model.options.readout == "last_hour"
        backward = direction_of(model.rnn, 0, backward=True) if is_bidirectional else None
        self.backward_direction = None if is_last_hour else backward
        self.single_hour = backward if is_last_hour else None

    def remember(self, features: Tensor, lengths: Tensor, n_moving: int | None = None) -> EndMemory:
        """See ``engine.protocol.Engine``."""
        features = without_padding(features, lengths)
        n_moving = features.shape[2] if n_moving is None else n_moving
        with torch.no_grad():
            readings = self._readings(features, lengths, None, None)
            courses = tuple(_at_start(*reading.course(), lengths) for reading in readings)
        return EndMemory(
            moving=features[..., :n_moving].clone(), fixed=features[..., n_moving:].clone(), courses=courses
        )

    def anchor(self, features: Tensor, lengths: Tensor, known: Known) -> None:
        """Return None; see ``engine.protocol.Engine``."""

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:
        """See ``engine.protocol.Engine``."""
        features = _whole(features, lengths, known)
        with torch.no_grad():
            ends = [
                read_to_end(direction, _aligned(features, lengths, is_backward=bool(number)), begins, start)
                for number, (direction, begins, start) in enumerate(self._begin(features, lengths, known, None))
            ]
            if self.single_hour is not None:
                ends.append(self._single(features, lengths).ends())
            return self._score(torch.cat(ends, dim=1))

    def _pass(
        self, features: Tensor, lengths: Tensor, known: Known | None, reach: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the differences and the (B, T, K) gradient through each direction, in the order of the hours."""
        n_moving = features.shape[2]
        features = _whole(features, lengths, known)
        with torch.no_grad():
            readings = self._readings(features, lengths, known, reach)
            if self.single_hour is not None:
                readings.append(self._single(features, lengths))
            read = torch.cat([reading.ends() for reading in readings], dim=1)
        with torch.enable_grad():
            leaf = read.requires_grad_()
            difference = self._score(leaf)
            (gradient,) = torch.autograd.grad(difference.sum(), leaf)
        with torch.no_grad():
            halves = gradient.chunk(len(readings), dim=1)
            gradients = [
                reading.back([*[None] * (len(reading.schedule.n_reading) - 1), half])
                for reading, half in zip(readings, halves, strict=True)
            ]
            gradients[0] = _unaligned(gradients[0], lengths, is_backward=False)
            if self.backward_direction is not None:
                gradients[1] = _unaligned(gradients[1], lengths, is_backward=True)
            if self.single_hour is not None:
                stays = torch.arange(len(lengths), device=lengths.device)
                gradients[0][stays, lengths - 1] += gradients.pop()[:, 0]
        return difference.detach(), [gradient[..., :n_moving] for gradient in gradients]

    def _score(self, ends: Tensor) -> Tensor:
        logits: Tensor = self.head(ends)
        return logits[:, 1] - logits[:, 0]

    def _single(self, features: Tensor, lengths: Tensor) -> Reading:
        """Read the one hour that the backward direction has seen at the last hour."""
        direction = self.single_hour
        assert direction is not None  # noqa: S101 - callers check first
        begins = torch.zeros_like(lengths)
        start = from_nothing(direction, len(features), features)
        return Reading(direction, last_hour(features, lengths)[None], begins, start)

    def _readings(self, features: Tensor, lengths: Tensor, known: Known | None, reach: Tensor | None) -> list[Reading]:
        known = None if reach is None else known
        return [
            Reading(direction, _aligned(features, lengths, is_backward=bool(number)), begins, start)
            for number, (direction, begins, start) in enumerate(self._begin(features, lengths, known, reach))
        ]

    def _begin(
        self, features: Tensor, lengths: Tensor, known: Known | None, reach: Tensor | None
    ) -> list[tuple[RecurrentDirection, Tensor, Start]]:
        """Return the directions with the step at which each stay begins and its state at that step."""
        waits = features.shape[1] - lengths
        directions = [self.forward_direction]
        if self.backward_direction is not None:
            directions.append(self.backward_direction)
        memory = None if known is None else known.memory
        if known is None or not isinstance(memory, EndMemory):
            return [(direction, waits, from_nothing(direction, len(features), features)) for direction in directions]
        begun = []
        differs = (features[..., : memory.moving.shape[2]] != memory.moving[known.stays]).any(dim=2)
        is_same = ~differs.any(dim=1)
        for number, direction in enumerate(directions):
            first = (differs.flip(1).int().argmax(dim=1) - waits) if number else differs.int().argmax(dim=1)
            read = torch.where(is_same, lengths, first)
            if reach is not None:
                read = torch.minimum(read, (lengths - reach[:, number]).clamp(min=0))
            states, cells = memory.courses[number]
            begun.append((direction, waits + read, (states[read, known.stays], cells[read, known.stays])))
        return begun


def _whole(features: Tensor, lengths: Tensor, known: Known | None) -> Tensor:
    """Return the (B, T, C) features of stays or variants, without padding."""
    return without_padding(features if known is None else known.completed(features), lengths)


def _aligned(features: Tensor, lengths: Tensor, *, is_backward: bool) -> Tensor:
    """Return (T, B, C) features in the order in which a direction reads them, aligned at the last step."""
    if is_backward:
        return features.flip(1).transpose(0, 1)
    return _shifted(features, features.shape[1] - lengths).transpose(0, 1)


def _unaligned(gradient: Tensor, lengths: Tensor, *, is_backward: bool) -> Tensor:
    """Return a (B, T, C) gradient in the order of the hours."""
    return gradient.flip(1) if is_backward else _shifted(gradient, lengths - gradient.shape[1])


def _at_start(states: Tensor, cells: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return a (T + 1, B, H) course whose step 0 is the first of each stay."""
    waits = lengths - (len(states) - 1)
    first, second = (_shifted(part.transpose(0, 1), waits).transpose(0, 1) for part in (states, cells))
    return first.contiguous(), second.contiguous()


def _shifted(array: Tensor, steps: Tensor) -> Tensor:
    """Return (B, T, C) with each stay moved by ``steps`` (B,) towards the end, wrapping around."""
    if not bool(steps.any()):
        return array
    n_steps = array.shape[1]
    source = (torch.arange(n_steps, device=steps.device) - steps[:, None]) % n_steps
    return array.gather(1, source[:, :, None].expand_as(array))
