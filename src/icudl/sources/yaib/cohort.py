"""The three files of a YAIB cohort, read as they are written."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from icudl.errors import SourceError
from icudl.files import hash_file
from icudl.sources.reading.listing import listed
from icudl.sources.reading.unreadable import UNREADABLE

FILES: tuple[str, ...] = ("dyn", "sta", "outc")
"""Hourly values, descriptors and outcomes."""

_MICROSECONDS_PER_HOUR = 3_600_000_000


@dataclasses.dataclass(frozen=True)
class Cohort:
    """The files of a cohort.

    Attributes:
        files: Path of each of ``FILES``.
    """

    files: dict[str, Path]

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return size and SHA-256 of each file.

        Raises:
            SourceError: A file cannot be read.
        """
        described = {}
        for name, path in self.files.items():
            with readable(path):
                described[name] = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
        return described

    def hours(self) -> pl.DataFrame:
        """Return dyn: stay_id and hour (Int64) and its numeric columns.

        Raises:
            SourceError: The file cannot be read, a column is missing or of another type, or an hour occurs twice.
        """
        path = self.files["dyn"]
        frame = _read(path)
        _require(path, frame, ("stay_id", "time"))
        kind = frame.schema["time"]
        if kind == pl.Duration:
            hour = pl.col("time").dt.total_microseconds() // _MICROSECONDS_PER_HOUR
        elif kind.is_numeric():
            hour = pl.col("time").floor()
        else:
            raise SourceError(f"{path.name} has times of type {kind}. Expected hours since ICU admission.")
        texts = [name for name, dtype in frame.schema.items() if name != "time" and not dtype.is_numeric()]
        if texts:
            raise SourceError(
                f"{path.name} has the column {texts[0]!r} of type {frame.schema[texts[0]]}; expected numbers."
            )
        table = frame.with_columns(hour=hour.cast(pl.Int64, strict=False)).drop("time")
        table = table.with_columns(pl.col("stay_id").cast(pl.Int64))
        twice = table.filter(pl.struct("stay_id", "hour").is_duplicated()).sort("stay_id", "hour")
        if len(twice):
            stay, at = twice.select("stay_id", "hour").row(0)
            raise SourceError(f"{path.name} has hour {at} of stay {stay} more than once. Expected one row an hour.")
        return table

    def descriptors(self) -> pl.DataFrame:
        """Return sta: stay_id and what there is of age, sex, height and weight.

        Raises:
            SourceError: The file cannot be read, or a stay occurs twice.
        """
        path = self.files["sta"]
        frame = _read(path)
        _require(path, frame, ("stay_id",))
        return _one_row_a_stay(path, frame)

    def outcomes(self) -> pl.DataFrame:
        """Return outc: stay_id and label (Boolean).

        Raises:
            SourceError: The file cannot be read, a stay occurs twice, or a label is neither 0 nor 1.
        """
        path = self.files["outc"]
        frame = _read(path)
        _require(path, frame, ("stay_id", "label"))
        if "time" in frame.columns and frame["stay_id"].is_duplicated().any():
            raise SourceError(
                f"{path.name} has a label at every hour (YAIB's tasks los, aki, sepsis), and a stay has one outcome "
                "here. Give a cohort with one label of 0 or 1 a stay, such as mortality24."
            )
        frame = _one_row_a_stay(path, frame.select("stay_id", "label"))
        odd = frame.filter(~pl.col("label").cast(pl.Float64, strict=False).is_in([0.0, 1.0]).fill_null(value=False))
        if len(odd):
            stay, label = odd.row(0)
            raise SourceError(
                f"{path.name}: stay {stay} has the label {label!r}, and {len(odd):,} labels in all are neither 0 nor "
                "1. Expected the outcome of a yes-or-no task, such as mortality24."
            )
        return frame.select("stay_id", label=pl.col("label").cast(pl.Float64) == 1.0)


def find_cohort(folder: Path) -> Cohort:
    """Return the cohort in a folder.

    Raises:
        SourceError: The folder or one of the files is missing.
    """
    found = files_in(folder)
    missing = [f"{name}.parquet" for name in FILES if name not in found]
    if missing:
        there = listed(folder) if folder.is_dir() else "no folder"
        raise SourceError(
            f"source.path = {str(folder)!r} lacks {', '.join(missing)}; found: {there}. Give the folder "
            "of one task and data set that YAIB-cohorts wrote, with dyn.parquet, sta.parquet and outc.parquet."
        )
    return Cohort(found)


def files_in(folder: Path) -> dict[str, Path]:
    """Return those of the three files that a folder holds, in the order of ``FILES``."""
    if not folder.is_dir():
        return {}
    entries = {path.name.lower(): path for path in folder.iterdir() if path.is_file()}
    return {name: entries[f"{name}.parquet"] for name in FILES if f"{name}.parquet" in entries}


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Translate any error of reading a file into one ``SourceError`` that names the file."""
    try:
        yield
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(
            f"{path.name} cannot be read ({reason}). Expected a Parquet file as YAIB-cohorts writes it; copy or make "
            "it again."
        ) from error


def _read(path: Path) -> pl.DataFrame:
    with readable(path):
        frame = pl.read_parquet(path, glob=False)
    if frame.is_empty():
        raise SourceError(f"{path.name} has no rows. Make the cohort again.")
    return frame


def _require(path: Path, frame: pl.DataFrame, columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in frame.columns:
            raise SourceError(f"{path.name} lacks the column {column!r}; it has {', '.join(frame.columns)}.")
    if not frame.schema["stay_id"].is_integer():
        raise SourceError(f"{path.name} has stay_id of type {frame.schema['stay_id']}. Expected whole numbers.")
    if frame["stay_id"].null_count():
        raise SourceError(f"{path.name} has {frame['stay_id'].null_count()} rows without stay_id. Every row needs one.")


def _one_row_a_stay(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    frame = frame.with_columns(pl.col("stay_id").cast(pl.Int64))
    twice = frame.filter(pl.col("stay_id").is_duplicated())["stay_id"]
    if len(twice):
        raise SourceError(f"{path.name} has stay {twice[0]} more than once. Expected one row a stay.")
    return frame
