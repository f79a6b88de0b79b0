"""Tables of a database that are read in blocks of whole rows: CSV, CSV.gz or Parquet, headers in any case."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, cast

import polars as pl

from icudl.errors import SourceError
from icudl.sources.reading.scanning.rows import look_for
from icudl.sources.reading.scanning.single import fields_of
from icudl.sources.reading.scanning.wanted import Look
from icudl.sources.reading.unreadable import UNREADABLE

Types = Mapping[str, type[pl.DataType]]

ENDINGS = (".csv", ".csv.gz", ".parquet")
_BLOCK_BYTES = 1 << 24
_BATCH_ROWS = 500_000


@dataclasses.dataclass(frozen=True)
class TableFile:
    """One table.

    Attributes:
        table: Its name in lower case.
        path: The file.
        columns: Columns that are read, and their types; all others are ignored. Times (``pl.Datetime``) stay as they
            are written.
        edition: Whose shape this is, for messages ("eICU 2.0").
        optional: Columns that a file may lack; they are null then.
    """

    table: str
    path: Path
    columns: Types
    edition: str
    optional: frozenset[str] = frozenset()

    def header(self) -> list[str]:
        """Return the column names as they are written.

        Raises:
            SourceError: The file cannot be read, is empty, or lacks a column.
        """
        with self.readable():
            if self.path.suffix.lower() == ".parquet":
                names = pl.scan_parquet(self.path, glob=False).collect_schema().names()
            else:
                with self._opened() as handle:
                    line = handle.readline().decode("utf-8-sig").rstrip("\r\n")
                names = next(csv.reader([line], strict=True), [])
        known = {name.strip().lower() for name in names}
        if not any(name.strip() for name in names):
            raise SourceError(
                f"{self.path.name} is empty. Expected the {self.table.upper()} table with a header and data: download "
                "or export the file again."
            )
        missing = [column for column in self.columns if column not in known and column not in self.optional]
        if missing:
            raise SourceError(
                f"{self.path.name} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
                f"its header is {', '.join(names)}. Give the table as {self.edition} ships it."
            )
        return names

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the needed columns of all rows, lower case, in the types of ``columns``.

        Raises:
            SourceError: The file cannot be read, a row has more or fewer fields than the header, or a value is of
                another type.
        """
        header = self.header()
        with self.readable():
            if self.path.suffix.lower() == ".parquet":
                frame = self._chosen(pl.scan_parquet(self.path, glob=False), header)
                yield from frame.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False, engine="streaming")
                return
            types = {name: self.columns.get(name.strip().lower(), pl.String) for name in header}
            schema = {name: pl.String if kind is pl.Datetime else kind for name, kind in types.items()}
            for block in self._blocks(len(header)):
                yield self._chosen(pl.scan_csv(block, schema=schema, has_header=False), header).collect()

    def _chosen(self, frame: pl.LazyFrame, header: Iterable[str]) -> pl.LazyFrame:
        by_name = {name.strip().lower(): name for name in header}
        columns = []
        for name, kind in self.columns.items():
            column = (
                pl.col(by_name[name]) if name in by_name else pl.lit(None, pl.String if kind is pl.Datetime else kind)
            )
            columns.append((column if kind is pl.Datetime else column.cast(kind)).alias(name))
        return frame.select(columns)

    def _blocks(self, width: int) -> Iterator[bytes]:
        """Yield the lines below the header, every one of them checked to be a whole row."""
        line, look = 1, look_for(self.path)
        with self._opened() as handle:
            handle.readline()
            rest = b""
            while True:
                piece = handle.read(_BLOCK_BYTES)
                block = rest + piece
                end = len(block) if not piece else block.rfind(b"\n") + 1
                block, rest = block[:end], block[end:]
                if block.strip():
                    line = self._check(block, width, line, look)
                    yield block
                if not piece:
                    return

    def _check(self, block: bytes, width: int, line: int, look: Look) -> int:
        """Check that each line has as many fields as the header; polars fills what a row lacks with nulls."""
        seen = look(block if block.endswith(b"\n") else block + b"\n", width, None)
        if seen is not None:
            return line + seen[0]
        for text in block.removesuffix(b"\n").split(b"\n"):
            line += 1
            fields = fields_of(text)
            if fields != width:
                found = (
                    f"{fields} fields where the header has {width}"
                    if fields
                    else "a quote that nothing closes, or one within a field"
                )
                raise SourceError(
                    f"{self.path.name}: line {line} has {found}. A copy or download broke off, or the file was edited: "
                    f"give the table as {self.edition} ships it."
                )
        return line

    def _opened(self) -> IO[bytes]:
        open_file = gzip.open if self.path.suffix.lower() == ".gz" else open
        return cast("IO[bytes]", open_file(self.path, "rb"))

    @contextlib.contextmanager
    def readable(self) -> Iterator[None]:
        """Translate any error of a reader into one ``SourceError`` that names the file."""
        try:
            yield
        except UNREADABLE as error:
            reason = " ".join(str(error).split("You might want to try")[0].split())[:300] or type(error).__name__
            damaged = isinstance(error, EOFError | zlib.error | gzip.BadGzipFile)
            raise SourceError(
                f"{self.path.name} cannot be read: {'the compressed file is truncated or damaged, ' if damaged else ''}"
                f"{reason}. Give the {self.table.upper()} table as {self.edition} ships it; download a damaged file "
                "again."
            ) from error
