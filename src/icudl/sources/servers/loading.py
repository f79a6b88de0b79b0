"""Loads CSV files into tables of a PostgreSQL schema: columns, rows and indexes, with checked counts."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from icudl.errors import SourceError
from icudl.execution.context import Progress, ProgressTask
from icudl.sources.servers import postgres
from icudl.sources.servers.postgres import Expected

_BLOCK_BYTES = 1 << 20


class ColumnType(enum.Enum):
    """What a column of a loaded table holds."""

    TEXT = enum.auto()
    INTEGER = enum.auto()
    DOUBLE = enum.auto()
    TIMESTAMP = enum.auto()


_SQL_TYPES: Mapping[ColumnType, sql.SQL] = {
    ColumnType.TEXT: sql.SQL("text"),
    ColumnType.INTEGER: sql.SQL("integer"),
    ColumnType.DOUBLE: sql.SQL("double precision"),
    ColumnType.TIMESTAMP: sql.SQL("timestamp"),
}


@dataclasses.dataclass(frozen=True)
class LoadedRelease:
    """The contents of the schema after a load.

    Attributes:
        rows: Rows by table, earlier tables included.
        present: Tables that existed before and were not changed.
        release: Name of the release whose counts all tables match, or "" for another set of tables.
    """

    rows: Mapping[str, int]
    present: tuple[str, ...]
    release: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedFile:
    """A file and the table that it becomes.

    Attributes:
        schema: Schema of the table.
        table: Name of the table.
        path: CSV or CSV.gz, with a header.
        header: Reads the names of its columns.
        kind: Gives the type of a column, by its name in lower case.
        indexes: Columns that are indexed.
        readable: Translates what a reader raises into an error that names the file.
    """

    schema: str
    table: str
    path: Path
    header: Callable[[], Sequence[str]]
    kind: Callable[[str], ColumnType]
    indexes: Sequence[str]
    readable: Callable[[], contextlib.AbstractContextManager[None]]


def load_files(
    files: Sequence[LoadedFile], url: str, progress: Progress, expected: Expected, *, replace: bool
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Create a table for each file, and the schemas that are not there, and copy the rows into them.

    Each table is one transaction, so a load that breaks off leaves whole tables only; run it again and it goes on with
    the tables that are missing.

    Args:
        files: What to load, in this order.
        url: Database (``postgres.connection``); the account must be allowed to create schema and tables.
        progress: Shows the bytes read.
        expected: The database, for messages.
        replace: Drop existing tables and load them again.

    Returns:
        Rows by table, earlier tables included, and the tables that existed before and were not changed.

    Raises:
        SourceError: A file cannot be read, or the server refuses.
    """
    for file in files:
        if file.path.suffix.lower() == ".parquet":
            raise SourceError(
                f"{file.path.name} is Parquet. Loading takes the .csv or .csv.gz files of the release; Parquet files "
                "can be read without a database (source.path)."
            )
    rows: dict[str, int] = {}
    present = []
    for schema in dict.fromkeys(file.schema for file in files):
        doing = f"creating {schema}"
        with postgres.connection(url, read_only=False) as connection, postgres.translated(url, doing, expected):
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    for file in files:
        doing = f"loading {file.table}"
        with postgres.connection(url, read_only=False) as connection, postgres.translated(url, doing, expected):
            if not replace and _exists(connection, file.schema, file.table):
                present.append(file.table)
            else:
                _load(connection, file, progress)
            rows[file.table] = _count(connection, file.schema, file.table)
    return rows, tuple(present)


def _exists(connection: psycopg.Connection, schema: str, table: str) -> bool:
    name = sql.Identifier(schema, table).as_string(connection)
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    return row is not None and bool(row[0])


def _count(connection: psycopg.Connection, schema: str, table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))).fetchone()
    return 0 if row is None else int(row[0])


def _load(connection: psycopg.Connection, file: LoadedFile, progress: Progress) -> None:
    name = sql.Identifier(file.schema, file.table)
    with file.readable():
        header = file.header()
    columns = [column.strip().lower() for column in header]
    definitions = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), _SQL_TYPES[file.kind(column)]) for column in columns
    )
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, definitions))
    typed = [sql.Identifier(column) for column in columns if file.kind(column) is not ColumnType.TEXT]
    copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER true, ENCODING 'UTF8', FREEZE true, FORCE_NULL ({}))")
    statement = copy.format(name, sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join(typed))
    with connection.cursor() as cursor:
        task = progress.task(f"loading {file.path.name}", file.path.stat().st_size, "bytes")
        with task as bar, file.readable(), cursor.copy(statement) as target:
            lines = _send(file, target.write, bar)
        copied = cursor.rowcount
    if copied != lines - 1:
        raise SourceError(
            f"{file.path.name} has {lines - 1} lines below its header, of which the server made {copied} rows: a quote "
            "that nothing closes swallows the lines behind it. A copy or download broke off, or the file was edited."
        )
    with progress.task(f"indexing {file.table}"):
        for column in file.indexes:
            index = sql.Identifier(f"{file.table}_{column}_index")
            connection.execute(sql.SQL("CREATE INDEX {} ON {} ({})").format(index, name, sql.Identifier(column)))
        connection.execute(sql.SQL("ANALYZE {}").format(name))
    found = _count(connection, file.schema, file.table)
    if found != copied:
        raise SourceError(f"{file.table.upper()}: {copied} rows were sent and {found} arrived. Load the table again.")


def _send(file: LoadedFile, write: Callable[[bytes], None], bar: ProgressTask) -> int:
    """Send a file's content and return how many lines it has."""
    lines, last = 0, b"\n"
    with file.path.open("rb") as raw:
        packed = file.path.suffix.lower() == ".gz"
        content = gzip.GzipFile(fileobj=raw) if packed else raw
        sent = 0
        while block := content.read(_BLOCK_BYTES):
            write(block)
            lines, last = lines + block.count(b"\n"), block[-1:]
            bar.advance(raw.tell() - sent)
            sent = raw.tell()
    return lines + (last != b"\n")
