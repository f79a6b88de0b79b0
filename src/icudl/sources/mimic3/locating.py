"""What a PostgreSQL server holds of MIMIC-III."""

from __future__ import annotations

import psycopg
from psycopg import sql

from icudl.sources import postgres
from icudl.sources.locating import LocatedTable, Location, MissingTable, Survey
from icudl.sources.mimic.locating import SMALL_TABLES, is_demo
from icudl.sources.mimic.releases import departures, release_of
from icudl.sources.mimic3.layout import LAYOUT
from icudl.sources.rules import RuleBook

_USUAL_SCHEMA = "mimiciii"
_TABLES = """
SELECT n.nspname, c.relname, pg_table_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND EXISTS (SELECT FROM pg_class s JOIN pg_attribute a ON a.attrelid = s.oid
              WHERE s.relnamespace = n.oid AND s.relname = 'icustays' AND a.attname = %s)
ORDER BY 1, 2
"""


def located(url: str, plugin: str, book: RuleBook, survey: Survey) -> Location | None:
    """Look for schemas that hold ICU stays as MIMIC-III does; see ``sources.locating.LocatingAddress``.

    Args:
        url: The connection.
        plugin: Name of the source that reads it.
        book: Rules of MIMIC-III.
        survey: How closely to look; the large tables are counted by the server if they are to be counted.
    """
    with postgres.connection(url, read_only=True) as connection:
        with postgres.translated(url, "looking for tables"):
            found = connection.execute(_TABLES, [list(LAYOUT.columns), LAYOUT.stay]).fetchall()
        sizes: dict[str, dict[str, int]] = {}
        for schema, table, size in found:
            sizes.setdefault(schema, {})[table] = size
        if not sizes:
            return None
        chosen = _USUAL_SCHEMA if _USUAL_SCHEMA in sizes else max(sizes, key=lambda name: len(sizes[name]))
        rows: dict[str, int] = {}
        for table in sizes[chosen]:
            if table in SMALL_TABLES or survey.counts_all:
                with postgres.translated(url, f"counting {table}"), survey.progress.task(f"counting {table}"):
                    rows[table] = _count(connection, chosen, table)
    release = release_of(rows, LAYOUT) if "patients" in rows else ""
    notes = [f"{departure}, which {release} has." for departure in departures(rows, LAYOUT, release)]
    if len(sizes) > 1:
        notes.append(f"Other schemas hold such tables as well: {', '.join(name for name in sizes if name != chosen)}.")
    expected = LAYOUT.releases.get(release, {})
    settings: dict[str, object] = {"url": url, "schema": chosen}
    if is_demo(release, rows, LAYOUT):
        settings["open_data"] = True
    return Location(
        database=f"{release or 'MIMIC-III, version unknown'} on PostgreSQL",
        source=plugin,
        settings=settings,
        tables=tuple(
            LocatedTable(
                name=LAYOUT.shown(table),
                file=f"{chosen}.{table}",
                bytes=sizes[chosen][table],
                rows=rows.get(table),
                expected_rows=expected.get(table),
            )
            for table in LAYOUT.columns
            if table in sizes[chosen]
        ),
        missing=tuple(
            MissingTable(
                name=LAYOUT.shown(table),
                is_required=table in LAYOUT.required,
                variables=tuple(variable for variable in book.variables if book.tables_of(variable) == (table,)),
            )
            for table in LAYOUT.columns
            if table not in sizes[chosen]
        ),
        patients=rows.get("patients"),
        stays=rows.get("icustays"),
        notes=tuple(notes),
    )


def _count(connection: psycopg.Connection, schema: str, table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))).fetchone()
    return 0 if row is None else int(row[0])
