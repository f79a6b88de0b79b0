"""The files of a MEDS data set: shards of events below ``data/``, descriptions in ``metadata/``."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from icudl.artifacts import read_json
from icudl.errors import SourceError, StoreError
from icudl.sources.meds.codes import is_one_of
from icudl.sources.reading.listing import listed
from icudl.sources.reading.unreadable import UNREADABLE

REQUIRED = ("subject_id", "time", "code", "numeric_value")
"""Columns that are needed. The standard lets a data set leave out the last; nothing was measured there."""

ID_COLUMNS = ("hadm_id", "icustay_id")
"""Columns that public ETLs add, with ids of the database that they read."""

_MICROSECONDS = 1_000_000
_BATCH_ROWS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of events.

    Attributes:
        name: Its path below the data set's folder.
        path: The file.
    """

    name: str
    path: Path

    def columns(self) -> list[str]:
        """Return the columns.

        Raises:
            SourceError: The file cannot be read, or lacks a column.
        """
        with self.readable():
            schema = pl.scan_parquet(self.path, glob=False).collect_schema()
            names = schema.names()
        missing = [column for column in REQUIRED if column not in names]
        if missing:
            raise SourceError(
                f"{self.name} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; it has "
                f"{', '.join(names)}. Give data in the layout of MEDS 0.3 or later."
            )
        time = schema["time"]
        if not isinstance(time, pl.Datetime) or time.time_zone is not None:
            raise SourceError(
                f"{self.name} has times of type {time}. Expected timestamps without a zone, as MEDS says."
            )
        return names

    def events(self, patterns: Collection[str]) -> pl.DataFrame:
        """Return the events whose code matches one of some patterns.

        Returns:
            subject_id, moment (whole seconds since 1970, null for static events), is_date (midnight), code, and the
            ``ID_COLUMNS`` (null where the file has none).

        Raises:
            SourceError: The file cannot be read.
        """
        names = self.columns()
        microsecond = pl.col("time").dt.epoch("us")
        with self.readable():
            return (
                self._scan()
                .filter(is_one_of(patterns))
                .select(
                    pl.col("subject_id").cast(pl.Int64),
                    "code",
                    *(
                        pl.col(name).cast(pl.Int64) if name in names else pl.lit(None, pl.Int64).alias(name)
                        for name in ID_COLUMNS
                    ),
                    moment=microsecond // _MICROSECONDS,
                    is_date=microsecond % (86_400 * _MICROSECONDS) == 0,
                )
                .collect()
            )

    def codes(self) -> pl.DataFrame:
        """Return each code and how many rows have it (code, rows).

        Raises:
            SourceError: The file cannot be read.
        """
        self.columns()
        with self.readable():
            counts = self._scan().group_by("code").agg(rows=pl.len().cast(pl.Int64))
            return counts.collect(engine="streaming")

    def values(self, codes: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield the rows of some codes in batches.

        Args:
            codes: code and item.

        Returns:
            owner (the subject), item, moment (whole seconds since 1970) and value.

        Raises:
            SourceError: The file cannot be read.
        """
        names = codes["code"].to_list()
        moment = pl.col("time").dt.epoch("us") // _MICROSECONDS
        rows = (
            self._scan()
            .filter(pl.col("code").is_in(names))
            .select("subject_id", "code", "numeric_value", moment=moment)
        )
        with self.readable():
            for batch in rows.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False, engine="streaming"):
                read = batch.with_columns(value=decimals(batch["numeric_value"]))
                yield read.join(codes, on="code").select(
                    "item", "moment", "value", owner=pl.col("subject_id").cast(pl.Int64)
                )

    def _scan(self) -> pl.LazyFrame:
        return pl.scan_parquet(self.path, glob=False).with_columns(pl.col("code").cast(pl.String))

    @contextlib.contextmanager
    def readable(self) -> Iterator[None]:
        """Translate any error of a reader into one ``SourceError`` that names the file."""
        try:
            yield
        except UNREADABLE as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise SourceError(f"{self.name} cannot be read ({reason}). Make or copy the file again.") from error


def decimals(values: pl.Series) -> pl.Series:
    """Return numbers as 64 bits, each the shortest decimal that it stands for.

    MEDS keeps 32 bits: 37.2 is 37.2000007629 there. The shortest text that reads as the same 32 bits is "37.2", so a
    number of up to six digits comes back as it was written.
    """
    if values.dtype != pl.Float32:
        return values.cast(pl.Float64)
    distinct = values.drop_nulls().unique()
    table = pl.DataFrame({"value": distinct, "exact": distinct.cast(pl.String).cast(pl.Float64)})
    return values.to_frame("value").join(table, on="value", how="left", maintain_order="left")["exact"]


def shards_of(folder: Path) -> tuple[Shard, ...]:
    """Return the files of events, in order of their paths.

    Raises:
        SourceError: The folder is missing or holds no events.
    """
    if not folder.is_dir():
        raise SourceError(
            f"source.path = {str(folder)!r} is not a folder. Give the folder that holds data/ and metadata/."
        )
    # Other systems put hidden files beside those that they copy; a writer may make a folder of parts for a file.
    found = sorted((folder / "data").rglob("*.parquet"))
    files = [path for path in found if path.is_file() and not path.name.startswith(".")]
    if not files:
        raise SourceError(
            f"source.path = {str(folder)!r} holds no data/**/*.parquet; found: {listed(folder)}. Give the folder "
            "of a MEDS data set, which holds data/ and metadata/."
        )
    return tuple(Shard(path.relative_to(folder).as_posix(), path) for path in files)


def description(folder: Path) -> dict[str, Any]:
    """Return ``metadata/dataset.json``; empty where it is missing or unreadable."""
    with contextlib.suppress(StoreError, OSError):
        content = read_json(folder / "metadata" / "dataset.json")
        if isinstance(content, dict):
            return content
    return {}


def listed_codes(folder: Path) -> frozenset[str]:
    """Return the codes of ``metadata/codes.parquet``; empty where it is missing or unreadable."""
    with contextlib.suppress(*UNREADABLE):
        return frozenset(pl.read_parquet(folder / "metadata" / "codes.parquet", columns=["code"])["code"].drop_nulls())
    return frozenset()
