"""Loads the CSV files of a MIMIC-III release into PostgreSQL: tables, rows and indexes, with checked counts."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from icudl.errors import SourceError
from icudl.execution.context import Progress, ProgressTask
from icudl.sources import postgres
from icudl.sources.mimic.folder import TableFile, find_tables, translated
from icudl.sources.mimic.releases import departures, release_of
from icudl.sources.mimic3.layout import LAYOUT

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
_BLOCK_BYTES = 1 << 20


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
    for file in files.values():
        if file.path.suffix.lower() == ".parquet":
            raise SourceError(
                f"{file.path.name} is Parquet. Loading takes the .csv or .csv.gz files of the release; "
                'Parquet files can be read without a database (source.name = "mimic3").'
            )
    rows: dict[str, int] = {}
    present = []
    with postgres.connection(url, read_only=False) as connection, postgres.translated(url, f"creating {schema}"):
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    for table in (table for table in LOADED if table in files):
        with postgres.connection(url, read_only=False) as connection, postgres.translated(url, f"loading {table}"):
            if not replace and _exists(connection, schema, table):
                present.append(table)
            else:
                _load(connection, schema, files[table], progress)
            rows[table] = _count(connection, schema, table)
    return LoadedRelease(rows, tuple(present), _checked(rows, schema))


def _exists(connection: psycopg.Connection, schema: str, table: str) -> bool:
    name = sql.Identifier(schema, table).as_string(connection)
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    return row is not None and bool(row[0])


def _count(connection: psycopg.Connection, schema: str, table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))).fetchone()
    return 0 if row is None else int(row[0])


def _load(connection: psycopg.Connection, schema: str, file: TableFile, progress: Progress) -> None:
    name = sql.Identifier(schema, file.table)
    with translated(file):
        header = file.header()
    columns = [column.strip().lower() for column in header]
    definitions = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), _type(column)) for column in columns
    )
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, definitions))
    typed = [sql.Identifier(column) for column in columns if _type(column) != _TEXT]
    copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER true, ENCODING 'UTF8', FREEZE true, FORCE_NULL ({}))")
    statement = copy.format(name, sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join(typed))
    with connection.cursor() as cursor:
        task = progress.task(f"loading {file.path.name}", file.path.stat().st_size, "bytes")
        with task as bar, translated(file), cursor.copy(statement) as target:
            _send(file, target.write, bar)
        copied = cursor.rowcount
    with progress.task(f"indexing {file.table}"):
        for column in _INDEXES.get(file.table, ()):
            index = sql.Identifier(f"{file.table}_{column}_index")
            connection.execute(sql.SQL("CREATE INDEX {} ON {} ({})").format(index, name, sql.Identifier(column)))
        connection.execute(sql.SQL("ANALYZE {}").format(name))
    found = _count(connection, schema, file.table)
    if found != copied:
        raise SourceError(f"{file.table.upper()}: {copied} rows were sent and {found} arrived. Load the table again.")


def _send(file: TableFile, write: Callable[[bytes], None], bar: ProgressTask) -> None:
    with file.path.open("rb") as raw:
        packed = file.path.suffix.lower() == ".gz"
        content = gzip.GzipFile(fileobj=raw) if packed else raw
        sent = 0
        while block := content.read(_BLOCK_BYTES):
            write(block)
            bar.advance(raw.tell() - sent)
            sent = raw.tell()


_TEXT = sql.SQL("text")


def _type(column: str) -> sql.SQL:
    if column in _TIMESTAMPS or column.endswith("time"):
        return sql.SQL("timestamp")
    if column in _INTEGERS or column.endswith("_id"):
        return sql.SQL("integer")
    return sql.SQL("double precision") if column in _NUMBERS else _TEXT


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
