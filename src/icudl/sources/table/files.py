"""The files of a hospital's tables: CSV, CSV.gz, Parquet or Excel, every cell as text."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from icudl.errors import PluginError, SourceError, suggestion
from icudl.files import hash_file
from icudl.sources.reading.unreadable import UNREADABLE
from icudl.sources.table.texts import BLANKS

ENDINGS = (".csv", ".csv.gz", ".parquet", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_BOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
STAYS = ("stays", "icustays", "icu_stays", "admissions", "cohort", "patients")
MEASUREMENTS = ("measurements", "observations", "events", "values", "vitals", "labs")
SEPARATORS = (",", ";", "\t", "|")
_SHEET = "#"
_DECLARED = re.compile(r"sep=(?P<sign>.)\n")
"""First line by which Excel is told the separator."""


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of the hospital.

    Attributes:
        path: The file.
        sheet: Sheet of a workbook; "" for its only one.
    """

    path: Path
    sheet: str = ""

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.path.name + (f"{_SHEET}{self.sheet}" if self.sheet else "")

    @property
    def is_book(self) -> bool:
        """Whether it is a sheet of a workbook."""
        return self.path.name.lower().endswith(_BOOKS)

    @property
    def is_csv(self) -> bool:
        """Whether it is CSV, plain or compressed."""
        return self.path.name.lower().endswith((".csv", ".csv.gz"))

    def decimal(self, sign: str) -> str:
        """Return the decimal sign of its numbers: that of the configuration in CSV, a point where cells are typed."""
        return sign if self.is_csv else "."

    def describe(self) -> dict[str, Any]:
        """Return its size and SHA-256.

        Raises:
            SourceError: It cannot be read.
        """
        with _readable(self):
            return {"bytes": self.path.stat().st_size, "sha256": hash_file(self.path), "sheet": self.sheet}


@dataclasses.dataclass(frozen=True)
class Tables:
    """The tables of a folder.

    Attributes:
        stays: The table of stays.
        measurements: The tables of measurements, in the order in which they are read.
        unread: Names of the other tables in the folder.
    """

    stays: Table
    measurements: tuple[Table, ...]
    unread: tuple[str, ...]


def find(folder: Path, stays: str, measurements: Sequence[str]) -> Tables:
    """Return the tables of a folder.

    Args:
        folder: ``source.path``.
        stays: ``source.stays``; "" for the one with a usual name.
        measurements: ``source.measurements``; empty for those with usual names.

    Raises:
        SourceError: The folder or a table is missing, or several files might be meant.
    """
    if not folder.is_dir():
        raise SourceError(f"source.path = {str(folder)!r} is not a folder. Give the folder that holds the tables.")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().endswith(ENDINGS))
    if stays:
        of_stays = _named(folder, files, "source.stays", stays)
    else:
        usual = [path for path in files if _stem(path) in STAYS]
        if len(usual) != 1:
            raise SourceError(
                f"{str(folder)!r} holds {_listed(usual) if usual else 'no file with a usual name'} for the table of "
                f"stays; its tables are {_listed(files)}. Set source.stays to the one with a row for each stay."
            )
        of_stays = Table(usual[0])
    if measurements:
        values = tuple(_named(folder, files, "source.measurements", name) for name in measurements)
    else:
        usual = [path for path in files if _stem(path) in MEASUREMENTS and path != of_stays.path]
        if not usual:
            raise SourceError(
                f"{str(folder)!r} holds no file with a usual name for the measurements ({', '.join(MEASUREMENTS)}); "
                f"its tables are {_listed(files)}. Set source.measurements to a list of files."
            )
        values = tuple(Table(path) for path in usual)
        for stem in MEASUREMENTS:
            alike = [table.path for table in values if _stem(table.path) == stem]
            if len(alike) > 1:
                raise SourceError(f"{_listed(alike)} may be the same table twice. Set source.measurements.")
    if len({(table.path, table.sheet) for table in values} | {(of_stays.path, of_stays.sheet)}) < len(values) + 1:
        raise SourceError(
            f"source.stays = {stays!r} and source.measurements = {list(measurements)!r} name a table twice. Name "
            "each once."
        )
    read = {of_stays.path, *(table.path for table in values)}
    return Tables(of_stays, values, tuple(path.name for path in files if path not in read))


def _stem(path: Path) -> str:
    return path.name.lower().partition(".")[0]


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths) or "none"


def _named(folder: Path, files: Sequence[Path], key: str, name: str) -> Table:
    file, _, sheet = name.partition(_SHEET)
    path = folder / file
    if path not in files:
        raise SourceError(
            f"{key} names {name!r}, which is no table in {str(folder)!r}."
            f"{suggestion(file, [path.name for path in files])} Its tables ({', '.join(ENDINGS[:4])}): "
            f"{_listed(files)}."
        )
    table = Table(path, sheet)
    if sheet and not table.is_book:
        raise SourceError(f"{key} names the sheet {sheet!r} of {file}, which is no workbook. Leave out #{sheet}.")
    return table


def read(table: Table, separator: str = "", encoding: str = "utf-8") -> pl.DataFrame:
    """Return a table, every cell as text (null where it is empty), headers without blanks around them.

    Args:
        table: Which one.
        separator: What parts the columns of a CSV file; "" for the sign that the header has most of.
        encoding: Encoding of a CSV file.

    Raises:
        SourceError: The file is unreadable or empty, or a row has more or fewer cells than the header or repeats it.
        PluginError: It is a workbook, and the extra that reads them is not installed.
    """
    with _readable(table):
        if table.is_csv:
            frame = _read_csv(table, separator, encoding)
        elif table.is_book:
            frame = _read_book(table)
        else:
            frame = _as_text(pl.read_parquet(table.path, glob=False))
    headers = [header.strip(BLANKS) or f"(column {number})" for number, header in enumerate(frame.columns, 1)]
    if len(set(headers)) < len(headers):
        twice = next(header for header in headers if headers.count(header) > 1)
        raise SourceError(
            f"{table.name} has two columns {twice!r}. Which of them is meant cannot be told: rename or remove one."
        )
    frame = frame.rename(dict(zip(frame.columns, headers, strict=True)))
    frame = frame.filter(~pl.all_horizontal(pl.all().is_null() | (pl.all() == "")))
    again = frame.select(
        pl.all_horizontal(pl.col(header).str.strip_chars(BLANKS) == header for header in headers).sum()
    ).item()
    if again:
        raise SourceError(
            f"{table.name} repeats its header in {again} of its rows: several exports were put one behind the other. "
            "Remove these lines, or name the exports one by one in source.measurements."
        )
    if frame.is_empty():
        raise SourceError(f"{table.name} has no rows. Expected a header and data: export the table again.")
    return frame


def _read_csv(table: Table, separator: str, encoding: str) -> pl.DataFrame:
    content = table.path.read_bytes()
    if table.path.name.lower().endswith(".gz"):
        content = gzip.decompress(content)
    text = content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    if "\0" in text:
        raise SourceError(f"{table.name} holds bytes of zero, so it is no text. Export the table as CSV again.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    declared = _DECLARED.match(text)
    text = text[declared.end() :] if declared else text
    sign = separator or (declared["sign"] if declared else _separator(text))
    header, rows = _checked(table, text, sign)
    body = text.partition("\n")[2]
    columns = [f"column {number}" for number in range(len(header))]
    frame = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    if body.strip():
        frame = pl.read_csv(
            body.encode(), has_header=False, separator=sign, schema=dict.fromkeys(columns, pl.String), glob=False
        )
    frame = frame.filter(pl.any_horizontal(pl.all().str.len_bytes() > 0))
    if len(frame) != rows:
        raise SourceError(
            f"{table.name} has {rows} rows by its lines and quotes, but {len(frame)} can be read. Quotes in it are not "
            "as in other CSV files: export the table again."
        )
    unique = _unique(header)
    return frame.rename(dict(zip(columns, unique, strict=True)))


def _unique(header: Sequence[str]) -> list[str]:
    """Return headers of which polars accepts even repeated ones; ``read`` refuses those by their real names."""
    seen: dict[str, int] = {}
    result = []
    for name in header:
        seen[name] = seen.get(name, 0) + 1
        result.append(name + " " * (seen[name] - 1))
    return result


def _separator(text: str) -> str:
    line = text.partition("\n")[0]
    return max(SEPARATORS, key=line.count)


def _checked(table: Table, text: str, separator: str) -> tuple[list[str], int]:
    """Return the header, and how many rows that are not empty follow it.

    polars fills what a row lacks with nulls, so each row is counted here.

    Raises:
        SourceError: A row is not whole.
    """
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header = next(lines, [])
    width, rows = len(header), 0
    if width < 2:
        raise SourceError(
            f"{table.name} has one column, {text.partition(chr(10))[0][:80]!r}. Expected several, parted by comma, "
            "semicolon, tab or bar; another sign is source.separator."
        )
    if any("\n" in cell for cell in header):
        raise SourceError(f"{table.name}: a name of a column runs over several lines. Write the header in one line.")
    before = 1
    for row in lines:
        if len(row) != width and row:
            raise SourceError(
                f"{table.name}: line {lines.line_num} has {len(row)} cells where the header has {width}. A copy broke "
                "off, or a cell that holds the separator is not in quotes: export the table again."
            )
        if lines.line_num != before + 1 and row:
            raise SourceError(
                f"{table.name}: a cell runs from line {before + 1} to line {lines.line_num}: a quote is not closed, or "
                "a text has line breaks. Export the table again without them."
            )
        before = lines.line_num
        rows += any(row)
    return header, rows


def _read_book(table: Table) -> pl.DataFrame:
    try:
        import fastexcel
    except ImportError as error:
        raise PluginError(
            f"{table.name} is a workbook, and what reads workbooks is not installed. "
            "pip install 'icu-deep-learning[excel]', or save the sheet as CSV."
        ) from error
    try:
        book = fastexcel.read_excel(table.path)
        sheets = book.sheet_names
        if not table.sheet and len(sheets) > 1:
            raise SourceError(
                f'{table.name} has the sheets {", ".join(sheets)}. Name one: "{table.name}{_SHEET}{sheets[0]}".'
            )
        sheet = table.sheet or sheets[0]
        if sheet not in sheets:
            raise SourceError(
                f"{table.path.name} has no sheet {sheet!r}.{suggestion(sheet, sheets)} It has {', '.join(sheets)}."
            )
        rows: pl.DataFrame = book.load_sheet(sheet, header_row=None, dtypes="string").to_polars()
    except fastexcel.FastExcelError as error:
        raise SourceError(f"{table.name} cannot be read: {' '.join(str(error).split())[:300]}.") from error
    if rows.is_empty():
        raise SourceError(f"{table.name} has no rows. Expected a header and data.")
    header = [cell or "" for cell in rows.row(0)]
    return rows[1:].rename(dict(zip(rows.columns, _unique(header), strict=True)))


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame of any types as text; moments with a zone get an offset."""
    columns = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if isinstance(dtype, pl.Datetime):
            if dtype.time_zone is not None:
                column = column.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%d %H:%M:%S%.6f+00:00")
            else:
                column = column.dt.strftime("%Y-%m-%d %H:%M:%S%.6f")
        elif isinstance(dtype, pl.Duration):
            column = (column.dt.total_microseconds() / 3.6e9).cast(pl.String)  # hours
        elif dtype.is_nested() or dtype == pl.Binary:
            column = pl.lit(None, dtype=pl.String).alias(name)
        else:
            column = column.cast(pl.String)
        columns.append(column)
    return frame.select(columns)


@contextlib.contextmanager
def _readable(table: Table) -> Iterator[None]:
    """Translate any error of a reader into one ``SourceError`` that names the file."""
    try:
        yield
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        advice = "Export the table again."
        if isinstance(error, UnicodeError):
            advice = 'Set source.encoding, for example to "cp1252" for a file that Excel wrote, or save it in UTF-8.'
        elif isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
            advice = "The compressed file is truncated or damaged: copy it again."
        raise SourceError(f"{table.name} cannot be read ({reason}). {advice}") from error
