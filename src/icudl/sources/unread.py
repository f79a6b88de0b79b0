"""Databases that are recognised by the names of their files and that no source reads yet."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatch
from pathlib import Path

from icudl.sources.locating import Location


@dataclasses.dataclass(frozen=True)
class Signature:
    """The names by which a database is recognised.

    Attributes:
        database: Its name.
        marks: Patterns of lower-case names of files and folders; of each group at least one must match.
    """

    database: str
    marks: tuple[tuple[str, ...], ...]


SIGNATURES: tuple[Signature, ...] = (
    Signature("AmsterdamUMCdb", (("numericitems.*",), ("admissions.*", "listitems.*"))),
    Signature(
        "HiRID",
        (
            ("general_table.csv", "observation_tables*", "raw_stage*", "merged_stage*", "imputed_stage*"),
            ("general_table.csv", "hirid_variable_reference*", "pharma_records*", "reference_data*"),
        ),
    ),
)


def unread_database(folder: Path) -> Location | None:
    """Return the database that the names in a folder are those of; None for none of ``SIGNATURES``."""
    names = _names(folder)
    for signature in SIGNATURES:
        if all(any(fnmatch(name, mark) for name in names for mark in group) for group in signature.marks):
            return Location(
                database=signature.database, notes=("Recognised by the names of its files; no source reads it yet.",)
            )
    return None


def _names(folder: Path) -> list[str]:
    try:
        return [path.name.lower() for path in folder.iterdir()]
    except OSError:
        return []
