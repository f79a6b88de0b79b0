"""Writes the synthetic hospital to disk: block by block, in any order, in constant memory, resumable.

Every block of patients becomes one small folder of table parts, moved into place when it is whole. When all are there,
the parts are joined in order: gzip members and CSV texts by concatenation, Parquet by a streaming rewrite. What is
joined does not depend on who made the parts and when, so neither do the files. A hospital is finished when its parts
have been deleted. The file ``synthetic.json`` describes the hospital. A folder with other contents, or with the
description of another hospital, is never written into.
"""

from __future__ import annotations

import dataclasses
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from icudl.artifacts import read_json, write_json
from icudl.errors import ConfigError
from icudl.execution.base import Executor, Tick
from icudl.execution.context import Progress
from icudl.execution.serial import SerialExecutor
from icudl.files import remove_folder, write_atomically, write_folder_atomically
from icudl.sources.synthetic.charting import chart_events
from icudl.sources.synthetic.course import BLOCK_PATIENTS, GENERATOR_VERSION
from icudl.sources.synthetic.laboratory import lab_events
from icudl.sources.synthetic.layouts import LAYOUTS
from icudl.sources.synthetic.patients import make_block
from icudl.sources.synthetic.records import (
    admissions_table,
    chart_items,
    icustays_table,
    lab_items,
    patients_table,
)

FORMATS = ("csv.gz", "csv", "parquet")
LAB_NOISE_SHARE = 0.27
"""Unread rows of LABEVENTS for each unread row of CHARTEVENTS, relative to the rows that are read (as in MIMIC-III)."""

MIMIC3 = "mimic3"
"""The layout in which the hospital is made; those of ``layouts`` are made of it."""

PATIENT_TABLES = ("PATIENTS", "ADMISSIONS", "ICUSTAYS", "CHARTEVENTS", "LABEVENTS")
"""Tables with rows of patients; the dictionaries of items come besides."""

_PARTS = ".parts"
_MARK = "synthetic.json"
_WORTH_WORKERS = 20_000
"""Size from which worker processes pay off: rows of CHARTEVENTS in units of those of one patient without noise."""

_GZIP_LEVEL = 1


@dataclasses.dataclass(frozen=True)
class Hospital:
    """The arguments that determine the files, and their folder."""

    folder: Path
    patients: int
    seed: int
    noise_rows: float
    file_format: str
    layout: str = "mimic3"

    @property
    def n_blocks(self) -> int:
        """Number of blocks of patients."""
        return len(range(0, self.patients, BLOCK_PATIENTS))

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the bytes of the parts."""
        # A hospital in MIMIC-III's layout names none.
        layout = {} if self.layout == MIMIC3 else {"layout": self.layout}
        return {
            "generator": "icudl synthetic hospital",
            "generator_version": GENERATOR_VERSION,
            "patients": self.patients,
            "seed": self.seed,
            "noise_rows": self.noise_rows,
            "file_format": self.file_format,
        } | layout

    def part(self, block: int) -> Path:
        """Folder of the parts of one block."""
        return self.folder / _PARTS / f"{block:07d}"

    def table(self, name: str) -> Path:
        """File of a whole table."""
        return self.folder / f"{name}.{self.file_format}"

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables with rows of patients."""
        return PATIENT_TABLES if self.layout == MIMIC3 else LAYOUTS[self.layout].tables


def block_tables(hospital: Hospital, number: int) -> dict[str, pl.DataFrame]:
    """Make the rows of one block: table name to frame, with the columns of the layout."""
    block = make_block(hospital.seed, number, hospital.patients)
    texts_only = hospital.layout == MIMIC3 and hospital.file_format != "parquet"
    noise = hospital.noise_rows
    frames = {
        "PATIENTS": patients_table(block),
        "ADMISSIONS": admissions_table(block, hospital.seed),
        "ICUSTAYS": icustays_table(block, hospital.seed),
        "CHARTEVENTS": chart_events(block, hospital.seed, noise, texts_only=texts_only),
        "LABEVENTS": lab_events(block, hospital.seed, noise * LAB_NOISE_SHARE, texts_only=texts_only),
    }
    # Interleaved, so that identifiers of rows are unique without knowing how many rows the other blocks have.
    numbered = {
        name: frame.select(
            (pl.int_range(frame.height, dtype=pl.Int64) * hospital.n_blocks + number + 1).alias("ROW_ID"), pl.all()
        )
        for name, frame in frames.items()
    }
    return numbered if hospital.layout == MIMIC3 else LAYOUTS[hospital.layout].frames(numbered)


def write_block(hospital: Hospital, number: int, tick: Tick) -> None:
    """Write the parts of one block unless they exist; this is a job of an executor."""
    place = hospital.part(number)

    def fill(folder: Path) -> None:
        for name, frame in block_tables(hospital, number).items():
            write_frame(folder / _part_name(name), frame, hospital.file_format, header=number == 0)

    if not place.is_dir():
        write_folder_atomically(place, fill)
    tick(min(BLOCK_PATIENTS, hospital.patients - number * BLOCK_PATIENTS))


def _part_name(table: str) -> str:
    return table.replace("/", ".")


def write_frame(path: Path, frame: pl.DataFrame, file_format: str, *, header: bool) -> None:
    """Write a table, or a part of one, in a file format (``FORMATS``); a part that is not the first has no header."""
    if file_format == "parquet":
        frame.write_parquet(path, compression="zstd", compression_level=1)
        return
    with path.open("wb") as handle:
        frame.write_csv(
            handle,
            include_header=header,
            datetime_format="%Y-%m-%d %H:%M:%S",
            compression="gzip" if file_format == "csv.gz" else "uncompressed",
            compression_level=_GZIP_LEVEL if file_format == "csv.gz" else None,
        )


def write_tables(hospital: Hospital, executor: Executor, progress: Progress) -> None:
    """Write all tables of a hospital; finished parts of an interrupted call, and a finished hospital, are kept.

    Raises:
        ConfigError: The folder holds files of something else.
    """
    _prepare(hospital)
    if not (hospital.folder / _PARTS).is_dir():
        return
    if hospital.patients * (1.0 + hospital.noise_rows) < _WORTH_WORKERS:
        executor = SerialExecutor()
    if hospital.layout == MIMIC3:
        _write_dictionaries(hospital)
    numbers = list(range(hospital.n_blocks))
    with progress.task("Writing the synthetic hospital", total=hospital.patients, unit="patients") as bar:
        executor.map(write_block, numbers, shared=hospital, tick=bar.advance)
    with progress.task("Joining the tables", total=len(hospital.tables), unit="tables") as bar:
        for name in hospital.tables:
            parts = [hospital.part(number) / _part_name(name) for number in numbers]
            _join(parts, hospital.table(name), hospital.file_format)
            bar.advance(1)
    if hospital.layout != MIMIC3:
        LAYOUTS[hospital.layout].finish(hospital.folder, hospital.file_format)
    # In one step: after a kill, a folder with some of its files would be taken for finished parts.
    remove_folder(hospital.folder / _PARTS)


def _prepare(hospital: Hospital) -> None:
    """Make the folder ready for the parts; the finished ones of an interrupted call for the same hospital stay."""
    parts, mark = hospital.folder / _PARTS, hospital.folder / _MARK
    if mark.is_file():
        found = read_json(mark)
        if found != hospital.identity:
            raise ConfigError(
                f"{hospital.folder} holds another synthetic hospital ({found}); asked for was {hospital.identity}. "
                "Choose an empty folder, or remove that one."
            )
        for stray in parts.glob(".*"):
            shutil.rmtree(stray, ignore_errors=True)
        for unfinished in hospital.folder.rglob(".*.partial"):
            if unfinished.is_dir():
                remove_folder(unfinished)
            else:
                unfinished.unlink()
        return
    content = set(hospital.folder.iterdir()) if hospital.folder.is_dir() else set()
    if content - {parts, *hospital.folder.glob(f".{_MARK}.*.partial")}:
        raise ConfigError(
            f"{hospital.folder} is not empty and holds no synthetic hospital: nothing is written over. "
            "Choose an empty or a new folder."
        )
    parts.mkdir(parents=True, exist_ok=True)
    write_atomically(mark, lambda path: write_json(path, hospital.identity))


def _write_dictionaries(hospital: Hospital) -> None:
    for name, frame in (("D_ITEMS", chart_items()), ("D_LABITEMS", lab_items())):
        write = partial(write_frame, frame=frame, file_format=hospital.file_format, header=True)
        write_atomically(hospital.table(name), write)


def _join(parts: list[Path], table: Path, file_format: str) -> None:
    write_atomically(table, partial(_rewrite if file_format == "parquet" else _concatenate, parts))


def _rewrite(parts: list[Path], path: Path) -> None:
    pl.scan_parquet(parts).sink_parquet(path, compression="zstd", compression_level=1, maintain_order=True)


def _concatenate(parts: list[Path], path: Path) -> None:
    with path.open("wb") as whole:
        for part in parts:
            with part.open("rb") as handle:
                shutil.copyfileobj(handle, whole, 1 << 20)
