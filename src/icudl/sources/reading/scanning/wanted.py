"""Which rows of an event table are of interest: item ids, looked up by a hash as they are written."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

# Multiplicative hashing (Knuth, The Art of Computer Programming, 6.4): 2^64 divided by the golden ratio.
_GOLDEN = 0x9E3779B97F4A7C15
_LARGEST = 2**64 - 1
_HASH_BITS = 12
SHIFT = 64 - _HASH_BITS
"""The place of an item is its product with the factor, shifted to the right by so many bits."""


@dataclasses.dataclass(frozen=True, eq=False)
class Wanted:
    """Which rows are of interest.

    Attributes:
        column: Position of the item's column.
        items: (2^12,) uint64, the wanted items as they are written, their digits as the bytes of one number: each where
            ``_place`` says, ones elsewhere, which no text has.
        factor: The factor with which no two of the items have one place.
    """

    column: int
    items: npt.NDArray[np.uint64]
    factor: np.uint64

    @classmethod
    def of(cls, column: int, items: Iterable[int]) -> Wanted:
        """Take the position of the item's column and the numbers of the wanted items."""
        written = np.array(sorted({int.from_bytes(str(item).encode()[:8], "little") for item in items}), np.uint64)
        for odd in itertools.count(1, 2):
            factor = np.uint64(odd * _GOLDEN & _LARGEST)
            places = _place(written, factor)
            if len(np.unique(places)) == len(written):
                break
        table = np.full(1 << _HASH_BITS, _LARGEST, np.uint64)
        table[places] = written
        return cls(column, table, factor)

    def has(self, items: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Return which of some written items are wanted."""
        found: npt.NDArray[np.bool_] = self.items[_place(items, self.factor)] == items
        return found


def _place(items: npt.NDArray[np.uint64], factor: np.uint64) -> npt.NDArray[np.uint64]:
    return (items * factor) >> np.uint64(SHIFT)


Look = Callable[[bytes, int, Wanted | None], tuple[int, bytes] | None]
"""Looks at every byte of some lines, the last of which ends with a line break.

Given the lines, the number of fields of each and which are wanted, it returns how many lines there are, and those that
are of a wanted item or whose item is no plain number of up to eight digits. None if a line has more or fewer fields, or
quotes that do not match.
"""
