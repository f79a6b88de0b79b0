"""Numbers of passes alongside the unchanged stay: a middle, a movement with the value, and two kinds of noise."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from icudl.proofs.forms.affine import ROUNDING, SINGLE
from icudl.proofs.forms.relaxations import Line


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
