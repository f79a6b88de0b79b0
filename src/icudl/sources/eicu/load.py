"""Loads the CSV files of an eICU release into PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import polars as pl

from icudl.errors import SourceError
from icudl.execution.context import Progress
from icudl.sources.eicu.folder import COLUMNS, find_tables
from icudl.sources.eicu.postgres import EXPECTED
from icudl.sources.eicu.releases import departures, release_of
from icudl.sources.servers.loading import ColumnType, LoadedFile, LoadedRelease, load_files

_KINDS = {pl.Int64: ColumnType.INTEGER, pl.Float64: ColumnType.DOUBLE, pl.String: ColumnType.TEXT}
_INDEXES: Mapping[str, str] = {
    "lab": "labname",
    "nursecharting": "nursingchartcelltypevalname",
    "respiratorycharting": "respchartvaluelabel",
    "intakeoutput": "celllabel",
}


def load_release(folder: Path, url: str, schema: str, progress: Progress, *, replace: bool = False) -> LoadedRelease:
    """Create the schema, tables and indexes that the reader needs, and copy the files of a release into them.

    The tables are those that the reader needs. A load that breaks off leaves whole tables only; run it again and it
    goes on with the tables that are missing.

    Args:
        folder: CSV or CSV.gz files of a release, full or demo.
        url: Database (``postgres.connection``); the account must be allowed to create schema and tables.
        schema: Schema to fill.
        progress: Shows the bytes read.
        replace: Drop existing tables and load them again.

    Raises:
        SourceError: The folder lacks PATIENT, a file cannot be read, the server refuses, or the rows of a table are not
            those of the release.
    """
    ready = [
        LoadedFile(
            schema=schema,
            table=name,
            path=table.path,
            header=table.header,
            kind=partial(_kind, name),
            indexes=(_INDEXES[name],) if name in _INDEXES else (),
            readable=table.readable,
        )
        for name, table in find_tables(folder, {}).items()
    ]
    rows, present = load_files(ready, url, progress, EXPECTED, replace=replace)
    if wrong := departures(rows):
        raise SourceError(
            f"Schema {schema!r}: {'; '.join(wrong)}. Download the files again and load them with --replace."
        )
    return LoadedRelease(rows, present, release_of(rows))


def _kind(table: str, column: str) -> ColumnType:
    known = COLUMNS[table].get(column)
    if known is not None:
        return _KINDS[known]
    return ColumnType.INTEGER if column.endswith("offset") else ColumnType.TEXT
