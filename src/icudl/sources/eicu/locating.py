"""What a folder or a server holds of the eICU Collaborative Research Database."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icudl.errors import SourceError
from icudl.sources.eicu import items
from icudl.sources.eicu.folder import COLUMNS, find_tables
from icudl.sources.eicu.releases import DEMO, RELEASES, departures, release_of
from icudl.sources.locating import LocatedTable, Location, MissingTable, Survey
from icudl.sources.reading.counting import rows_in
from icudl.sources.servers import postgres
from icudl.sources.servers.surveying import rows_of, schemas_of, sizes_of


def located(folder: Path, plugin: str, survey: Survey) -> Location | None:
    """Look at a folder for PATIENT and an event table; see ``sources.locating.Locating``.

    The columns are not looked at: the names of the event tables are eICU's alone.
    """
    try:
        tables = find_tables(folder, {})
    except (OSError, SourceError):
        return None
    if not set(tables) & set(items.EVENT_TABLES):
        return None
    rows: dict[str, int] = {}
    notes = []
    for name, table in tables.items():
        try:
            count = rows_in(table.path, survey)
        except SourceError as error:
            notes.append(str(error))
        else:
            rows |= {} if count is None else {name: count}
    files = {name: (table.path.name, table.path.stat().st_size) for name, table in tables.items()}
    return _location(plugin, {"path": str(folder)}, files, rows, tuple(notes))


def located_on_server(url: str, plugin: str, usual: str, survey: Survey) -> Location | None:
    """Look for a schema with PATIENT and an event table; see ``sources.locating.LocatingAddress``.

    Args:
        url: The connection.
        plugin: Name of the source that reads it.
        usual: The schema that is taken where several hold as many tables.
        survey: How closely to look; the server counts the rows of event tables if they are to be counted.
    """
    with postgres.connection(url, read_only=True) as connection:
        sizes = sizes_of(connection, url, COLUMNS)
        schemas = {schema for table, schema in sizes if table == "patient"}
        sizes = {(table, schema): size for (table, schema), size in sizes.items() if schema in schemas}
        chosen, others = schemas_of(sizes, {"schema": (usual, tuple(COLUMNS))})
        schema = chosen.get("schema", "")
        found = [table for table in COLUMNS if (table, schema) in sizes]
        if not set(found) & set(items.EVENT_TABLES):
            return None
        counted = found if survey.counts_all else ["patient"]
        rows = {table: rows_of(connection, url, schema, table, survey.progress) for table in counted}
    notes = (f"Other schemas hold such tables as well: {', '.join(others)}.",) if others else ()
    tables = {table: (f"{schema}.{table}", sizes[table, schema]) for table in found}
    return _location(plugin, {"url": url, "schema": schema}, tables, rows, notes)


def _location(
    plugin: str,
    settings: Mapping[str, Any],
    tables: Mapping[str, tuple[str, int]],
    rows: Mapping[str, int],
    notes: tuple[str, ...],
) -> Location:
    """Tell release, tables and what is missing.

    Args:
        plugin: Name of the source that reads it.
        settings: Its options.
        tables: Place and size in bytes of each table that was found.
        rows: Rows of those that were counted.
        notes: What a user has to know besides the rows.
    """
    release = release_of(rows) if "patient" in rows else ""
    if "patient" in rows:
        notes += tuple(f"{departure}." for departure in departures(rows))
    expected = RELEASES.get(release, {})
    # A part of the full release may have as many stays as the demo.
    is_demo = release == DEMO and all(rows.get(name) == number for name, number in expected.items())
    return Location(
        database=(release or "eICU-CRD, version unknown") + (" on PostgreSQL" if "url" in settings else ""),
        source=plugin,
        settings={**settings, **({"open_data": True} if is_demo else {})},
        tables=tuple(
            LocatedTable(name=name, file=place, bytes=size, rows=rows.get(name), expected_rows=expected.get(name))
            for name, (place, size) in tables.items()
        ),
        missing=tuple(
            MissingTable(
                name=name,
                is_required=False,
                variables=tuple(variable for variable in items.SERIES if items.tables_of(variable) == (name,)),
            )
            for name in COLUMNS
            if name not in tables
        ),
        stays=rows.get("patient"),
        notes=notes,
    )
