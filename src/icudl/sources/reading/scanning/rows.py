"""The rows of a CSV table in blocks, each row found whole before it is parsed.

polars fills a row that lacks fields with nulls, drops the fields that a row has too many, and takes the rows between
two stray quotes for one field. So the bytes are looked at here: in every column, read or not, once. A compiled
loop does so where it can be had and the file is large, else numpy.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from isal import isal_zlib

from icudl.sources.reading.scanning.by_arrays import look_with_arrays
from icudl.sources.reading.scanning.compiled import compiled_look
from icudl.sources.reading.scanning.single import fields_of
from icudl.sources.reading.scanning.wanted import Look, Wanted

# What is read at once and what is checked at once stays in a processor's cache while it is looked at several times.
_PIECE_BYTES = 1 << 14
_CHECKED_BYTES = 1 << 19
_BLOCK_BYTES = 1 << 21
_GZIP = 31
_WORTH_COMPILING = 1 << 25
"""Bytes of a file from which on the compiled loop is used: it saves as much time as it takes to compile."""


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


def whole_rows(path: Path, n_fields: int, wanted: Wanted | None, look: Look | None = None) -> Iterator[Block]:
    """Yield the rows below the header, in order.

    A thread reads and inflates the next block meanwhile.

    Args:
        path: A file that ends in ``.csv`` or ``.gz``.
        n_fields: How many fields each row must have.
        wanted: Which rows are of interest; None where the rows are only to be checked.
        look: What looks at the bytes; without it, the faster of the two for a file of this size. Both give the same.

    Raises:
        BrokenRow: A row has more or fewer fields, a blank line is not the last, a quote is not closed in its line, or
            it stands within a field.
        OSError: The file cannot be read.
        EOFError: The compressed file ends too early.
        IsalError: The compressed file is damaged.
    """
    pieces = _inflated if path.suffix.lower() == ".gz" else _plain
    look = look or look_for(path)
    line, blank, is_first = 1, 0, True
    for block in _ahead(lambda: _gathered(_cut_at_lines(pieces(path)))):
        kept: list[bytes] = []
        rows = 0
        for lines in block:
            content = lines
            if is_first:
                content, is_first = lines[lines.find(b"\n") + 1 :], False
            for part in _parts(content):
                seen, empty = look(part, n_fields, wanted), 0
                if seen is None:
                    filled, empty = _told_apart(part, n_fields, line + 1)
                    found, below = len(filled), part.count(b"\n")
                    kept += filled
                else:
                    found = below = seen[0]
                    kept.append(seen[1])
                # Blank lines may stand below the last row only.
                if blank and found:
                    raise BrokenRow(blank, 1)
                blank = blank or empty
                rows += found
                line += below
        yield Block(b"".join(kept), rows)


def look_for(path: Path) -> Look:
    """Return what looks at the bytes of a file: the compiled loop for a large one, if it can be had, else numpy."""
    compiled = compiled_look() if path.stat().st_size >= _WORTH_COMPILING else None
    return compiled or look_with_arrays


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
