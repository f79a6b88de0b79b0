"""Which tables of a database a PostgreSQL server holds: in which schemas, how large, with how many rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import psycopg
from psycopg import sql

from icudl.execution.context import Progress
from icudl.sources.servers import postgres

_TABLES = """
SELECT c.relname, n.nspname, pg_table_size(c.oid),
       array(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY 1, 2
"""


def sizes_of(
    connection: psycopg.Connection, url: str, columns: Mapping[str, Collection[str]]
) -> dict[tuple[str, str], int]:
    """Return the size of each table that has all its columns, by table and schema.

    Args:
        connection: An open transaction.
        url: The connection, for messages.
        columns: Columns by table.

    Raises:
        SourceError: The server does not answer.
    """
    with postgres.translated(url, "looking for tables"):
        found = connection.execute(_TABLES, [list(columns)]).fetchall()
    return {(table, schema): size for table, schema, size, names in found if set(columns[table]) <= set(names)}


def schemas_of(
    sizes: Mapping[tuple[str, str], int], groups: Mapping[str, tuple[str, Sequence[str]]]
) -> tuple[dict[str, str], list[str]]:
    """Return the schema for each option, and further schemas that hold as many of its tables.

    It is the schema with most tables of the group; of several, the default of the option or the first.

    Args:
        sizes: As ``sizes_of`` gives them.
        groups: For each option that names a schema, its default and the tables of that schema.
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


def rows_of(connection: psycopg.Connection, url: str, schema: str, table: str, progress: Progress) -> int:
    """Let the server count the rows of a table.

    Raises:
        SourceError: The server does not answer.
    """
    statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
    with postgres.translated(url, f"counting {table}"), progress.task(f"counting {table}"):
        row = connection.execute(statement).fetchone()
    return 0 if row is None else int(row[0])
