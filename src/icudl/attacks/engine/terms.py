"""Engines of models that are made of others: weighted sums of their differences, and models of rescaled inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from icudl.attacks.engine.known import Known, Memory
from icudl.attacks.engine.protocol import Engine
from icudl.models.rescaled import RescaledClassifier


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class TermMemory(Memory):
    """B known stays.

    Attributes:
        parts: What the engine of each term remembers.
    """

    parts: tuple[Memory | None, ...]

    @property
    def n_ways(self) -> int:
        """See ``Memory``."""
        return sum(part.n_ways for part in self.parts if part is not None)


class TermEngine:
    """A weighted sum of engines; see ``engine.protocol.Engine``.

    Args:
        terms: Weights and engines.
    """

    def __init__(self, terms: Sequence[tuple[float, Engine]]) -> None:
        self.weights = [weight for weight, _ in terms]
        self.engines = [engine for _, engine in terms]

    def remember(self, features: Tensor, lengths: Tensor, n_moving: int | None = None) -> TermMemory | None:
        """See ``engine.protocol.Engine``."""
        parts = tuple(engine.remember(features, lengths, n_moving) for engine in self.engines)
        n_moving = features.shape[2] if n_moving is None else n_moving
        if all(part is None for part in parts):
            return None
        moving, fixed = features[..., :n_moving].clone(), features[..., n_moving:].clone()
        return TermMemory(moving=moving, fixed=fixed, parts=parts)

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:
        """See ``engine.protocol.Engine``."""
        total = features.new_zeros(len(features))
        for weight, engine, (own, part) in zip(self.weights, self.engines, self._parts(features, known), strict=True):
            total += weight * engine.difference(own, lengths, part)
        return total

    def anchor(self, features: Tensor, lengths: Tensor, known: Known) -> tuple[Tensor, TermMemory] | None:
        """See ``engine.protocol.Engine``."""
        total, memories = features.new_zeros(len(features)), []
        for weight, engine, (own, part) in zip(self.weights, self.engines, self._parts(features, known), strict=True):
            found = None if part is None else engine.anchor(own, lengths, part)
            if found is None:
                return None
            total += weight * found[0]
            memories.append(found[1])
        fixed = known.memory.fixed[known.stays]
        return total, TermMemory(moving=features, fixed=fixed, parts=tuple(memories))

    def difference_and_gradient(
        self, features: Tensor, lengths: Tensor, known: Known | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``engine.protocol.Engine``."""
        total, slope = features.new_zeros(len(features)), torch.zeros_like(features)
        for weight, engine, (own, part) in zip(self.weights, self.engines, self._parts(features, known), strict=True):
            difference, gradient = engine.difference_and_gradient(own, lengths, part)
            total += weight * difference
            slope.add_(gradient[..., : slope.shape[2]], alpha=weight)
        return total, slope

    def survey(
        self, features: Tensor, lengths: Tensor, faint: float, known: Known | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """See ``engine.protocol.Engine``; what is faint is judged within each term."""
        total, slope = features.new_zeros(len(features)), torch.zeros_like(features)
        reaches = []
        for weight, engine, (own, part) in zip(self.weights, self.engines, self._parts(features, known), strict=True):
            difference, gradient, reach = engine.survey(own, lengths, faint, part)
            total += weight * difference
            slope.add_(gradient[..., : slope.shape[2]], alpha=weight)
            if reach is not None:
                reaches.append(reach)
        return total, slope, torch.cat(reaches, dim=1) if reaches else None

    def _parts(self, features: Tensor, known: Known | None) -> list[tuple[Tensor, Known | None]]:
        """Return for each term its features, and the known stays as its engine remembers them."""
        if known is None or not isinstance(known.memory, TermMemory):
            return [(features, None)] * len(self.engines)
        whole = known.completed(features) if None in known.memory.parts else features
        parts: list[tuple[Tensor, Known | None]] = []
        first = 0
        for memory in known.memory.parts:
            if memory is None:
                parts.append((whole, None))
                continue
            reach = None if known.reach is None else known.reach[:, first : first + memory.n_ways]
            first += memory.n_ways
            parts.append((features, Known(memory, known.stays, reach)))
        return parts


class RescaledEngine:
    """A network that reads inputs made for another scaler; see ``engine.protocol.Engine``.

    Args:
        model: Moves the columns, and keeps them within limits.
        engine: Of the network behind.
    """

    def __init__(self, model: RescaledClassifier, engine: Engine) -> None:
        self.gain, self.bias, self.low, self.high = model.gain, model.bias, model.low, model.high
        self.engine = engine

    def remember(self, features: Tensor, lengths: Tensor, n_moving: int | None = None) -> Memory | None:
        """See ``engine.protocol.Engine``."""
        return self.engine.remember(self._own(features)[0], lengths, n_moving)

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:
        """See ``engine.protocol.Engine``."""
        return self.engine.difference(self._own(features)[0], lengths, known)

    def anchor(self, features: Tensor, lengths: Tensor, known: Known) -> tuple[Tensor, Memory] | None:
        """See ``engine.protocol.Engine``."""
        return self.engine.anchor(self._own(features)[0], lengths, known)

    def difference_and_gradient(
        self, features: Tensor, lengths: Tensor, known: Known | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``engine.protocol.Engine``."""
        own, slope = self._own(features)
        difference, gradient = self.engine.difference_and_gradient(own, lengths, known)
        return difference, gradient * slope

    def survey(
        self, features: Tensor, lengths: Tensor, faint: float, known: Known | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """See ``engine.protocol.Engine``."""
        own, slope = self._own(features)
        difference, gradient, reach = self.engine.survey(own, lengths, faint, known)
        return difference, gradient * slope, reach

    def _own(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the network's features, and their slope; half of it at a limit, as in autograd."""
        n_columns = features.shape[2]
        gain, bias, low, high = (part[:n_columns] for part in (self.gain, self.bias, self.low, self.high))
        moved = features * gain + bias
        inside = ((moved > low).to(gain) + (moved >= low)) * ((moved < high).to(gain) + (moved <= high)) / 4
        return torch.minimum(torch.maximum(moved, low), high), gain * inside
