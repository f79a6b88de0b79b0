"""What lies at a path or address: each source looks for its own database and says what it found.

A source that can tell joins by a method of its class: ``Locating`` for files, ``LocatingAddress`` for servers. It looks
at the one folder that it is given; ``icudl locate`` offers it the folders above and below as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from icudl.execution.context import Progress, SilentProgress


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocatedTable:
    """A table of the database that was found.

    Attributes:
        name: Its name, as the database's documentation writes it.
        file: Where it lies, relative to the folder that was found; its qualified name on a server.
        bytes: Size of the file, compressed as it lies there; None where unknown.
        rows: How many rows it has; None where they were not counted.
        expected_rows: How many rows the release has; None where the release is unknown.
    """

    name: str
    file: str
    bytes: int | None = None
    rows: int | None = None
    expected_rows: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class MissingTable:
    """A table that the source would read and that was not found.

    Attributes:
        name: Its name, as the database's documentation writes it.
        is_required: Whether nothing can be read without it.
        variables: Names of the variables that are read from no other table.
    """

    name: str
    is_required: bool
    variables: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Location:
    """A database that was found.

    Attributes:
        database: Its name, with the version as far as it is known (``"MIMIC-IV v3.1"``).
        source: Name of the source plug-in that reads it; "" where none does yet.
        settings: Options of the source besides its name that read these data: ``{"path": ...}`` or ``{"url": ...}``.
        tables: The tables that were found, in the order in which they are read.
        missing: The tables that the source would read as well.
        patients: How many patients there are; None where they were not counted.
        stays: How many ICU stays there are; None where they were not counted.
        notes: What a user has to know, in sentences: a version that is a guess, files that cannot be read.
    """

    database: str
    source: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tables: tuple[LocatedTable, ...] = ()
    missing: tuple[MissingTable, ...] = ()
    patients: int | None = None
    stays: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_readable(self) -> bool:
        """Whether a source reads it as it is."""
        return bool(self.source) and not any(table.is_required for table in self.missing)

    @property
    def bytes(self) -> int:
        """Size of all tables that were found, as far as it is known."""
        return sum(table.bytes or 0 for table in self.tables)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survey:
    """How closely to look.

    Attributes:
        counts_all: Whether to count the rows of large files too, which reads them whole.
        progress: Shows what is being counted.
    """

    counts_all: bool = False
    progress: Progress = dataclasses.field(default_factory=SilentProgress)


@runtime_checkable
class Locating(Protocol):
    """A source class that recognises its database among files; it is asked for by ``icudl locate``."""

    @classmethod
    def looked_for(cls) -> str:
        """Say in a few words what a folder of the database holds (``"MIMIC-IV: hosp/ and icu/ with ..."``)."""
        ...

    @classmethod
    def locate(cls, path: Path, survey: Survey) -> Location | None:
        """Look at a folder or file itself, not at what lies above or below.

        Damaged tables are no error here: they are named in the notes, and their rows stay uncounted.

        Returns:
            What was found; None where this is another database or none.
        """
        ...


@runtime_checkable
class LocatingAddress(Protocol):
    """A source class that recognises its database on a server; it is asked for by ``icudl locate``."""

    @classmethod
    def looked_for(cls) -> str:
        """Say in a few words what a server of the database holds."""
        ...

    @classmethod
    def locate_address(cls, url: str, survey: Survey) -> Location | None:
        """Look at a database server.

        Returns:
            What was found; None where the server holds another database or none.

        Raises:
            SourceError: The server cannot be reached.
        """
        ...
