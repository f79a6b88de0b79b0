"""A MIMIC database from PostgreSQL: filtered, cleaned and hour-binned on the server, streamed by COPY."""

from __future__ import annotations

import abc
import contextlib
import copy
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import psycopg
from psycopg import sql

from icudl.artifacts import STAYS_SCHEMA, SourceTables
from icudl.errors import ConfigError, SourceError
from icudl.execution.context import RunContext
from icudl.files import write_atomically
from icudl.sources.base import SourceBase, SourceFingerprint, SourceOptions, WindowOptions, cautions_of_stored
from icudl.sources.mimic import sql as queries
from icudl.sources.mimic.binning import cleaning_table, hours_of_sums
from icudl.sources.mimic.folder import require_event_tables
from icudl.sources.mimic.layout import EXPECTED_ITEM, Layout
from icudl.sources.mimic.sql import ServerTables
from icudl.sources.mimic.stays import TOLD, Stays, rules_of_stays
from icudl.sources.own_items import with_own_items
from icudl.sources.reading.hashing import fingerprint_of_rows, remembering
from icudl.sources.rules import TABLES, RuleBook
from icudl.sources.servers import postgres
from icudl.sources.servers.postgres import Expected
from icudl.variables import Variable

SETTINGS = ("SET LOCAL work_mem = '256MB'", "SET LOCAL jit = off")


class MimicPostgres(SourceBase):
    """The tables of a PostgreSQL database; a read-only account is enough.

    Attributes:
        layout: Tables and columns of the database.
        expected: What to say where the server holds something else.
        restricted: True unless the options declare the data open.
        available: Names of the variables that have rules.
        outcomes: All but a column of one's own.
    """

    outcomes = TOLD
    layout: ClassVar[Layout]
    expected: ClassVar[Expected]

    def __init__(
        self,
        options: SourceOptions,
        seed: int,
        *,
        url: str,
        schemas: Mapping[str, str],
        by: str,
        items: Mapping[str, Any],
        is_open: bool,
    ) -> None:
        """Take the connection from ``url`` and libpq's environment; nothing is opened yet.

        Args:
            options: An instance of the class's ``Options``.
            seed: Root of the run's random streams.
            url: The connection.
            schemas: Schema of each table.
            by: When values count as known (``base.BY``).
            items: Item ids that replace those of the rules.
            is_open: Whether the options declare the data open.
        """
        super().__init__(options, seed)
        self.restricted = not is_open
        self._layout = self.layout.by(by)
        self._by_stored = by == "stored"
        self._rules = self.rules().with_items(items)
        self.available = frozenset(self._rules.variables)
        self._url = url
        self._schemas = schemas
        names = list(dict.fromkeys(schemas.values()))
        self._kind = "schemas" if len(names) > 1 else "schema"
        self._names = " and ".join(names)
        self._place = f"{self._kind} {' and '.join(map(repr, names))}"

    @classmethod
    @abc.abstractmethod
    def rules(cls) -> RuleBook:
        """Return the rules of the database."""

    @abc.abstractmethod
    def stays_of(self, patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame) -> Stays:
        """Join the columns of the three small tables, times in whole seconds since 1970, to the ICU stays.

        Raises:
            SourceError: The tables contradict themselves or each other.
        """

    def with_own(self, own: Sequence[Variable]) -> MimicPostgres:
        """Return the source that reads and identifies itself by the rows of these variables too."""
        made = copy.copy(self)
        new = [variable for variable in own if variable.name not in self._rules.variables]
        book = with_own_items(self._rules, new, self._keys(), self.layout.place, EXPECTED_ITEM)
        made._rules = book  # noqa: SLF001 - of this very class
        return made

    def patients_read(self, tables: ServerTables) -> sql.Composable:  # noqa: ARG002 - for databases that choose
        """Return the condition on the stays that ``stays_of`` keeps."""
        return queries.ALL_PATIENTS

    def fingerprint(self, memory: Path) -> SourceFingerprint:
        """Identify the tables by the number and hash of their rows, and by the cleaning rules.

        The first call reads every row of interest. The result is remembered as long as the server counts no change of
        the table; tables without such counts (partitioned tables, views) are read each time.

        Raises:
            SourceError: The server cannot be reached, or a table or column is missing.
        """
        items = {table: sorted(self._items(table)) for table in TABLES}
        tables = {}
        with (
            remembering(memory / "postgres-hashes.json") as known,
            postgres.connection(self._url, read_only=True) as connection,
        ):
            there = self.tables(connection)
            for table in there.types:
                with self._translated(f"counting {table}"):
                    state = postgres.state_of(connection, self._schemas[table], table)
                    hashed = f"{state}|{items.get(table)}|{','.join(self._layout.columns[table])}"
                    key = None if state is None else hashlib.sha256(hashed.encode()).hexdigest()
                    content = known.get(key or "") or self._content(connection, there, table, items.get(table))
                tables[table] = content
                if key is not None:
                    known[key] = content
        return fingerprint_of_rows(rules_of_stays(self._rules), tables)

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Let the server clean and bin the events, in one consistent snapshot, and stream the sums.

        Raises:
            ConfigError: Two of the variables are read from the same item.
            SourceError: The server cannot be reached or goes away, a table or column is missing, or nothing was found.
        """
        self._require_known(variables)
        files, read = [], []
        with postgres.connection(self._url, read_only=True) as connection:
            for setting in SETTINGS:
                connection.execute(setting)
            there = self.tables(connection)
            self._rules.require_one_variable_an_item(variables)
            require_event_tables(self._rules, variables, there.types, self._place, self._layout)
            stays = self._stays(connection, there)
            for table in (table for table in TABLES if table in there.types):
                rules = self._rules.table(variables, table)
                if len(rules):
                    read.append(table)
                    statement = queries.sums_of(there, table, rules, window.hours, self.patients_read(there))
                    files.append(self._sums(connection, table, statement, context))
        if not files:
            raise SourceError("None of the chosen variables is measured in these tables. Choose others.")
        hours, counts = hours_of_sums(files, stays.table["stay_id"])
        if hours.is_empty():
            raise SourceError(
                f"No value of the chosen variables lies in the window of any ICU stay of {self._place}. "
                "Check that all tables are loaded, and the settings variables.use and window.hours."
            )
        cleaning = pl.concat([stays.cleaning, cleaning_table(counts, variables, by_stored=self._by_stored)])
        silent = self.layout.silent(read)
        return SourceTables(
            stays.table.select(list(STAYS_SCHEMA)),
            hours,
            cleaning,
            variables,
            window.hours,
            population=self.population,
            warnings=cautions_of_stored(cleaning, silent) if self._by_stored else (),
            outcomes=stays.outcomes,
        )

    def reach(self) -> str:
        """Connect and look for the tables; see ``sources.base.DataSource``."""
        with postgres.connection(self._url, read_only=True) as connection:
            return f"{len(self.tables(connection).types)} tables in {self._kind} {self._names}"

    def _items(self, table: str) -> set[int]:
        return {item for rule in self._rules.rules if rule.table == table for item in rule.items}

    def _translated(self, doing: str) -> contextlib.AbstractContextManager[None]:
        return postgres.translated(self._url, doing, self.expected)

    def tables(self, connection: psycopg.Connection) -> ServerTables:
        """Return the tables that are there, with the types of their columns.

        Raises:
            SourceError: A required table is missing, or a time carries a zone: the server would convert it to the zone
                of the client.
        """
        with self._translated("looking for tables"):
            found = connection.execute(
                "SELECT n.nspname, c.relname, a.attname, t.typname FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace "
                "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
                "LEFT JOIN pg_type t ON t.oid = a.atttypid "
                "WHERE n.nspname = ANY(%s) AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') "
                "ORDER BY 1, 2, 3",
                [list(self._schemas.values()), list(self._layout.columns)],
            ).fetchall()
        columns: dict[str, dict[str, str]] = {}
        for schema, table, column, kind in found:
            if schema == self._schemas[table]:
                columns.setdefault(table, {})[column] = kind
        types = {table: columns[table] for table in self._layout.columns if table in columns}
        missing = [self._shown(table) for table in self._layout.required if table not in types]
        if missing:
            verb = "lacks" if self._kind == "schema" else "lack"
            raise SourceError(f"S{self._place[1:]} {verb} {', '.join(missing)}. {self.expected.remedy}")
        self._require_naive_times(types)
        return ServerTables(self._layout, self._schemas, types)

    def _keys(self) -> tuple[str, str]:
        """Return the names under which a configuration gives items for this source, the surest first."""
        name = type(self).Options().name
        return name, name.split("_")[0]

    def _require_known(self, variables: tuple[Variable, ...]) -> None:
        """Refuse variables that the fingerprint does not cover.

        Raises:
            ConfigError: A variable beside the catalogue was not told to the source.
        """
        for variable in variables:
            if set(variable.items) & set(self._keys()) and variable.name not in self._rules.variables:
                raise ConfigError(
                    f"{variable.name} is read from a server that was not told of it, so its fingerprint does not cover "
                    "the rows. Tell it first: source = source.with_own([variable])."
                )

    def _shown(self, table: str) -> str:
        """Return a table as the database's documentation writes it, with its schema where there are several."""
        several = len(set(self._schemas.values())) > 1
        return f"{self._schemas[table]}.{table}" if several else self._layout.shown(table)

    def _require_naive_times(self, types: Mapping[str, Mapping[str, str]]) -> None:
        zoned = sorted(
            f"{table}.{column}"
            for table in types
            for column in self._layout.times(table)
            if types[table].get(column) == "timestamptz"
        )
        if zoned:
            raise SourceError(
                f"In {self._place} {', '.join(zoned)} "
                f"hold times with a time zone. The times of {self.expected.database} have none: change the columns to "
                "timestamp (ALTER TABLE ... TYPE timestamp USING ... AT TIME ZONE, in the zone they were loaded in), "
                f"or {self.expected.loading}."
            )

    def _stays(self, connection: psycopg.Connection, tables: ServerTables) -> Stays:
        frames = []
        for table in ("patients", "admissions", "icustays"):
            columns = self._layout.columns[table]
            types = {name: pl.Int64 if kind is pl.Datetime else kind for name, kind in columns.items()}
            statement = queries.rows_of(tables, table)
            with self._translated(f"reading {table}"):
                frame = pl.concat(postgres.copied(connection, statement, types))
            if frame.is_empty():
                raise SourceError(
                    f"Table {self._schemas[table]}.{table} has no rows. Load a release of {self.expected.database}."
                )
            frames.append(frame)
        return self.stays_of(*frames)

    def _content(
        self, connection: psycopg.Connection, tables: ServerTables, table: str, items: Sequence[int] | None
    ) -> dict[str, Any]:
        row = connection.execute(queries.contents_of(tables, table, items)).fetchone()
        if row is None:
            raise SourceError(f"Table {table} could not be counted. Check the connection and run again.")
        return {"rows": row[0], "hash": row[1]}

    def _sums(self, connection: psycopg.Connection, table: str, statement: sql.Composed, context: RunContext) -> Path:
        text = statement.as_string(connection)
        target = context.scratch / f"{table}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.parquet"
        if target.exists():
            return target
        doing = f"reading {table}"
        with context.progress.task(doing, unit="rows") as bar, self._translated(doing):
            chunks = []
            for chunk in postgres.copied(connection, statement, queries.SUMS_SCHEMA):
                chunks.append(chunk)
                bar.advance(len(chunk))
        write_atomically(target, lambda path: pl.concat(chunks).write_parquet(path, compression="lz4"))
        return target
