"""What one MIMIC database calls its tables and columns, where its tables lie, and which releases are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import polars as pl

from icudl.sources.rules import TABLES

_LABS = (50_000, 60_000)
EXPECTED_ITEM = f"an item id, below {', '.join(TABLES)} or without a table"

STORED = "storetime"
"""Column of the time at which a row was stored."""

Releases = Mapping[str, Mapping[str, int]]
"""Rows by table, by name of the release."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """The shape of one database.

    Attributes:
        database: Its name (``"MIMIC-III"``).
        edition: Whose shape this is, for messages (``"MIMIC-III v1.4"``).
        stay: Column with the id of an ICU stay.
        columns: Columns of each table that are read, by table; all others are ignored. A table of events has patient,
            item, time and value, and maybe a flag of an error.
        required: Tables without which nothing is read.
        folders: Folders below the one that a user gives in which a table may lie, the usual one first; empty for a
            database whose tables lie side by side.
        is_upper: Whether its documentation writes names of tables and columns in capitals.
        releases: Rows of the tables of each known release.
        stored: Event tables that tell when a row was stored, in storetime.
        follow_up_days: For how many days after a patient's last discharge from hospital dod tells of a death.
    """

    database: str
    edition: str
    stay: str
    columns: Mapping[str, Mapping[str, type[pl.DataType]]]
    required: tuple[str, ...]
    folders: Mapping[str, tuple[str, ...]]
    is_upper: bool
    releases: Releases
    stored: tuple[str, ...]
    follow_up_days: float

    def by(self, known: str) -> Layout:
        """Return the layout that is read where values count as known when they were charted or stored (``base.BY``)."""
        if known == "charted":
            return self
        columns = dict(self.columns)
        for name in self.stored:
            columns[name] = {**columns[name], STORED: pl.Datetime}
        return dataclasses.replace(self, columns=columns)

    def silent(self, tables: Sequence[str]) -> tuple[str, ...]:
        """Return the names, as they are documented, of those event tables that do not tell when a row was stored."""
        return tuple(self.shown(table) for table in tables if table not in self.stored)

    def shown(self, name: str) -> str:
        """Return a table or column as the database's documentation writes it."""
        return name.upper() if self.is_upper else name

    def shown_place(self, table: str) -> str:
        """Return a table with the folder that it usually lies in."""
        return "/".join([*self.folders.get(table, ())[:1], self.shown(table)])

    def place(self, table: str, entry: object) -> tuple[str, int] | None:
        """Return the event table and item of an id that a configuration names, for ``with_own_items``.

        Ids of both databases are those of laboratory tests from 50000 on; without a table, all others are charted.
        """
        if type(entry) is not int or not 0 <= entry < 2**31 or table not in {"", *TABLES}:
            return None
        return table or ("labevents" if _LABS[0] <= entry < _LABS[1] else "chartevents"), entry

    @property
    def subfolders(self) -> tuple[str, ...]:
        """All folders in which tables may lie."""
        return tuple(dict.fromkeys(folder for folders in self.folders.values() for folder in folders))

    def times(self, table: str) -> tuple[str, ...]:
        """Return the columns of a table that hold times."""
        return tuple(name for name, kind in self.columns[table].items() if kind is pl.Datetime)
