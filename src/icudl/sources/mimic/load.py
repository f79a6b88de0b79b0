"""Loads the CSV files of a MIMIC release into PostgreSQL: tables, rows and indexes, with checked counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from icudl.errors import SourceError
from icudl.execution.context import Progress
from icudl.sources.mimic.folder import find_tables, translated
from icudl.sources.mimic.layout import Layout
from icudl.sources.mimic.releases import departures, release_of
from icudl.sources.servers.loading import ColumnType, LoadedFile, LoadedRelease, load_files
from icudl.sources.servers.postgres import Expected

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


def load_tables(
    folder: Path,
    url: str,
    schemas: Mapping[str, str],
    progress: Progress,
    *,
    layout: Layout,
    kind: Callable[[str, str], ColumnType],
    expected: Expected,
    replace: bool,
) -> LoadedRelease:
    """Create schemas, tables and indexes that the reader needs, and copy the files of a release into them.

    Each table is one transaction, so a load that breaks off leaves whole tables only; run it again and it goes on with
    the tables that are missing.

    Args:
        folder: CSV or CSV.gz files of a release, full or demo.
        url: Database (``postgres.connection``); the account must be allowed to create schema and tables.
        schemas: Schema to fill for each table of ``LOADED``.
        progress: Shows the bytes read.
        layout: The database.
        kind: Gives the type of a column, by table and name.
        expected: The database, for messages.
        replace: Drop existing tables and load them again.

    Raises:
        SourceError: The folder lacks a table, a file cannot be read, the server refuses, or the rows of a table are not
            those of the release.
    """
    ready = [
        LoadedFile(
            schema=schemas[name],
            table=name,
            path=file.path,
            header=file.header,
            kind=partial(kind, name),
            indexes=_INDEXES.get(name, ()),
            readable=partial(translated, file),
        )
        for name, file in find_tables(folder, layout, LOADED).items()
    ]
    rows, present = load_files(ready, url, progress, expected, replace=replace)
    release = release_of(rows, layout)
    if wrong := [str(departure) for departure in departures(rows, layout, release)]:
        places = " and ".join(map(repr, dict.fromkeys(schemas.values())))
        raise SourceError(
            f"Schema {places} has the patients of {release}, but {'; '.join(wrong)}. Download the files "
            "again and load them with --replace."
        )
    return LoadedRelease(rows, present, release)
