"""Which release tables are of, judged by their rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from icudl.sources.mimic.layout import Layout


@dataclasses.dataclass(frozen=True)
class Departure:
    """A table that has more or fewer rows than the release has.

    Attributes:
        table: Its name.
        rows: How many rows it has.
        expected: How many the release has.
    """

    table: str
    rows: int
    expected: int

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"{self.table} has {self.rows} rows instead of {self.expected}"


def releases_of(rows: Mapping[str, int], layout: Layout) -> tuple[str, ...]:
    """Return the releases that tables may be of, judged by the number of patients; none where it is of no known one.

    Of several releases with the same patients, they are those with whose rows most tables agree, the oldest first.

    Args:
        rows: Rows by table, the patients among them.
        layout: The database.
    """
    agreeing = {
        name: sum(known.get(table) == number for table, number in rows.items())
        for name, known in layout.releases.items()
        if known["patients"] == rows["patients"]
    }
    return tuple(name for name, tables in agreeing.items() if tables == max(agreeing.values()))


def release_of(rows: Mapping[str, int], layout: Layout) -> str:
    """Return the first of ``releases_of``, or ""."""
    return next(iter(releases_of(rows, layout)), "")


def departures(rows: Mapping[str, int], layout: Layout, release: str) -> list[Departure]:
    """Return the tables that do not have the rows of a release; none for an unknown one.

    Args:
        rows: Rows by table.
        layout: The database.
        release: Name of the release.
    """
    expected = layout.releases.get(release, {})
    return [
        Departure(layout.shown(name), rows[name], expected[name])
        for name in rows
        if rows[name] != expected.get(name, rows[name])
    ]
