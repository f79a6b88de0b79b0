"""Connections to PostgreSQL whose errors never show a password."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import polars as pl
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from icudl.errors import SourceError
from icudl.options import PASSWORDS, masked

_CONNECT_SECONDS = "15"
_CHUNK_BYTES = 1 << 25
_SAME_FOR_ALL = ("SET LOCAL timezone = 'UTC'", "SET LOCAL datestyle = 'ISO, MDY'", "SET LOCAL extra_float_digits = 1")
"""Settings that a role or a client's environment may have changed, and that decide how values are read and written."""


def _secrets(url: str) -> list[str]:
    found = [os.environ.get("PGPASSWORD", "")]
    for pattern in PASSWORDS:
        found += [match["secret"] for match in pattern.finditer(url)]
    with contextlib.suppress(psycopg.ProgrammingError):
        parts = conninfo_to_dict(url)
        found += [str(parts.get(key) or "") for key in ("password", "sslpassword")]
    spellings = {spelling for secret in found if secret for spelling in (secret, quote(secret), quote(secret, safe=""))}
    return sorted(spellings, key=len, reverse=True)


def scrubbed(text: str, url: str) -> str:
    """Return a message on one line, without any password of the URL or the environment."""
    for secret in _secrets(url):
        text = text.replace(secret, "***")
    return " ".join(masked(text).split())


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a server is expected to hold, for messages.

    Attributes:
        database: Its name (``"MIMIC-III"``).
        edition: Whose columns and values are expected (``"MIMIC-III v1.4"``).
        remedy: What to do where tables are missing, in a sentence.
        loading: How tables get there, as in "or ...".
    """

    database: str
    edition: str
    remedy: str
    loading: str


MIMIC3 = Expected(
    "MIMIC-III",
    "MIMIC-III v1.4",
    "Set source.schema to the schema of MIMIC-III, or load a release with `icudl db load DIR URL`.",
    "load the release with `icudl db load`",
)


@contextlib.contextmanager
def translated(url: str, doing: str, expected: Expected = MIMIC3) -> Iterator[None]:
    """Translate any error of the database driver into one ``SourceError``; the original error is not chained.

    Args:
        url: The connection, for scrubbing.
        doing: What the program was doing ("reading chartevents").
        expected: The database.
    """
    try:
        yield
    except psycopg.Error as error:
        raise SourceError(_message(error, scrubbed(str(error), url)[:400], doing, expected)) from None


def _message(error: psycopg.Error, reason: str, doing: str, expected: Expected) -> str:
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return f"PostgreSQL lacks a schema or table ({reason}) when {doing}. {expected.remedy}"
    if isinstance(error, psycopg.errors.UndefinedColumn):
        return f"A table lacks a column ({reason}) when {doing}. Expected the columns of {expected.edition}."
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return (
            f"PostgreSQL denies access ({reason}) when {doing}. Ask for the right to SELECT from the "
            f"{expected.database} schema."
        )
    if isinstance(error, psycopg.errors.InvalidTextRepresentation | psycopg.DataError):
        return f"A value cannot be read ({reason}) when {doing}. Expected the values of {expected.edition}."
    if isinstance(error, psycopg.OperationalError):
        return (
            f"The connection to PostgreSQL failed ({reason}) when {doing}. Check that the server runs, and host, port, "
            "database, user and password (source.url, PG* variables, service file or .pgpass); then run again."
        )
    return f"PostgreSQL refused ({reason}) when {doing}. Expected the tables of {expected.edition}."


@contextlib.contextmanager
def connection(url: str, *, read_only: bool) -> Iterator[psycopg.Connection]:
    """Open a connection for the time of a ``with`` block; it is one transaction that ends with the block.

    Args:
        url: ``postgresql://...`` or ``key=value`` pairs; what it leaves out comes from libpq's environment variables,
            service file and password file.
        read_only: Read from one consistent snapshot and let the server refuse any change.

    Raises:
        SourceError: ``url`` is not a connection URL, or the server cannot be reached.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise SourceError(
            f"source.url = {masked(url)!r} is not a connection URL. Expected postgresql://USER@HOST:PORT/DATABASE, or "
            "key=value pairs separated by blanks."
        ) from None
    parts.setdefault("connect_timeout", _CONNECT_SECONDS)
    parts.setdefault("application_name", "icudl")
    with translated(url, "connecting"):
        opened = psycopg.connect(**parts)  # type: ignore[arg-type]
    try:
        if read_only:
            opened.read_only = True
            opened.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with translated(url, "preparing"):
            for setting in _SAME_FOR_ALL:
                opened.execute(setting)
        yield opened
        with translated(url, "finishing"):
            opened.commit()
    finally:
        opened.close()


def copied(connection: psycopg.Connection, statement: sql.Composed, schema: Any) -> Iterator[pl.DataFrame]:
    """Yield the rows of a statement as frames of bounded size; at least one, which may be empty."""
    copy = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(statement)
    rest = b""
    with connection.cursor() as cursor, cursor.copy(copy) as stream:
        blocks: list[bytes] = []
        size = 0
        for block in stream:
            blocks.append(bytes(block))
            size += len(block)
            if size >= _CHUNK_BYTES:
                whole, _, rest = (rest + b"".join(blocks)).rpartition(b"\n")
                yield _frame(whole + b"\n", schema)
                blocks, size = [], 0
        yield _frame(rest + b"".join(blocks), schema)


def _frame(content: bytes, schema: Any) -> pl.DataFrame:
    if not content:
        return pl.DataFrame(schema=schema)
    return pl.read_csv(io.BytesIO(content), has_header=False, schema=schema)


def state_of(connection: psycopg.Connection, schema: str, table: str) -> tuple[Any, ...] | None:
    """Return counters that change when a table changes, or None where the server keeps none."""
    return connection.execute(
        """
        SELECT CASE WHEN has_function_privilege('pg_control_system()', 'execute')
                    THEN (SELECT system_identifier::text FROM pg_control_system()) ELSE '' END,
               current_database(), c.oid, pg_relation_filenode(c.oid), pg_relation_size(c.oid),
               pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'r' AND NOT c.relhassubclass
        """,
        [schema, table],
    ).fetchone()
