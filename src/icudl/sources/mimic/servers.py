"""What a PostgreSQL server holds of a MIMIC database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql

from icudl.sources.locating import LocatedTable, Location, MissingTable, Survey
from icudl.sources.mimic.layout import Layout
from icudl.sources.mimic.locating import SMALL_TABLES, TELLING_TABLES, is_demo
from icudl.sources.mimic.releases import departures, release_of
from icudl.sources.rules import RuleBook
from icudl.sources.servers import postgres

_TABLES = """
SELECT c.relname, n.nspname, pg_table_size(c.oid),
       array(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY 1, 2
"""


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
        sizes = _sizes(connection, url, layout)
        chosen, others = _chosen(sizes, groups)
        places = {table: chosen[name] for name, (_, tables) in groups.items() for table in tables if name in chosen}
        found = [table for table in layout.columns if (table, places.get(table, "")) in sizes]
        if not set(TELLING_TABLES) <= set(found):
            return None
        rows: dict[str, int] = {}
        for table in found:
            if table in SMALL_TABLES or survey.counts_all:
                with postgres.translated(url, f"counting {table}"), survey.progress.task(f"counting {table}"):
                    rows[table] = _count(connection, places[table], table)
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


def _sizes(connection: psycopg.Connection, url: str, layout: Layout) -> dict[tuple[str, str], int]:
    """Return the size of each table that has all columns of the layout, by table and schema."""
    with postgres.translated(url, "looking for tables"):
        found = connection.execute(_TABLES, [list(layout.columns)]).fetchall()
    return {(table, schema): size for table, schema, size, names in found if set(layout.columns[table]) <= set(names)}


def _chosen(
    sizes: Mapping[tuple[str, str], int], groups: Mapping[str, tuple[str, Sequence[str]]]
) -> tuple[dict[str, str], list[str]]:
    """Return the schema for each option, and further schemas that hold as many of its tables.

    It is the schema with most tables of the group; of several, the default of the option or the first.
    """
    chosen: dict[str, str] = {}
    others: list[str] = []
    for name, (usual, tables) in groups.items():
        held: dict[str, int] = {}
        for table, schema in sizes:
            held[schema] = held.get(schema, 0) + (table in tables)
        best = [schema for schema, number in held.items() if number and number == max(held.values())]
        if best:
            chosen[name] = usual if usual in best else best[0]
            others += [schema for schema in best if schema != chosen[name]]
    return chosen, others


def _count(connection: psycopg.Connection, schema: str, table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))).fetchone()
    return 0 if row is None else int(row[0])
