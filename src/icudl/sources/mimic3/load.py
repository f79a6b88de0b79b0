"""Loads the CSV files of a MIMIC-III release into PostgreSQL: tables, rows and indexes, with checked counts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from icudl.errors import SourceError
from icudl.execution.context import Progress
from icudl.sources.mimic.folder import find_tables, translated
from icudl.sources.mimic.releases import departures, release_of
from icudl.sources.mimic3.layout import LAYOUT
from icudl.sources.servers import postgres
from icudl.sources.servers.loading import ColumnType, LoadedFile, LoadedRelease, load_files

LOADED: tuple[str, ...] = (
    "patients",
    "admissions",
    "icustays",
    "d_items",
    "d_labitems",
    "labevents",
    "outputevents",
    "chartevents",
)
"""Tables that are loaded if the folder has them, smallest first."""

_INDEXES: Mapping[str, tuple[str, ...]] = {
    "patients": ("subject_id",),
    "admissions": ("hadm_id",),
    "icustays": ("subject_id",),
    "chartevents": ("itemid",),
    "labevents": ("itemid",),
    "outputevents": ("itemid",),
}
_TIMESTAMPS = {"dob", "dod", "dod_hosp", "dod_ssn", "outtime", "intime", "storetime", "charttime"}
_INTEGERS = {"row_id", "cgid", "warning", "error", "los_id", "hospital_expire_flag", "has_chartevents_data"}
_INTEGERS |= {"expire_flag", "itemid", "first_wardid", "last_wardid", "iserror"}
_NUMBERS = {"valuenum", "los"}


def load_release(folder: Path, url: str, schema: str, progress: Progress, *, replace: bool = False) -> LoadedRelease:
    """Create the schema, tables and indexes that the reader needs, and copy the files of a release into them.

    Each table is one transaction, so a load that breaks off leaves whole tables only; run it again and it goes on with
    the tables that are missing.

    Args:
        folder: CSV or CSV.gz files of a release, full or demo.
        url: Database (``postgres.connection``); the account must be allowed to create schema and tables.
        schema: Schema to fill.
        progress: Shows the bytes read.
        replace: Drop existing tables and load them again.

    Raises:
        SourceError: The folder lacks a table, a file cannot be read, the server refuses, or the rows of a table are not
            those of the release.
    """
    files = find_tables(folder, LAYOUT, LOADED)
    ready = [
        LoadedFile(
            table=table,
            path=files[table].path,
            header=files[table].header,
            kind=_type,
            indexes=_INDEXES.get(table, ()),
            readable=partial(translated, files[table]),
        )
        for table in LOADED
        if table in files
    ]
    rows, present = load_files(ready, url, schema, progress, postgres.MIMIC3, replace=replace)
    return LoadedRelease(rows, present, _checked(rows, schema))


def _type(column: str) -> ColumnType:
    if column in _TIMESTAMPS or column.endswith("time"):
        return ColumnType.TIMESTAMP
    if column in _INTEGERS or column.endswith("_id"):
        return ColumnType.INTEGER
    return ColumnType.DOUBLE if column in _NUMBERS else ColumnType.TEXT


def _checked(rows: Mapping[str, int], schema: str) -> str:
    """Return the release that the tables are; "" for another set of tables.

    Raises:
        SourceError: The rows of a table are not those of the release.
    """
    release = release_of(rows, LAYOUT)
    wrong = [str(departure) for departure in departures(rows, LAYOUT, release)]
    if wrong:
        raise SourceError(
            f"Schema {schema!r} has the patients of {release}, but {'; '.join(wrong)}. Download the files "
            "again and load them with --replace."
        )
    return release
