"""Whole rows and those of wanted items, found with numpy: what ``lines.c`` does where no compiler is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from icudl.sources.reading.scanning.wanted import Wanted

_COMMA, _NEWLINE, _RETURN, _QUOTE, _ZERO = b',\n\r"0'
_FIRST_BYTES = np.array([2 ** (8 * width) - 1 for width in range(9)], np.uint64)
_ZEROS, _SIXES, _HIGH = (np.uint64(byte * 0x0101010101010101) for byte in (0x30, 0x06, 0xF0))

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]


def look_with_arrays(part: bytes, n_fields: int, wanted: Wanted | None) -> tuple[int, bytes] | None:
    """Look at some lines; see ``wanted.Look``."""
    ends = _ends_of(part, n_fields)
    if ends is None:
        return None
    return len(ends), b"" if wanted is None else b"".join(_picked(part, ends, wanted))


def _ends_of(part: bytes, n_fields: int) -> Places | None:
    """Return where each field of each row ends, (rows, n_fields), if every line is a whole row, else None."""
    text: Bytes = np.frombuffer(part, np.uint8)
    newlines = text == _NEWLINE
    marks = text == _COMMA
    marks |= newlines
    if b'"' in part and not _quotes_match(text, newlines, marks):
        return None
    places = np.flatnonzero(marks)
    lines = np.count_nonzero(newlines)
    if len(places) != lines * n_fields:
        return None
    # As many newlines as rows, and each where a row ends: none is anywhere else.
    ends = places.reshape(lines, n_fields)
    return ends if newlines[ends[:, -1]].all() else None


def _quotes_match(text: Bytes, newlines: Marks, marks: Marks) -> bool:
    """Take the marks between each pair of quotes away; False where quotes do not match.

    Two pairs with nothing between them are a pair in which a quote is doubled: what they hold is the same.
    """
    quotes = np.flatnonzero(text == _QUOTE)
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    before, after = text[opening - 1], text[closing + 1]
    begins = (before == _COMMA) | (before == _NEWLINE) | (before == _QUOTE) | (opening == 0)
    finishes = (after == _COMMA) | (after == _NEWLINE) | (after == _QUOTE)
    finishes |= (after == _RETURN) & (text[np.minimum(closing + 2, len(text) - 1)] == _NEWLINE)
    if not (begins.all() and finishes.all()):
        return False
    counts = closing - opening
    # Every place from an opening quote to the one before its closing quote, one pair after the other.
    within = np.arange(counts.sum()) + np.repeat(opening - (np.cumsum(counts) - counts), counts)
    marks[within] = False
    return not newlines[within].any()


def _picked(part: bytes, ends: Places, wanted: Wanted) -> list[bytes]:
    """Return the lines that are of a wanted item, and those whose item is not a plain number of up to eight digits."""
    stops = ends[:, -1] + 1
    starts = np.empty_like(stops)
    starts[0], starts[1:] = 0, stops[:-1]
    place = starts if wanted.column == 0 else ends[:, wanted.column - 1] + 1
    width = ends[:, wanted.column] - place
    # The eight bytes from each place on, as one number; those beyond the field are blotted out.
    eights = np.ndarray((len(part),), "<u8", part + bytes(8), strides=(1,))
    inside = _FIRST_BYTES[np.minimum(width, 8)]
    item = eights[place] & inside
    digits = item | _ZEROS & ~inside
    is_plain = ((digits | (digits + _SIXES)) & _HIGH) == _ZEROS
    is_plain &= (width <= 8) & ((item & np.uint64(0xFF)) != _ZERO)
    is_kept = wanted.has(item) | ~is_plain
    return [part[start:stop] for start, stop in zip(starts[is_kept].tolist(), stops[is_kept].tolist(), strict=True)]
