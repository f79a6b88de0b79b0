"""Loads the CSV files of a MIMIC-IV release into the two schemas that mimic-code's build makes."""

from __future__ import annotations

from pathlib import Path

from icudl.execution.context import Progress
from icudl.sources.mimic.load import load_tables
from icudl.sources.mimic4.layout import LAYOUT
from icudl.sources.mimic4.postgres import TABLES, Mimic4Postgres
from icudl.sources.servers.loading import ColumnType, LoadedRelease

_DICTIONARIES = {"d_labitems": "hosp", "d_items": "icu"}
_TIMESTAMPS = {"dod", "intime", "outtime"}
_INTEGERS = {"itemid", "anchor_age", "anchor_year", "hospital_expire_flag", "warning"}
_NUMBERS = {"valuenum", "los", "ref_range_lower", "ref_range_upper", "lownormalvalue", "highnormalvalue"}


def load_release(folder: Path, url: str, schema: str, progress: Progress, *, replace: bool = False) -> LoadedRelease:
    """Fill the schemas ``{schema}_hosp`` and ``{schema}_icu``; see ``mimic.load.load_tables``.

    Patients and admissions of version 1.0, whose build has a schema of their own for them, come to the hospital's.

    Raises:
        SourceError: The folder lacks a table, a file cannot be read, the server refuses, or the rows of a table are not
            those of the release.
    """
    kinds = {table: kind for kind, tables in TABLES.items() for table in tables} | _DICTIONARIES
    schemas = {table: f"{schema}_{kind}" for table, kind in kinds.items()}
    expected = Mimic4Postgres.expected
    return load_tables(folder, url, schemas, progress, layout=LAYOUT, kind=_kind, expected=expected, replace=replace)


def _kind(table: str, column: str) -> ColumnType:
    if column in _TIMESTAMPS or column.endswith("time"):
        return ColumnType.TIMESTAMP
    # Providers are told by texts like P003AB, which are ids by name only.
    if column in _INTEGERS or (column.endswith("_id") and not column.endswith("provider_id")):
        return ColumnType.INTEGER
    is_number = column in _NUMBERS or (table, column) == ("outputevents", "value")
    return ColumnType.DOUBLE if is_number else ColumnType.TEXT
