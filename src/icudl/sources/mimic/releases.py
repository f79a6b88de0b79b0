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


def release_of(rows: Mapping[str, int], layout: Layout) -> str:
    """Return the release that tables are of, judged by the number of patients; "" for none that is known.

    Of several releases with the same patients, it is the one with whose rows most tables agree.

    Args:
        rows: Rows by table.
        layout: The database.
    """
    same = [name for name, known in layout.releases.items() if known["patients"] == rows["patients"]]

    def agreeing(name: str) -> int:
        return sum(layout.releases[name].get(table) == number for table, number in rows.items())

    return max(same, key=agreeing, default="")


def departures(rows: Mapping[str, int], layout: Layout) -> list[Departure]:
    """Return the tables that do not have the rows of their release; none where no release is known.

    Args:
        rows: Rows by table.
        layout: The database.
    """
    expected = layout.releases.get(release_of(rows, layout), {})
    return [
        Departure(layout.shown(name), rows[name], expected[name])
        for name in rows
        if rows[name] != expected.get(name, rows[name])
    ]
