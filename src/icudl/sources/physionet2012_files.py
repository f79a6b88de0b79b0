"""The files of the PhysioNet/CinC Challenge 2012: archives or folders of records, and their outcomes.

Archives are read as a stream and never unpacked, so nothing they name can be written anywhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import polars as pl

from icudl.errors import SourceError
from icudl.execution.base import ProgressTask

_SET = re.compile(r"set-([a-z0-9]+)(\.tar\.gz|\.tgz|\.tar)?", re.IGNORECASE)
_RECORD = re.compile(r"(\d{1,9})\.txt")
_HEADER = "Time,Parameter,Value"
_LARGEST_RECORD = 8 << 20  # bytes; the largest of the challenge has 20 KiB
_TICK = 500  # records between two reports of progress


@dataclasses.dataclass(frozen=True)
class RecordSet:
    """One set of the challenge.

    Attributes:
        name: ``"a"``, ``"b"``, ...
        path: Its archive, or its folder.
        outcomes: Its table of outcomes.
    """

    name: str
    path: Path
    outcomes: Path

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return size and SHA-256 of records and outcomes.

        Raises:
            SourceError: A file cannot be read.
        """
        with _readable(self.path):
            if self.path.is_file():
                records = {"bytes": self.path.stat().st_size, "sha256": _digest(self.path)}
            else:
                digest, size = hashlib.sha256(), 0
                for path in _record_files(self.path):
                    size += path.stat().st_size
                    digest.update(f"{path.name} {_digest(path)}\n".encode())
                records = {"bytes": size, "sha256": digest.hexdigest()}
        with _readable(self.outcomes):
            outcomes = {"bytes": self.outcomes.stat().st_size, "sha256": _digest(self.outcomes)}
        return {"records": records, "outcomes": outcomes}


def find_sets(path: Path) -> tuple[RecordSet, ...]:
    """Return the sets at a path, sorted by name.

    Args:
        path: A folder that holds ``set-a.tar.gz`` (or .tgz, .tar) or folders ``set-a``, any number of sets, with
            ``Outcomes-a.txt`` beside each; or one such archive or folder. Where a set is there as an archive and as
            a folder, the archive is read.

    Raises:
        SourceError: There is nothing of the kind, a set is there twice, or its outcomes are missing.
    """
    if not path.exists():
        raise SourceError(f"source.path = {str(path)!r} does not exist. Give the folder that holds set-a.tar.gz.")
    own = _SET.fullmatch(path.name)
    candidates = [path] if own and (path.is_file() or _record_files(path)) else sorted(_entries(path))
    found: dict[str, list[Path]] = {}
    for candidate in candidates:
        match = _SET.fullmatch(candidate.name)
        if match and (candidate.is_dir() if match[2] is None else candidate.is_file()):
            found.setdefault(match[1].lower(), []).append(candidate)
    if not found:
        seen = ", ".join(sorted(entry.name for entry in _entries(path))[:20]) or "nothing"
        raise SourceError(
            f"source.path = {str(path)!r} holds no set of the challenge; found: {seen}. "
            "Expected set-a.tar.gz or a folder set-a, and Outcomes-a.txt beside it."
        )
    return tuple(RecordSet(name, _choose(found[name]), _outcomes(name, _choose(found[name]))) for name in sorted(found))


def _entries(path: Path) -> list[Path]:
    return list(path.iterdir()) if path.is_dir() else []


def _choose(paths: list[Path]) -> Path:
    archives = [path for path in paths if path.is_file()]
    if len(archives) > 1 or (not archives and len(paths) > 1):
        names = ", ".join(path.name for path in paths)
        raise SourceError(f"One set is there {len(paths)} times: {names}. Keep one of them.")
    return archives[0] if archives else paths[0]


def _outcomes(name: str, records: Path) -> Path:
    places = [records.parent, records] if records.is_dir() else [records.parent]
    for place in places:
        for entry in sorted(place.iterdir()):
            if entry.name.lower() == f"outcomes-{name}.txt" and entry.is_file():
                return entry
    raise SourceError(
        f"Outcomes-{name}.txt is missing beside {records.name}: without it no record has a label. "
        f"Put it into {str(records.parent)!r}, or remove {records.name}."
    )


def _record_files(folder: Path) -> list[Path]:
    return sorted(path for path in _entries(folder) if _RECORD.fullmatch(path.name))


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, tarfile.TarError, zlib.error, UnicodeError) as error:
        raise SourceError(
            f"{path.name} cannot be read ({str(error) or type(error).__name__}). Expected the file as PhysioNet ships "
            "it; download it again if it is truncated or damaged."
        ) from error


def read_lines(record_set: RecordSet, bar: ProgressTask) -> tuple[pl.DataFrame, pl.Series]:
    """Read all records of a set.

    Args:
        record_set: The set.
        bar: Told of each record read.

    Returns:
        The lines as record, time, parameter and value, all but the first as they are written (empty fields null), in
        the order of the files; and the ids of all records, those without any line included.

    Raises:
        SourceError: The archive is damaged or names a place outside itself, a record is there twice, is no text, or
            has other columns than Time, Parameter, Value.
    """
    bodies: list[bytes] = []
    records: list[int] = []
    lines: list[int] = []
    with _readable(record_set.path):
        for record, content in _contents(record_set.path):
            body = _body(record_set.path.name, record, content)
            records.append(record)
            lines.append(body.count(b"\n"))
            bodies.append(body)
            if len(records) % _TICK == 0:
                bar.advance(_TICK)
    if not records:
        raise SourceError(f"{record_set.path.name} holds no record. Expected files named RECORDID.txt; download again.")
    bar.advance(len(records) % _TICK)
    ids = pl.Series("record", records, pl.Int64)
    repeated = ids.filter(ids.is_duplicated())
    if len(repeated):
        raise SourceError(f"{record_set.path.name} holds record {repeated[0]} twice. Expected one file per record.")
    return _parse(b"".join(bodies)).with_columns(record=pl.Series(np.repeat(ids.to_numpy(), lines))), ids


def _contents(path: Path) -> Iterator[tuple[int, bytes]]:
    if path.is_dir():
        for file in _record_files(path):
            yield int(file.stem), file.read_bytes()
        return
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            _check_member(path.name, member)
            match = _RECORD.fullmatch(PurePosixPath(member.name).name)
            handle = archive.extractfile(member) if match else None
            if match and handle:
                yield int(match[1]), handle.read()


def _check_member(archive: str, member: tarfile.TarInfo) -> None:
    inside = PurePosixPath(member.name)
    if inside.is_absolute() or ".." in inside.parts:
        raise SourceError(
            f"{archive} holds {member.name!r}, a path outside the archive. No archive of the challenge does: "
            "do not use this file, download it again from physionet.org."
        )
    if not (member.isfile() or member.isdir()):
        raise SourceError(f"{archive} holds {member.name!r}, which is a link or a device. Expected plain files only.")
    if member.size > _LARGEST_RECORD:
        raise SourceError(f"{archive} holds {member.name!r} of {member.size} bytes. Expected records of a few KiB.")


def _body(source: str, record: int, content: bytes) -> bytes:
    """Return the lines after the header, each ended by one newline, after checking their shape."""
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"{source}: record {record} is not UTF-8 text ({error}). Download the set again.") from error
    first, _, body = content.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    header = first.decode("utf-8", "replace").strip()
    if header != _HEADER:
        raise SourceError(f"{source}: record {record} has the columns {header[:80]!r}. Expected {_HEADER!r}.")
    body = body.strip(b"\n")
    if not body:
        return b""
    if b"\n\n" in body:
        body = re.sub(rb"\n{2,}", b"\n", body)
    body += b"\n"
    if body.count(b",") != 2 * body.count(b"\n") or b'"' in body:
        bad = next((line for line in body.split(b"\n") if line.count(b",") != 2 or b'"' in line), b"")
        raise SourceError(
            f"{source}: record {record} has the line {bad.decode('utf-8', 'replace')[:80]!r}. "
            f"Expected three fields: {_HEADER}."
        )
    return body


def _parse(text: bytes) -> pl.DataFrame:
    schema = {"time": pl.String, "parameter": pl.String, "value": pl.String}
    if not text:
        return pl.DataFrame(schema=schema)
    return pl.read_csv(io.BytesIO(text), has_header=False, schema=schema, quote_char=None)


def read_outcomes(record_set: RecordSet) -> pl.DataFrame:
    """Read record and died from the outcomes of a set.

    Raises:
        SourceError: A column is missing, a record is there twice, or an outcome is neither 0 nor 1.
    """
    path = record_set.outcomes
    with _readable(path):
        text = path.read_bytes()
        text.decode("utf-8")
    try:
        table = pl.read_csv(io.BytesIO(text), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{path.name} is no table ({error}). Expected the file as PhysioNet ships it.") from error
    table = table.rename({column: column.strip() for column in table.columns})
    for column in ("RecordID", "In-hospital_death"):
        if column not in table.columns:
            raise SourceError(f"{path.name} lacks the column {column!r}; it has {', '.join(table.columns)}.")
    frame = table.select(
        pl.col("RecordID").str.strip_chars().cast(pl.Int64, strict=False).alias("record"),
        pl.col("In-hospital_death").str.strip_chars().alias("outcome"),
    )
    bad = frame.filter(pl.col("record").is_null() | ~pl.col("outcome").is_in(["0", "1"]).fill_null(value=False))
    if not bad.is_empty():
        raise SourceError(
            f"{path.name}: record {bad['record'][0]} has In-hospital_death = {bad['outcome'][0]!r}. "
            "Expected 0 or 1 for every record."
        )
    repeated = frame.filter(pl.col("record").is_duplicated())["record"]
    if not repeated.is_empty():
        raise SourceError(f"{path.name} holds record {repeated[0]} more than once. Expected one line per record.")
    return frame.select("record", died=pl.col("outcome") == "1")
