"""Loads the CSV files of a MIMIC-III release into PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from icudl.execution.context import Progress
from icudl.sources.mimic.load import LOADED, load_tables
from icudl.sources.mimic3.layout import LAYOUT
from icudl.sources.servers import postgres
from icudl.sources.servers.loading import ColumnType, LoadedRelease

_TIMESTAMPS = {"dob", "dod", "dod_hosp", "dod_ssn", "outtime", "intime", "storetime", "charttime"}
_INTEGERS = {"row_id", "cgid", "warning", "error", "los_id", "hospital_expire_flag", "has_chartevents_data"}
_INTEGERS |= {"expire_flag", "itemid", "first_wardid", "last_wardid", "iserror"}
_NUMBERS = {"valuenum", "los"}


def load_release(folder: Path, url: str, schema: str, progress: Progress, *, replace: bool = False) -> LoadedRelease:
    """Fill a schema with the tables that the reader needs; see ``mimic.load.load_tables``.

    Raises:
        SourceError: The folder lacks a table, a file cannot be read, the server refuses, or the rows of a table are not
            those of the release.
    """
    schemas = dict.fromkeys(LOADED, schema)
    return load_tables(
        folder, url, schemas, progress, layout=LAYOUT, kind=_kind, expected=postgres.MIMIC3, replace=replace
    )


def _kind(_: str, column: str) -> ColumnType:
    if column in _TIMESTAMPS or column.endswith("time"):
        return ColumnType.TIMESTAMP
    if column in _INTEGERS or column.endswith("_id"):
        return ColumnType.INTEGER
    return ColumnType.DOUBLE if column in _NUMBERS else ColumnType.TEXT
