"""eICU from a PostgreSQL database, in the schema that eicu-code's build makes: the server chooses rows and columns."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import psycopg
from psycopg import sql

from icudl.errors import SourceError
from icudl.sources.base import SourceFingerprint, SourceOptions
from icudl.sources.eicu.folder import columns_by
from icudl.sources.eicu.items import EVENT_TABLES, FLUIDS, LAB, MAGNESIUM_MEQ, NURSE, RESPIRATORY, URINE, URINE_PATH
from icudl.sources.eicu.locating import located_on_server
from icudl.sources.eicu.options import EicuPostgresOptions
from icudl.sources.eicu.reading import EicuTables, EventTable
from icudl.sources.locating import Location, Survey
from icudl.sources.reading.blocks import Types
from icudl.sources.reading.hashing import fingerprint_of_rows, remembering
from icudl.sources.servers import postgres
from icudl.sources.servers.postgres import Expected

EXPECTED = Expected(
    "eICU",
    "eICU 2.0",
    "Set source.schema to the schema of eICU, or load a release with `icudl db load DIR URL --database eicu`.",
    "load the release with `icudl db load --database eicu`",
)
_KINDS: Mapping[type[pl.DataType], sql.SQL] = {pl.Int64: sql.SQL("bigint"), pl.Float64: sql.SQL("double precision")}
_WHOLE_TYPES = ("int2", "int4", "int8")
_LABELS = {
    LAB: sql.SQL("btrim(labname::text)"),
    NURSE: sql.SQL("btrim(nursingchartcelltypevallabel::text) || '|' || btrim(nursingchartcelltypevalname::text)"),
    RESPIRATORY: sql.SQL("btrim(respchartvaluelabel::text)"),
    FLUIDS: sql.SQL("btrim(celllabel::text)"),
}
"""Label of a row of each long table, as ``items.SERIES`` names it."""


@dataclasses.dataclass(frozen=True, eq=False)
class ServerTable:
    """A table on a server, as ``reading.EventTable`` asks for it.

    Attributes:
        table: Its name.
        schema: Its schema.
        columns: Columns that are read.
        types: The type of each column on the server (``pg_type.typname``).
        url: The connection, for messages.
        connection: An open transaction.
    """

    table: str
    schema: str
    columns: Types
    types: Mapping[str, str]
    url: str
    connection: psycopg.Connection

    @property
    def place(self) -> str:
        """Schema and name."""
        return f"{self.schema}.{self.table}"

    def rows(self, labels: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the needed columns of the rows that may be of these labels."""
        statement = sql.SQL("SELECT {} FROM {}{}").format(self._columns(), self._name(), self._where(labels))
        with self.readable():
            yield from postgres.copied(self.connection, statement, dict(self.columns))

    def whole(self) -> tuple[int, pl.Series]:
        """Return the rows of the table, of any label, and the stays that have one."""
        stay = self._column("patientunitstayid")
        statement = sql.SQL("SELECT {}, count(*) FROM {} GROUP BY 1").format(stay, self._name())
        schema = {"stay": pl.Int64, "rows": pl.Int64}
        with self.readable():
            found = pl.concat(postgres.copied(self.connection, statement, schema))
        return int(found["rows"].sum()), found["stay"]

    def content(self) -> dict[str, Any]:
        """Return the number of rows and a hash of the needed columns that does not depend on their order."""
        statement = sql.SQL(
            "SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text, 0)), 0)::text FROM {}"
        ).format(self._columns(), self._name())
        with self.readable():
            row = self.connection.execute(statement).fetchone()
        if row is None:
            raise SourceError(f"Table {self.place} could not be counted. Check the connection and run again.")
        return {"rows": row[0], "hash": row[1]}

    def readable(self) -> contextlib.AbstractContextManager[None]:
        """Translate any error of the server into one ``SourceError``."""
        return postgres.translated(self.url, f"reading {self.table}", EXPECTED)

    def _name(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.table)

    def _columns(self) -> sql.Composed:
        return sql.SQL(", ").join(self._column(name) for name in self.columns)

    def _column(self, name: str) -> sql.Composed:
        """Return a column as the value that files give, whatever type a loader chose; 1.5 is no whole number."""
        kind, column = self.columns[name], sql.Identifier(name)
        if kind is pl.String:
            return sql.SQL("btrim({}::text)").format(column)
        if kind is pl.Int64 and self.types[name] not in _WHOLE_TYPES:
            return sql.SQL("regexp_replace(btrim({}::text), '[.]0+$', '')::bigint").format(column)
        return sql.SQL("{}::{}").format(column, _KINDS[kind])

    def _where(self, labels: Sequence[str]) -> sql.Composable:
        if self.table not in _LABELS:
            return sql.SQL("")
        wanted = ["magnesium" if label == MAGNESIUM_MEQ else label for label in labels]
        where = sql.SQL(" WHERE {} = ANY({})").format(_LABELS[self.table], sql.Literal(wanted))
        if self.table == FLUIDS and URINE in labels:
            where += sql.SQL(" OR position({} IN cellpath::text) > 0").format(sql.Literal(URINE_PATH))
        return where


class EicuPostgres(EicuTables):
    """The eICU tables of a PostgreSQL schema; a read-only account is enough.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        available: Names of the variables that have rules in the chosen tables.
    """

    Options: ClassVar[type[SourceOptions]] = EicuPostgresOptions

    def __init__(self, options: EicuPostgresOptions, seed: int) -> None:
        """Take the connection from ``options.url`` and libpq's environment; nothing is opened yet."""
        super().__init__(options, seed, vitals=options.vitals, by=options.by, is_open=options.open_data)
        self._url, self._schema, self._by = options.url, options.schema, options.by
        self.place = f"schema {options.schema!r}"

    @classmethod
    def looked_for(cls) -> str:
        """Say which tables are looked for; see ``sources.locating.LocatingAddress``."""
        return f"eICU: a schema with patient and one of {', '.join(EVENT_TABLES)}"

    @classmethod
    def locate_address(cls, url: str, survey: Survey) -> Location | None:
        """Look for a schema of eICU; see ``sources.locating.LocatingAddress``."""
        options = EicuPostgresOptions()
        return located_on_server(url, options.name, options.schema, survey)

    def fingerprint(self, memory: Path) -> SourceFingerprint:
        """Identify the tables by the number and hash of their rows, and by the cleaning rules.

        The first call reads every row. The result is remembered as long as the server counts no change of the table;
        tables without such counts (partitioned tables, views) are read each time.

        Raises:
            SourceError: The server cannot be reached, or a table or column is missing.
        """
        contents = {}
        with remembering(memory / "postgres-hashes.json") as known, self.opened() as tables:
            for name, table in tables.items():
                if not isinstance(table, ServerTable):
                    continue
                with table.readable():
                    state = postgres.state_of(table.connection, self._schema, name)
                hashed = f"eicu|{state}|{','.join(table.columns)}"
                key = None if state is None else hashlib.sha256(hashed.encode()).hexdigest()
                contents[name] = known.get(key or "") or table.content()
                if key is not None:
                    known[key] = contents[name]
        return fingerprint_of_rows(self.rules.digest, contents)

    def reach(self) -> str:
        """Connect and look for the tables; see ``sources.base.DataSource``."""
        with self.opened() as tables:
            return f"{', '.join(tables)} in {self.place}"

    @contextlib.contextmanager
    def opened(self) -> Iterator[Mapping[str, EventTable]]:
        """Open one consistent snapshot and yield the tables that are there.

        Raises:
            SourceError: The server cannot be reached, PATIENT is missing, or a table lacks a column.
        """
        with postgres.connection(self._url, read_only=True) as connection:
            columns = columns_by(self._by)
            with postgres.translated(self._url, "looking for tables", EXPECTED):
                found = connection.execute(
                    "SELECT c.relname, json_object_agg(a.attname, t.typname) FROM pg_class c "
                    "JOIN pg_namespace n ON n.oid = c.relnamespace "
                    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
                    "JOIN pg_type t ON t.oid = a.atttypid "
                    "WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') "
                    "GROUP BY 1",
                    [self._schema, list(columns)],
                ).fetchall()
            there: dict[str, dict[str, str]] = {str(table): types for table, types in found}
            if "patient" not in there:
                raise SourceError(f"S{self.place[1:]} lacks patient. {EXPECTED.remedy}")
            for table, types in there.items():
                if missing := [column for column in columns[table] if column not in types]:
                    raise SourceError(
                        f"{self._schema}.{table} lacks the column{'s' if len(missing) > 1 else ''} "
                        f"{', '.join(missing)}. Expected the columns of {EXPECTED.edition}."
                    )
            yield {
                name: ServerTable(name, self._schema, columns[name], there[name], self._url, connection)
                for name in columns
                if name in there
            }
