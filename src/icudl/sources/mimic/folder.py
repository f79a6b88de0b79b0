"""The tables of a MIMIC folder: CSV, CSV.gz or Parquet in any mix, names and headers in any case."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import io
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import polars as pl

from icudl.errors import SourceError
from icudl.sources.mimic.layout import Layout
from icudl.sources.reading.hashing import hash_files
from icudl.sources.reading.scanning.rows import Block, BrokenRow, whole_rows
from icudl.sources.reading.scanning.wanted import Wanted
from icudl.sources.reading.unreadable import DAMAGED, UNREADABLE
from icudl.sources.rules import RuleBook
from icudl.variables import Variable

_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
DAY = "dod"
"""The column that tells a day and no time of day."""

_ENDINGS = (".csv", ".csv.gz", ".parquet")
_HEADER_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class TableFile:
    """One table of the folder.

    Attributes:
        table: Its name in lower case.
        path: The file.
        layout: The database.
    """

    table: str
    path: Path
    layout: Layout

    def scan(self) -> pl.LazyFrame:
        """Return the needed columns, lower case, in the types of the layout but with times still as text in CSV.

        Nothing but the header is read here; a value of the wrong type is an error when the frame is read
        (inside ``translated``).

        Raises:
            SourceError: The file cannot be opened, is empty, or lacks a column.
        """
        with translated(self):
            return self._scan_parquet() if self.is_parquet else self._scan_csv()

    @property
    def is_parquet(self) -> bool:
        """Whether the file is Parquet; else it is CSV, plain or compressed."""
        return self.path.suffix.lower() == ".parquet"

    def blocks(self, items: Iterable[int]) -> Iterator[Block]:
        """Yield the rows of a CSV event table in blocks, of which only those stay that may be of the given items.

        Raises:
            SourceError: A row has more or fewer fields than the header, or its quotes do not match.
        """
        yield from self._whole(items)

    def _whole(self, items: Iterable[int] | None) -> Iterator[Block]:
        header = self.header()
        names = self._match(header)
        wanted = None if items is None else Wanted.of(header.index(names["itemid"]), items)
        try:
            yield from whole_rows(self.path, len(header), wanted)
        except BrokenRow as row:
            raise self._cut(f"line {row.line}", row.fields, len(header)) from None

    def parsed(self, content: bytes) -> pl.LazyFrame:
        """Return the needed columns of some lines of this CSV file, in the types that ``scan`` gives."""
        return self._typed(content) if content else self._typed(b"\n").clear()

    def _scan_parquet(self) -> pl.LazyFrame:
        frame = pl.scan_parquet(self.path, glob=False)
        names = self._match(frame.collect_schema().names())
        if frame.select(pl.len()).collect().item() == 0:
            raise self._empty()
        wanted = self.layout.columns[self.table]
        return frame.select(
            pl.col(name).cast(wanted[column]).alias(column)
            if wanted[column] is not pl.Datetime
            else pl.col(name).alias(column)
            for column, name in names.items()
        )

    def _scan_csv(self) -> pl.LazyFrame:
        return self._typed(self.path)

    def _typed(self, source: Path | bytes) -> pl.LazyFrame:
        header = self.header()
        names = self._match(header)
        wanted = self.layout.columns[self.table]
        types = {name: wanted[column] for column, name in names.items() if wanted[column] is not pl.Datetime}
        schema = {name: types.get(name, pl.String) for name in header}
        frame = pl.scan_csv(source, schema=schema, glob=False, has_header=isinstance(source, Path))
        return frame.select(pl.col(name).alias(column) for column, name in names.items())

    def header(self) -> list[str]:
        """Return the column names of a CSV file as they are written.

        Raises:
            SourceError: The file has no row of data.
        """
        with self._opened() as handle:
            start = handle.read(_HEADER_BYTES)
        lines = start.decode("utf-8-sig", "strict" if b"\0" in start else "replace").splitlines()
        if len(lines) < 2 or not any(line.strip() for line in lines[1:]):
            raise self._empty()
        return next(csv.reader(io.StringIO(lines[0])), [])

    def require_whole_rows(self) -> None:
        """Check that each row of a CSV file has all its fields: polars fills what a row lacks with nulls.

        Raises:
            SourceError: A row has more or fewer fields than the header, or its quotes do not match.
        """
        if self.is_parquet:
            return
        with translated(self):
            for _ in self._whole(None):
                pass

    def _opened(self) -> IO[bytes]:
        open_file = gzip.open if self.path.suffix.lower() == ".gz" else open
        return cast("IO[bytes]", open_file(self.path, "rb"))

    def _cut(self, place: str, fields: int, expected: int) -> SourceError:
        found = f"has {fields} fields where the header has {expected}, or a quote that nothing closes"
        if not fields:
            found = "has a quote that nothing closes, or one within a field"
        return SourceError(
            f"{self.path.name}: {place} {found}. A copy or download broke off, or the file was edited: give the table "
            f"as {self.layout.edition} ships it."
        )

    def _match(self, header: list[str]) -> dict[str, str]:
        by_name = {name.strip().lower(): name for name in header}
        wanted = self.layout.columns[self.table]
        missing = [column for column in wanted if column not in by_name]
        if missing:
            raise SourceError(
                f"{self.path.name} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
                f"its header is {', '.join(header)}. Give the table as {self.layout.edition} ships it, in UTF-8."
            )
        return {column: by_name[column] for column in wanted}

    def _empty(self) -> SourceError:
        return SourceError(
            f"{self.path.name} has no rows. Expected the {self.layout.shown(self.table)} table with a header and data: "
            "download or export the file again."
        )


@contextlib.contextmanager
def translated(file: TableFile) -> Iterator[None]:
    """Translate any error of a reader into one ``SourceError`` that names the file."""
    try:
        yield
    except UNREADABLE as error:
        reason = " ".join(str(error).split("You might want to try")[0].split())[:300]
        raise SourceError(
            f"{file.path.name} cannot be read: {_explain(error, reason)}. Give the {file.layout.shown(file.table)} "
            f"table as {file.layout.edition} ships it (UTF-8, comma-separated or Parquet); a damaged file must be "
            "downloaded again."
        ) from error


def _explain(error: BaseException, reason: str) -> str:
    lowered = reason.lower()
    if isinstance(error, DAMAGED) or any(
        word in lowered for word in ("deflate", "decompress", "gzip", "unexpected end", "corrupt")
    ):
        return f"the compressed file is truncated or damaged ({reason})"
    if isinstance(error, UnicodeError) or "utf-8" in lowered or "utf8" in lowered:
        return f"it is not UTF-8 text ({reason})"
    if "strptime" in lowered or "to `datetime" in lowered or "str` to `date" in lowered:
        return f"a time is not written as YYYY-MM-DD HH:MM:SS ({reason})"
    return reason


def moment(frame: pl.LazyFrame, column: str) -> pl.Expr:
    """Return the expression of a time as whole seconds since 1970 (int64), from text or from a Parquet timestamp."""
    expression = pl.col(column)
    if frame.collect_schema()[column] == pl.String:
        # MIMIC-IV writes days of death without a time, MIMIC-III with one of midnight.
        day = column == DAY
        written = expression.str.slice(0, len("2180-05-06")) if day else expression
        expression = written.str.to_datetime("%Y-%m-%d" if day else _TIME_FORMAT, time_unit="us", strict=True)
    return expression.cast(pl.Datetime("us")).dt.epoch("us") // 1_000_000


def find_tables(folder: Path, layout: Layout, names: Iterable[str] = ()) -> dict[str, TableFile]:
    """Return those of the named tables that a folder holds; the required tables must be among them.

    Args:
        folder: The folder that a user gives.
        layout: The database; its tables may lie in folders below.
        names: Names of tables; those that the reader needs where there are none.

    Raises:
        SourceError: The folder does not exist, a required table is missing, or a table has several files.
    """
    needed = ", ".join(map(layout.shown_place, layout.required))
    if not folder.is_dir():
        raise SourceError(
            f"source.path = {str(folder)!r} is not a folder. Give the folder that holds the {layout.database} tables "
            f"({needed})."
        )
    found = files_of(folder, layout)
    missing = [layout.shown_place(name) for name in layout.required if name not in found]
    if missing:
        entries = sorted(
            path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "") for path in _entries(folder, layout)
        )
        raise SourceError(
            f"source.path = {str(folder)!r} lacks {', '.join(missing)} (as .csv, .csv.gz or .parquet). "
            f"Needed are {needed}; found: {', '.join(entries[:20]) or 'nothing'}."
        )
    chosen = tuple(names) or tuple(layout.columns)
    for name in chosen:
        if len(found.get(name, [])) > 1:
            raise SourceError(
                f"The table {layout.shown(name)} has {len(found[name])} files: "
                f"{', '.join(path.relative_to(folder).as_posix() for path in found[name])}. Keep one of them."
            )
    return {name: TableFile(name, found[name][0], layout) for name in chosen if name in found}


def files_of(folder: Path, layout: Layout) -> dict[str, list[Path]]:
    """Return the files of each table in a folder, by the table's name in lower case.

    Raises:
        OSError: The folder cannot be listed.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(_entries(folder, layout)):
        for ending in _ENDINGS:
            if path.name.lower().endswith(ending) and path.is_file():
                name = path.name.lower().removesuffix(ending)
                if path.parent == folder or path.parent.name.lower() in layout.folders.get(name, layout.subfolders):
                    found.setdefault(name, []).append(path)
    return found


def _entries(folder: Path, layout: Layout) -> list[Path]:
    """Return what lies in a folder; the contents of the layout's subfolders instead of these."""
    entries: list[Path] = []
    for path in folder.iterdir():
        if path.name.lower() in layout.subfolders and path.is_dir():
            entries += path.iterdir()
        else:
            entries.append(path)
    return entries


def require_event_tables(
    book: RuleBook, variables: Sequence[Variable], tables: Container[str], place: str, layout: Layout
) -> None:
    """Check that every variable's event table exists: a variable whose table is missing would look uncharted.

    Args:
        book: Rules that name the table of each variable.
        variables: The requested variables.
        tables: Names of the existing tables.
        place: Name of the folder or schema, for the message.
        layout: The database.

    Raises:
        SourceError: The table of a variable is missing; the message names both.
    """
    for variable in variables:
        for table in book.tables_of(variable.name):
            if table not in tables:
                raise SourceError(
                    f"The variable {variable.name!r} is read from {layout.shown(table)}, which {place} lacks. "
                    f"Name other variables in variables.use, or give data that hold the table."
                )


def hash_tables(tables: Mapping[str, TableFile], memory: Path) -> dict[str, dict[str, Any]]:
    """Return the size and SHA-256 of each table's file; see ``sources.hashing``.

    Raises:
        SourceError: A file cannot be read.
    """
    files = {name: file.path for name, file in tables.items()}
    return hash_files(files, memory, lambda name: translated(tables[name]))
