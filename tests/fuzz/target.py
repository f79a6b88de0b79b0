"""What a fuzz target is, and the only two ways in which an input may end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from icudl.errors import IcudlError


@dataclasses.dataclass(frozen=True)
class Target:
    """One reader under test.

    Attributes:
        name: Its name on the command line.
        feed: Builds an input from bytes, gives it to the reader and checks what comes out; gets a folder to work in.
        seeds: Bytes to start from: together they reach every kind of input.
    """

    name: str
    feed: Callable[[bytes, Path], None]
    seeds: tuple[bytes, ...]

    def accepts(self, data: bytes, folder: Path) -> bool:
        """Tell whether the input was read; one that was not must have been refused by an error made on purpose.

        Raises:
            Exception: Whatever else happens is a finding.
        """
        try:
            self.feed(data, folder)
        except IcudlError as error:
            if not str(error).strip():
                raise AssertionError("an error without a message") from error
            return False
        return True


def seeds_of(count: int, size: int = 48) -> tuple[bytes, ...]:
    """Return fixed strings of bytes that begin with every value from 0 to ``count`` - 1."""
    return tuple(bytes([first, *((first * 37 + k * 101) % 256 for k in range(size))]) for first in range(count))
