"""Bytes read as decisions, so that one string of bytes stands for one input of a target.

Hypothesis and a coverage-guided fuzzer both know how to vary and shrink bytes. A target that takes its decisions from
them gets inputs that are well formed but for a few places, which random text never is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Decisions:
    """Takes decisions from bytes, one after another; when they are used up, every decision is the first option."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def below(self, limit: int) -> int:
        """A whole number from 0 to ``limit`` - 1."""
        size = max(1, ((limit - 1).bit_length() + 7) // 8)
        return int.from_bytes(self.take(size).ljust(size, b"\0"), "big") % limit

    def one_in(self, chances: int) -> bool:
        """True once in so many times, and never when the bytes are used up."""
        return self.below(chances) == chances - 1

    def of(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def take(self, size: int) -> bytes:
        """The next bytes, at most ``size``."""
        taken = self._data[self._place : self._place + size]
        self._place += size
        return taken

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(len(self._data))

    def spoilt(self, content: bytes, tokens: Sequence[bytes], most: int = 3) -> bytes:
        """``content`` with up to ``most`` places changed."""
        for _ in range(self.below(most + 1)):
            place = self.below(len(content) + 1)
            match self.below(5):
                case 0:
                    content = content[:place] + self.of(tokens) + content[place:]
                case 1:
                    content = content[:place] + self.take(1 + self.below(4)) + content[place + self.below(4) :]
                case 2:
                    content = content[:place] + content[place + self.below(40) :]
                case 3:
                    content = content[: place // 2] + content[place // 2 : place] * 2 + content[place:]
                case _:
                    content = content[:place]
        return content


def with_cell_changed(text: bytes, decisions: Decisions, values: Sequence[bytes], separator: bytes = b",") -> bytes:
    """A table of text in which one field of one line is another value."""
    lines = text.split(b"\n")
    row = decisions.below(len(lines))
    fields = lines[row].split(separator)
    fields[decisions.below(len(fields))] = decisions.of(values)
    lines[row] = separator.join(fields)
    return b"\n".join(lines)


def with_lines_changed(text: bytes, decisions: Decisions) -> bytes:
    """A table of text in which a line is gone, there twice, or changes places with another."""
    lines = text.split(b"\n")
    one, other = decisions.below(len(lines)), decisions.below(len(lines))
    match decisions.below(3):
        case 0:
            del lines[one]
        case 1:
            lines.insert(other, lines[one])
        case _:
            lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


ODD_FIELDS: tuple[bytes, ...] = (
    b"",
    b" ",
    b"-1",
    b"0",
    b"1",
    b"2147483648",
    b"-2147483649",
    b"9223372036854775807",
    b"9223372036854775808",
    b"99999999999999999999999",
    b"nan",
    b"NaN",
    b"inf",
    b"-inf",
    b"1e308",
    b"-1e308",
    b"1e400",
    b"0x10",
    b"1_000",
    b"1,5",
    b'"',
    b'""',
    b'"a\nb"',
    b"'",
    b"true",
    b"null",
    b"NULL",
    b"\xc3\xa9",
    b"\xff",
    b"\x00",
    b"\xef\xbb\xbf",
    b"2150-01-01 10:00:00",
    b"2150-01-01",
    b"2150-02-30 10:00:00",
    b"0001-01-01 00:00:00",
    b"9999-12-31 23:59:59",
    b"262143-01-01 00:00:00",
    b"2150-01-01T10:00:00Z",
    b"-0001-01-01 00:00:00",
    b"00:00",
    b"47:59",
    b"999:59",
    b"24:60",
    b"1000:00",
    b"-1:00",
)
"""What fields of real files have been seen to hold, or could."""
