"""The search for databases from a path: there, above it if it lies within one, and below it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from icudl.errors import SourceError
from icudl.sources.locating import Locating, Location, Survey
from icudl.sources.unread import SIGNATURES, unread_database

_LEVELS_ABOVE = 2
_LEVELS_BELOW = 4
_MOST_FOLDERS = 2000


@dataclasses.dataclass(frozen=True)
class Found:
    """A database and its place.

    Attributes:
        location: The database.
        folder: The folder or file that holds it.
    """

    location: Location
    folder: Path


def search(path: Path, survey: Survey, sources: Sequence[Locating]) -> tuple[Found, ...]:
    """Look for databases at a path, in the two folders above it and in the folders below it.

    A database above counts if the path lies within it, so that ``.../mimiciv/3.1/icu`` finds that release. What can be
    read above or below goes before what is incomplete at the path itself.

    Args:
        path: A folder or a file.
        survey: How closely to look.
        sources: Classes of the sources that are asked.

    Returns:
        What was found nearest to the path: one or, below it, several, those that can be read first.

    Raises:
        SourceError: The path does not exist, or nothing known was found.
    """
    if not path.exists():
        raise SourceError(f"{str(path)!r} does not exist. Give the folder of the data.")
    path = path.resolve()
    here = _at(path, survey, sources)
    if any(found.location.is_readable for found in here):
        return tuple(found for found in here if found.location.is_readable)
    for folder in path.parents[:_LEVELS_ABOVE]:
        above = [found for found in _at(folder, survey, sources) if _holds(found, path)]
        if any(found.location.is_readable for found in above):
            return tuple(found for found in above if found.location.is_readable)
    below = [found for folder in _below(path, survey, sources) for found in folder]
    below.sort(key=lambda found: not found.location.is_readable)
    if any(found.location.is_readable for found in below):
        return tuple(below)
    if here or below:
        return tuple(here or below)
    raise SourceError(f"{str(path)!r} holds no database that is known. Looked for: {'; '.join(everything(sources))}.")


def everything(sources: Sequence[Locating]) -> list[str]:
    """Return what is looked for, a line for each database."""
    names = ", ".join(signature.database for signature in SIGNATURES)
    return [*(source.looked_for() for source in sources), f"by name only: {names}"]


def _at(path: Path, survey: Survey, sources: Sequence[Locating]) -> list[Found]:
    located = [location for source in sources if (location := source.locate(path, survey)) is not None]
    if not located and path.is_dir() and (unread := unread_database(path)) is not None:
        located = [unread]
    return [Found(location, path) for location in located]


def _holds(found: Found, path: Path) -> bool:
    files = [found.folder / table.file for table in found.location.tables]
    return any(path == file or path in file.parents for file in files)


def _below(path: Path, survey: Survey, sources: Sequence[Locating]) -> Iterator[list[Found]]:
    """Yield what the folders below a path hold, level by level; a folder that holds something is not looked into."""
    level, seen = [path], 0
    for _ in range(_LEVELS_BELOW):
        inner: list[Path] = []
        for folder in (folder for parent in level for folder in _folders(parent)):
            seen += 1
            if seen > _MOST_FOLDERS:
                return
            found = _at(folder, survey, sources)
            if found:
                yield found
            else:
                inner.append(folder)
        level = inner


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(
            entry for entry in path.iterdir() if entry.is_dir() and not entry.is_symlink() and entry.name[0] != "."
        )
    except OSError:
        return []
