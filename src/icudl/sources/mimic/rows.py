"""The rows of a CSV table in blocks, each row found whole before it is parsed.

polars fills a row that lacks fields with nulls, drops the fields that a row has too many, and takes the rows between
two stray quotes for one field. So the bytes are looked at here: in every column, read or not, once.
"""

from __future__ import annotations

import dataclasses
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from icudl.sources.reading.blocks import fields_of

_COMMA, _NEWLINE, _RETURN, _QUOTE, _ZERO = b',\n\r"0'
# What is read at once and what is checked at once stays in a processor's cache while it is looked at several times.
_PIECE_BYTES = 1 << 14
_CHECKED_BYTES = 1 << 19
_BLOCK_BYTES = 1 << 21
_GZIP = 31
_HASH_BITS = 12
_FIRST_BYTES = np.array([2 ** (8 * width) - 1 for width in range(9)], np.uint64)
_ZEROS, _SIXES, _HIGH = (np.uint64(byte * 0x0101010101010101) for byte in (0x30, 0x06, 0xF0))

# Multiplicative hashing (Knuth, The Art of Computer Programming, 6.4): 2^64 divided by the golden ratio.
_GOLDEN = 0x9E3779B97F4A7C15
_LARGEST = 2**64 - 1

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class BrokenRow(Exception):  # noqa: N818 - says what it is
    """A line that is no whole row.

    Attributes:
        line: Its number in the file; the header is line 1.
        fields: How many fields it has, commas between quotes not counted; 0 where its quotes do not match.
    """

    line: int
    fields: int


@dataclasses.dataclass(frozen=True)
class Block:
    """What is left of some rows of a table, one after the other.

    Attributes:
        content: The lines of those that may be of a wanted item.
        rows: How many there were.
    """

    content: bytes
    rows: int


@dataclasses.dataclass(frozen=True, eq=False)
class Wanted:
    """Which rows are of interest.

    Attributes:
        column: Position of the item's column.
        items: (2^12,) the wanted items as they are written, their digits as the bytes of one number: each where
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
    return (items * factor) >> np.uint64(64 - _HASH_BITS)


def whole_rows(path: Path, n_fields: int, wanted: Wanted | None) -> Iterator[Block]:
    """Yield the rows below the header, in order.

    A thread reads and inflates the next block meanwhile.

    Args:
        path: A file that ends in ``.csv`` or ``.gz``.
        n_fields: How many fields each row must have.
        wanted: Which rows are of interest; None where the rows are only to be checked.

    Raises:
        BrokenRow: A row has more or fewer fields, a blank line is not the last, a quote is not closed in its line, or
            it stands within a field.
        OSError: The file cannot be read.
        EOFError: The compressed file ends too early.
        IsalError: The compressed file is damaged.
    """
    pieces = _inflated if path.suffix.lower() == ".gz" else _plain
    line, blank, is_first = 1, 0, True
    for block in _ahead(lambda: _gathered(_cut_at_lines(pieces(path)))):
        kept: list[bytes] = []
        rows = 0
        for lines in block:
            content = lines
            if is_first:
                content, is_first = lines[lines.find(b"\n") + 1 :], False
            for part in _parts(content):
                ends = _ends_of(part, n_fields)
                if ends is None:
                    filled, empty = _told_apart(part, n_fields, line + 1)
                    found, below = len(filled), part.count(b"\n")
                else:
                    filled, empty = [] if wanted is None else _picked(part, ends, wanted), 0
                    found = below = len(ends)
                # Blank lines may stand below the last row only.
                if blank and found:
                    raise BrokenRow(blank, 1)
                blank = blank or empty
                kept += filled
                rows += found
                line += below
        yield Block(b"".join(kept), rows)


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as handle:
        while piece := handle.read(_CHECKED_BYTES // 2):
            yield piece


def _inflated(path: Path) -> Iterator[bytes]:
    """Yield the content of a gzip file of one or several members."""
    inflate = isal_zlib.decompressobj(_GZIP)
    is_begun = False
    with path.open("rb", buffering=0) as handle:
        while piece := handle.read(_PIECE_BYTES):
            while piece:
                if inflate.eof:
                    piece = piece.lstrip(b"\0")
                    if not piece:
                        break
                    inflate = isal_zlib.decompressobj(_GZIP)
                is_begun = True
                yield inflate.decompress(piece)
                piece = inflate.unused_data
    if is_begun and not inflate.eof:
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")


def _cut_at_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield whole lines, those that end in a piece at once; each piece is copied once."""
    begun: list[bytes | memoryview] = []
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join((*begun, memoryview(piece)[:end]))
            begun = [piece[end:]]
        else:
            begun.append(piece)
    rest = b"".join(begun)
    if rest:
        yield rest + b"\n"


def _gathered(parts: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield some parts at once: a queue costs as much for a small one as for a large one."""
    gathered: list[bytes] = []
    for part in parts:
        gathered.append(part)
        if sum(map(len, gathered)) >= _BLOCK_BYTES:
            yield gathered
            gathered = []
    yield gathered


def _ahead(blocks: Callable[[], Iterator[list[bytes]]]) -> Iterator[list[bytes]]:
    """Yield what an iterator yields, made in a thread that is one block ahead."""
    made: queue.Queue[list[bytes] | BaseException | None] = queue.Queue(maxsize=1)
    is_wanted = threading.Event()
    is_wanted.set()

    def put(item: list[bytes] | BaseException | None) -> bool:
        while is_wanted.is_set():
            try:
                made.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for block in blocks():
                if not put(block):
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="reading a table", daemon=True)
    thread.start()
    try:
        while (item := made.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        is_wanted.clear()
        thread.join()


def _parts(content: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(content):
        end = content.rfind(b"\n", start, start + _CHECKED_BYTES) + 1 or content.find(b"\n", start) + 1
        yield content[start:end]
        start = end


def _told_apart(part: bytes, n_fields: int, first_line: int) -> tuple[list[bytes], int]:
    """Return the rows of some lines one by one, and the number of the first of the blank lines below them (0: none).

    Raises:
        BrokenRow: A line is no whole row, or a row follows a blank line.
    """
    filled, blank = [], 0
    for number, text in enumerate(part.split(b"\n")[:-1], first_line):
        if not text.strip():
            blank = blank or number
            continue
        fields = fields_of(text)
        if blank or fields != n_fields:
            raise BrokenRow(blank or number, 1 if blank else fields)
        filled.append(text + b"\n")
    return filled, blank


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
    finishes = (after == _COMMA) | (after == _NEWLINE) | (after == _QUOTE) | (after == _RETURN)
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
