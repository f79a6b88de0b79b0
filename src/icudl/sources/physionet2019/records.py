"""The records of the PhysioNet/CinC Challenge 2019: archives or folders of .psv files, read as they are written."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from icudl.errors import SourceError
from icudl.execution.context import ProgressTask
from icudl.files import hash_file
from icudl.sources.physionet2012.files import contents, readable, record_files
from icudl.sources.physionet2019.columns import HEADER, IONISED, LARGEST_IONISED
from icudl.sources.reading.listing import listed

RECORD = re.compile(r"p(\d{6})\.psv")
_SET = re.compile(r"training_set([a-z])(\.tar\.gz|\.tgz|\.tar)?", re.IGNORECASE)
_TICK = 500  # records between two reports of progress


@dataclasses.dataclass(frozen=True)
class RecordSet:
    """One set of the challenge.

    Attributes:
        name: ``"a"`` or ``"b"``; "" for a folder of records without a name of the challenge.
        path: Its archive, or its folder.
    """

    name: str
    path: Path

    def describe(self) -> dict[str, Any]:
        """Return size and SHA-256 of the records.

        Raises:
            SourceError: A file cannot be read.
        """
        with readable(self.path):
            if self.path.is_file():
                return {"bytes": self.path.stat().st_size, "sha256": hash_file(self.path)}
            digest, size = hashlib.sha256(), 0
            for file in record_files(self.path, RECORD):
                size += file.stat().st_size
                digest.update(f"{file.name} {hash_file(file)}\n".encode())
        return {"bytes": size, "sha256": digest.hexdigest()}


def find_sets(path: Path) -> tuple[RecordSet, ...]:
    """Return the sets at a path, sorted by name.

    Args:
        path: A folder that holds ``training_setA.tar.gz`` (or .tgz, .tar) or folders ``training_setA``; or one of
            these; or a folder of records.

    Raises:
        SourceError: The path holds no set, or a set exists twice.
    """
    if not path.exists():
        raise SourceError(
            f"source.path = {str(path)!r} does not exist. Give the folder that holds training_setA.tar.gz."
        )
    own = _SET.fullmatch(path.name)
    if record_files(path, RECORD):
        return (RecordSet(own[1].lower() if own else "", path),)
    entries = sorted(path.iterdir()) if path.is_dir() else [path]
    found: dict[str, Path] = {}
    for entry in entries:
        match = _SET.fullmatch(entry.name)
        if not match or (entry.is_dir() if match[2] else not record_files(entry, RECORD)):
            continue
        name = match[1].lower()
        if name in found:
            raise SourceError(f"One set lies there twice: {found[name].name} and {entry.name}. Keep one of them.")
        found[name] = entry
    if not found:
        raise SourceError(
            f"source.path = {str(path)!r} holds no set of the challenge; found: {listed(path)}. Expected "
            "training_setA.tar.gz, a folder training_setA, or a folder with records p000001.psv."
        )
    return tuple(RecordSet(name, found[name]) for name in sorted(found))


def read_rows(record_set: RecordSet, bar: ProgressTask) -> pl.DataFrame:
    """Read all records of a set.

    Args:
        record_set: The set.
        bar: Progress, one unit for each record.

    Returns:
        stay_id, hour and the columns of the records as numbers, null for NaN. Calcium is parted into ``IONISED`` and
        the total.

    Raises:
        SourceError: The archive is damaged, a record has other columns, a value is no number, or an hour occurs twice.
    """
    bodies: list[bytes] = []
    records: list[int] = []
    lines: list[int] = []
    expected, width = "|".join(HEADER), len(HEADER) - 1
    with readable(record_set.path):
        for record, content in contents(record_set.path, RECORD):
            head, _, body = content.replace(b"\r\n", b"\n").partition(b"\n")
            if head.decode("utf-8", "replace").strip() != expected:
                raise SourceError(
                    f"{record_set.path.name}: record p{record:06d} has other columns than those of the challenge: "
                    f"{head[:80].decode('utf-8', 'replace')!r}. Download the set again."
                )
            body = body.strip(b"\n") + b"\n"
            if body.count(b"|") != body.strip(b"\n").count(b"\n") * width + (width if body.strip(b"\n") else 0):
                raise SourceError(
                    f"{record_set.path.name}: record p{record:06d} has a row that is not whole. Download the set again."
                )
            records.append(record)
            lines.append(body.count(b"\n") if body != b"\n" else 0)
            bodies.append(body if body != b"\n" else b"")
            if len(records) % _TICK == 0:
                bar.advance(_TICK)
    bar.advance(len(records) % _TICK)
    ids = pl.Series("stay_id", records, pl.Int64)
    if not records:
        raise SourceError(f"{record_set.path.name} holds no record. Expected files named p000001.psv; download again.")
    if ids.is_duplicated().any():
        raise SourceError(f"{record_set.path.name} holds record p{ids.filter(ids.is_duplicated())[0]:06d} twice.")
    try:
        frame = pl.read_csv(
            io.BytesIO(b"".join(bodies)),
            has_header=False,
            separator="|",
            schema=dict.fromkeys(HEADER, pl.Float64),
            null_values=["NaN"],
        )
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split("You might want to try")[0].split())[:200]
        raise SourceError(
            f"{record_set.path.name} holds a value that is no number ({reason}). Download it again."
        ) from error
    calcium = pl.col("Calcium")
    table = frame.with_columns(
        stay_id=pl.Series(np.repeat(ids.to_numpy(), lines)),
        hour=(pl.col("ICULOS") - 1).cast(pl.Int64, strict=False),
        **{IONISED: pl.when(calcium < LARGEST_IONISED).then(calcium)},
        Calcium=pl.when(calcium >= LARGEST_IONISED).then(calcium),
    )
    twice = table.filter(pl.struct("stay_id", "hour").is_duplicated())
    if len(twice):
        stay, hour = twice.select("stay_id", "hour").row(0)
        raise SourceError(
            f"{record_set.path.name}: record p{stay:06d} has hour {hour} more than once. Download it again."
        )
    return table
