"""The files of the PhysioNet/CinC Challenge 2012: archives or folders of records, and their outcomes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from icudl.errors import SourceError

_SET = re.compile(r"set-([a-z0-9]+)(\.tar\.gz|\.tgz|\.tar)?", re.IGNORECASE)
_RECORD = re.compile(r"(\d{1,9})\.txt")
_LARGEST_RECORD = 8 << 20  # bytes; the largest of the challenge has 20 KiB


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
        with readable(self.path):
            if self.path.is_file():
                records = {"bytes": self.path.stat().st_size, "sha256": _digest(self.path)}
            else:
                digest, size = hashlib.sha256(), 0
                for path in record_files(self.path):
                    size += path.stat().st_size
                    digest.update(f"{path.name} {_digest(path)}\n".encode())
                records = {"bytes": size, "sha256": digest.hexdigest()}
        with readable(self.outcomes):
            outcomes = {"bytes": self.outcomes.stat().st_size, "sha256": _digest(self.outcomes)}
        return {"records": records, "outcomes": outcomes}


def find_sets(path: Path) -> tuple[RecordSet, ...]:
    """Return the sets at a path, sorted by name.

    Args:
        path: A folder that holds ``set-a.tar.gz`` (or .tgz, .tar) or folders ``set-a``, any number of sets, with
            ``Outcomes-a.txt`` beside each; or one such archive or folder. Where a set exists as an archive and as a
            folder, both must hold the same records; the archive is read.

    Raises:
        SourceError: The path holds no set, a set exists twice with different records, or its outcomes are missing.
    """
    if not path.exists():
        raise SourceError(f"source.path = {str(path)!r} does not exist. Give the folder that holds set-a.tar.gz.")
    own = _SET.fullmatch(path.name)
    candidates = [path] if own and (path.is_file() or record_files(path)) else sorted(_entries(path))
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
    chosen = {name: _choose(found[name]) for name in sorted(found)}
    return tuple(RecordSet(name, records, _outcomes(name, records)) for name, records in chosen.items())


def holds_sets(path: Path) -> bool:
    """Tell whether a path is a set of the challenge, or a folder that holds one; its records are not looked at."""
    candidates = [path, *_entries(path)] if path.exists() else []
    return any(_SET.fullmatch(candidate.name) for candidate in candidates)


def _entries(path: Path) -> list[Path]:
    return list(path.iterdir()) if path.is_dir() else []


def _choose(paths: list[Path]) -> Path:
    archives = [path for path in paths if path.is_file()]
    if len(archives) > 1 or (not archives and len(paths) > 1):
        names = ", ".join(path.name for path in paths)
        raise SourceError(f"One set has {len(paths)} archives or folders: {names}. Keep one of them.")
    folders = [path for path in paths if path.is_dir()]
    for folder in folders if archives else []:
        _check_same(archives[0], folder)
    return archives[0] if archives else paths[0]


def _check_same(archive: Path, folder: Path) -> None:
    with readable(archive):
        packed = {record: hashlib.sha256(content).digest() for record, content in contents(archive)}
    with readable(folder):
        unpacked = {record: hashlib.sha256(content).digest() for record, content in contents(folder)}
    records = sorted(set(packed) | set(unpacked))
    differing = [record for record in records if packed.get(record) != unpacked.get(record)]
    if unpacked and differing:
        raise SourceError(
            f"{archive.name} and the folder {folder.name} beside it differ in {len(differing)} of {len(records)} "
            f"records, the first {differing[0]}. Keep the one to be read."
        )


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


def record_files(folder: Path, record: re.Pattern[str] = _RECORD) -> list[Path]:
    """Return the files of records in a folder, sorted; an empty list if the path is not a folder."""
    return sorted(path for path in _entries(folder) if record.fullmatch(path.name))


def contents(path: Path, record: re.Pattern[str] = _RECORD) -> Iterator[tuple[int, bytes]]:
    """Yield the id and the bytes of each record of an archive or a folder.

    An archive is read as a stream and never unpacked, so none of its members is written to the disk.

    Args:
        path: The archive or folder.
        record: Name of the file of a record; its first group is the id.

    Raises:
        SourceError: The archive holds a link, a path outside itself, or a file too large to be a record.
        OSError, tarfile.TarError, EOFError, zlib.error: The archive or folder cannot be read; ``readable`` translates
            these errors.
    """
    if path.is_dir():
        for file in record_files(path, record):
            yield _id_in(record, file.name), file.read_bytes()
        return
    with _opened(path) as archive:
        for member in archive:
            _check_member(path.name, member)
            name = PurePosixPath(member.name).name
            handle = archive.extractfile(member) if record.fullmatch(name) else None
            if handle:
                yield _id_in(record, name), handle.read()


def _id_in(record: re.Pattern[str], name: str) -> int:
    match = record.fullmatch(name)
    return int(match[1]) if match else -1


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r|*")
    except TypeError as error:  # how tarfile says that a gzip header ends too soon
        raise tarfile.ReadError("truncated header") from error


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


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Translate any error of reading a file into one ``SourceError`` that names the file."""
    try:
        yield
    except (OSError, EOFError, tarfile.TarError, zlib.error, UnicodeError) as error:
        raise SourceError(
            f"{path.name} cannot be read ({str(error) or type(error).__name__}). Expected the file as PhysioNet ships "
            "it; download it again if it is truncated or damaged."
        ) from error
