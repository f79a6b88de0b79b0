"""The tables of an eICU folder: CSV, CSV.gz or Parquet, names and headers in any case, read in blocks of whole rows."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import polars as pl

from icudl.errors import ConfigError, SourceError, suggestion
from icudl.files import hash_file
from icudl.sources.eicu.items import CUFF, FLUIDS, LAB, MONITOR, NURSE, RESPIRATORY
from icudl.sources.unreadable import UNREADABLE

Types = Mapping[str, type[pl.DataType]]

_WHOLE, _REAL, _TEXT = pl.Int64, pl.Float64, pl.String
COLUMNS: Mapping[str, Types] = {
    "patient": {
        "patientunitstayid": _WHOLE,
        "patienthealthsystemstayid": _WHOLE,
        "uniquepid": _TEXT,
        "gender": _TEXT,
        "age": _TEXT,
        "hospitalid": _WHOLE,
        "admissionheight": _REAL,
        "admissionweight": _REAL,
        "hospitaldischargeyear": _WHOLE,
        "hospitaldischargeoffset": _WHOLE,
        "hospitaldischargestatus": _TEXT,
        "unittype": _TEXT,
        "unitvisitnumber": _WHOLE,
        "unitdischargeoffset": _WHOLE,
        "unitdischargestatus": _TEXT,
    },
    LAB: {
        "patientunitstayid": _WHOLE,
        "labresultoffset": _WHOLE,
        "labname": _TEXT,
        "labresult": _REAL,
        "labmeasurenameinterface": _TEXT,
        "labresultrevisedoffset": _WHOLE,
    },
    NURSE: {
        "patientunitstayid": _WHOLE,
        "nursingchartoffset": _WHOLE,
        "nursingchartcelltypevallabel": _TEXT,
        "nursingchartcelltypevalname": _TEXT,
        "nursingchartvalue": _TEXT,
    },
    MONITOR: {"patientunitstayid": _WHOLE, "observationoffset": _WHOLE}
    | dict.fromkeys(
        (
            "temperature", "sao2", "heartrate", "respiration", "systemicsystolic", "systemicdiastolic", "systemicmean",
        ),
        _REAL,
    ),
    CUFF: {"patientunitstayid": _WHOLE, "observationoffset": _WHOLE}
    | dict.fromkeys(("noninvasivesystolic", "noninvasivediastolic", "noninvasivemean"), _REAL),
    RESPIRATORY: {
        "patientunitstayid": _WHOLE,
        "respchartoffset": _WHOLE,
        "respchartvaluelabel": _TEXT,
        "respchartvalue": _TEXT,
    },
    FLUIDS: {
        "patientunitstayid": _WHOLE,
        "intakeoutputoffset": _WHOLE,
        "cellpath": _TEXT,
        "celllabel": _TEXT,
        "cellvaluenumeric": _REAL,
    },
}  # fmt: skip
"""Columns of each table that are read; all others are ignored."""

_ENDINGS = (".csv", ".csv.gz", ".parquet")
_BLOCK_BYTES = 1 << 24
_BATCH_ROWS = 500_000


@dataclasses.dataclass(frozen=True)
class TableFile:
    """One table.

    Attributes:
        table: Its name in lower case.
        path: The file.
    """

    table: str
    path: Path

    def describe(self) -> dict[str, Any]:
        """Return its size and SHA-256.

        Raises:
            SourceError: It cannot be read.
        """
        with self._readable():
            return {"bytes": self.path.stat().st_size, "sha256": hash_file(self.path)}

    def header(self) -> list[str]:
        """Return the column names as they are written.

        Raises:
            SourceError: The file cannot be read, is empty, or lacks a column.
        """
        with self._readable():
            if self.path.suffix.lower() == ".parquet":
                names = pl.scan_parquet(self.path, glob=False).collect_schema().names()
            else:
                with self._opened() as handle:
                    line = handle.readline().decode("utf-8-sig").rstrip("\r\n")
                names = next(csv.reader([line], strict=True), [])
        known = {name.strip().lower() for name in names}
        missing = [column for column in COLUMNS[self.table] if column not in known]
        if missing:
            raise SourceError(
                f"{self.path.name} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
                f"its header is {', '.join(names)}. Give the table as eICU 2.0 ships it."
            )
        return names

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the needed columns of all rows, lower case, in the types of ``COLUMNS``.

        Raises:
            SourceError: The file cannot be read, a row has more or fewer fields than the header, or a value is of
                another type.
        """
        header = self.header()
        with self._readable():
            if self.path.suffix.lower() == ".parquet":
                frame = self._chosen(pl.scan_parquet(self.path, glob=False), header)
                yield from frame.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False, engine="streaming")
                return
            wanted = COLUMNS[self.table]
            schema = {name: wanted.get(name.strip().lower(), pl.String) for name in header}
            for block in self._blocks(len(header)):
                yield self._chosen(pl.scan_csv(block, schema=schema, has_header=False), header).collect()

    def _chosen(self, frame: pl.LazyFrame, header: Iterable[str]) -> pl.LazyFrame:
        by_name = {name.strip().lower(): name for name in header}
        return frame.select(
            pl.col(by_name[column]).cast(dtype).alias(column) for column, dtype in COLUMNS[self.table].items()
        )

    def _blocks(self, width: int) -> Iterator[bytes]:
        """Yield the lines below the header, every one of them checked to be a whole row."""
        line = 1
        with self._opened() as handle:
            handle.readline()
            rest = b""
            while True:
                piece = handle.read(_BLOCK_BYTES)
                block = rest + piece
                end = len(block) if not piece else block.rfind(b"\n") + 1
                block, rest = block[:end], block[end:]
                if block.strip():
                    line = self._check(block, width, line)
                    yield block
                if not piece:
                    return

    def _check(self, block: bytes, width: int, line: int) -> int:
        """Check that each line has as many fields as the header; polars fills what a row lacks with nulls."""
        for text in block.removesuffix(b"\n").split(b"\n"):
            line += 1
            if b'"' not in text:
                fields = text.count(b",") + 1
            else:
                try:
                    fields = len(next(csv.reader([text.decode("utf-8").rstrip("\r")], strict=True), []))
                except csv.Error:
                    fields = 0
            if fields != width:
                found = f"{fields} fields where the header has {width}" if fields else "a quote that nothing closes"
                raise SourceError(
                    f"{self.path.name}: line {line} has {found}. A copy or download broke off, or the file was edited: "
                    "give the table as eICU 2.0 ships it."
                )
        return line

    def _opened(self) -> IO[bytes]:
        open_file = gzip.open if self.path.suffix.lower() == ".gz" else open
        return cast("IO[bytes]", open_file(self.path, "rb"))

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Translate any error of a reader into one ``SourceError`` that names the file."""
        try:
            yield
        except UNREADABLE as error:
            reason = " ".join(str(error).split("You might want to try")[0].split())[:300] or type(error).__name__
            damaged = isinstance(error, EOFError | zlib.error | gzip.BadGzipFile)
            raise SourceError(
                f"{self.path.name} cannot be read: {'the compressed file is truncated or damaged, ' if damaged else ''}"
                f"{reason}. Give the {self.table.upper()} table as eICU 2.0 ships it; download a damaged file again."
            ) from error


def find_tables(folder: Path, files: Mapping[str, Any]) -> dict[str, TableFile]:
    """Return the tables of a folder; PATIENT must be among them.

    Args:
        folder: ``source.path``.
        files: Paths below the folder by table (``source.files``).

    Raises:
        SourceError: The folder, PATIENT or a named file is missing, or a table has several files.
    """
    if not folder.is_dir():
        raise SourceError(f"source.path = {str(folder)!r} is not a folder. Give the folder that holds patient.csv.gz.")
    named = {str(table).lower(): folder / str(file) for table, file in files.items()}
    for table, path in named.items():
        if not path.is_file():
            raise SourceError(f"source.files.{table} names {files[table]!r}, which is no file below {str(folder)!r}.")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        for ending in _ENDINGS:
            if path.name.lower().endswith(ending) and path.is_file():
                found.setdefault(path.name.lower().removesuffix(ending), []).append(path)
    tables = {}
    for table in COLUMNS:
        paths = [named[table]] if table in named else found.get(table, [])
        if len(paths) > 1:
            raise SourceError(
                f"The table {table.upper()} has {len(paths)} files: {', '.join(path.name for path in paths)}. Keep one."
            )
        if paths:
            tables[table] = TableFile(table, paths[0])
    if "patient" not in tables:
        seen = ", ".join(sorted(path.name for path in folder.iterdir())[:20]) or "nothing"
        raise SourceError(
            f"source.path = {str(folder)!r} lacks PATIENT (as .csv, .csv.gz or .parquet); found: {seen}. "
            "Give the folder of the eICU release."
        )
    return tables


def check_files(files: Mapping[str, Any]) -> None:
    """Check the option ``files``.

    Raises:
        ConfigError: A table is unknown, or a file is no text.
    """
    for table, file in files.items():
        if table not in COLUMNS:
            raise ConfigError(
                f"source.files names the table {table!r}.{suggestion(table, COLUMNS)} Known: {', '.join(COLUMNS)}."
            )
        if not isinstance(file, str) or not file:
            raise ConfigError(f"source.files.{table} = {file!r}. Give the path of a file below source.path.")
