"""Pieces of the ranges of values, what is known of each, and what a search found."""

from __future__ import annotations

import dataclasses
import enum

import torch
from torch import Tensor


class Verdict(enum.IntEnum):
    """What is known of a piece of a value's range."""

    HOLDS = 0  # no value of the piece flips the prediction
    FLIPS = 1  # every value of the piece does
    EDGE = 2  # the class changes somewhere within
    OPEN = 3  # not decided


@dataclasses.dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of the ranges of values; those of one value cover its range, end to end.

    Attributes:
        value: (n,) position of the value.
        low: (n,) float64 lower end, in unit coordinates.
        high: (n,) upper end.
        verdict: (n,) codes of ``Verdict``.
        bound: (n,) logits: smallest possible lead of the present class on a piece that holds or is open, the largest
            one on a piece that flips, NaN on an edge.
        flipped: (n,) bool, the model tried at an end of the piece says the other class.
    """

    value: Tensor
    low: Tensor
    high: Tensor
    verdict: Tensor
    bound: Tensor
    flipped: Tensor

    def where(self, chosen: Tensor) -> Pieces:
        """Return some of the pieces."""
        return Pieces(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))

    @staticmethod
    def joined(parts: list[Pieces]) -> Pieces:
        """Return the pieces of several parts."""
        names = [field.name for field in dataclasses.fields(Pieces)]
        return Pieces(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    @staticmethod
    def to_bound(value: Tensor, low: Tensor, high: Tensor, flipped: Tensor) -> Pieces:
        """Return pieces that nothing is known of yet."""
        verdict = torch.full_like(value, Verdict.OPEN)
        return Pieces(value, low, high, verdict, torch.full_like(low, -torch.inf), flipped)

    @staticmethod
    def edges(value: Tensor, low: Tensor, high: Tensor) -> Pieces:
        """Return pieces within which the class changes."""
        nothing = torch.full_like(low, torch.nan)
        return Pieces(
            value, low, high, torch.full_like(value, Verdict.EDGE), nothing, torch.zeros_like(value, dtype=torch.bool)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Attributes:
        pieces: By value and lower end.
        boxes: (V,) intervals bounded for each value.
        witness: (V,) float64 unit coordinate nearest to the charted value at which the model says the other class; NaN
            for none.
    """

    pieces: Pieces
    boxes: Tensor
    witness: Tensor


def in_order(pieces: Pieces) -> Pieces:
    """Return the pieces by value and lower end."""
    # A stable sort by the lower end, then by the value, puts the pieces of each value in a row.
    order = torch.argsort(pieces.low, stable=True)
    return pieces.where(order[torch.argsort(pieces.value[order], stable=True)])
