"""What a PostgreSQL server holds of a MIMIC database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from icudl.sources.locating import LocatedTable, Location, MissingTable, Survey
from icudl.sources.mimic.layout import Layout
from icudl.sources.mimic.locating import SMALL_TABLES, TELLING_TABLES, is_demo
from icudl.sources.mimic.releases import departures, release_of
from icudl.sources.rules import RuleBook
from icudl.sources.servers import postgres
from icudl.sources.servers.surveying import rows_of, schemas_of, sizes_of


def located(
    url: str,
    layout: Layout,
    plugin: str,
    book: RuleBook,
    groups: Mapping[str, tuple[str, Sequence[str]]],
    survey: Survey,
) -> Location | None:
    """Look for schemas that hold the tables of a database; see ``sources.locating.LocatingAddress``.

    Args:
        url: The connection.
        layout: The database.
        plugin: Name of the source that reads it.
        book: Its rules.
        groups: For each option that names a schema, its default and the tables of that schema.
        survey: How closely to look; the large tables are counted by the server if they are to be counted.
    """
    with postgres.connection(url, read_only=True) as connection:
        sizes = sizes_of(connection, url, layout.columns)
        chosen, others = schemas_of(sizes, groups)
        places = {table: chosen[name] for name, (_, tables) in groups.items() for table in tables if name in chosen}
        found = [table for table in layout.columns if (table, places.get(table, "")) in sizes]
        if not set(TELLING_TABLES) <= set(found):
            return None
        rows: dict[str, int] = {}
        for table in found:
            if table in SMALL_TABLES or survey.counts_all:
                rows[table] = rows_of(connection, url, places[table], table, survey.progress)
    release = release_of(rows, layout)
    notes = [f"{departure}, which {release} has." for departure in departures(rows, layout, release)]
    if others:
        notes.append(f"Other schemas hold such tables as well: {', '.join(others)}.")
    expected = layout.releases.get(release, {})
    open_data = {"open_data": True} if is_demo(release, rows, layout) else {}
    return Location(
        database=f"{release or f'{layout.database}, version unknown'} on PostgreSQL",
        source=plugin,
        settings={"url": url} | chosen | open_data,
        tables=tuple(
            LocatedTable(
                name=layout.shown(table),
                file=f"{places[table]}.{table}",
                bytes=sizes[table, places[table]],
                rows=rows.get(table),
                expected_rows=expected.get(table),
            )
            for table in found
        ),
        missing=tuple(
            MissingTable(
                name=layout.shown(table),
                is_required=table in layout.required,
                variables=tuple(variable for variable in book.variables if book.tables_of(variable) == (table,)),
            )
            for table in layout.columns
            if table not in found
        ),
        patients=rows.get("patients"),
        stays=rows.get("icustays"),
        notes=tuple(notes),
    )
