"""The SQL of the reader of MIMIC databases, compiled from the same rules as the file reader's expressions.

Each event table is one statement: rules and stays are joined to the events, every row gets its fate in the order of
``binning.FATES``, repeated rows are folded, and the server adds up whole-number amounts per stay, hour and
variable. Identifiers and values are composed by psycopg; nothing a user writes becomes SQL text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import polars as pl
from psycopg import sql

from icudl.sources.mimic.binning import FATES
from icudl.sources.mimic.layout import STORED, Layout
from icudl.sources.rules import AMOUNT_SCALE

SUMS_SCHEMA: Mapping[str, type[pl.DataType]] = {
    "variable": pl.UInt8,
    "fate": pl.UInt8,
    "stay_id": pl.Int64,
    "hour": pl.Int16,
    "total": pl.Int64,
    "count": pl.UInt32,
    "rows": pl.Int64,
    "converted": pl.Int64,
    "repaired": pl.Int64,
}
"""Columns of the event statement. Kept rows: one line per stay, hour and variable, ``count`` distinct rows of ``rows``
read; other fates: stay_id, hour and total are null."""

_KEPT, _NO_TIME, _NO_STAY, _NO_WINDOW, _ERROR, _NO_NUMBER, _GATED, _IMPLAUSIBLE, _ = range(len(FATES))
_LATE = len(FATES)
_SQL_TYPES: Mapping[type[pl.DataType], sql.SQL] = {
    pl.Int64: sql.SQL("bigint"),
    pl.UInt8: sql.SQL("smallint"),
    pl.Int16: sql.SQL("smallint"),
    pl.Float64: sql.SQL("float8"),
}
_MOMENT = sql.SQL("floor(date_part('epoch', {}))::bigint")
# A cast of text to timestamp leaves a zone out without a word, and takes days and months in an order of the session.
# The text that no cast accepts makes the server name the value.
_WRITTEN_TIME = sql.SQL(
    "CASE WHEN btrim({text}) ~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([ T][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}([.][0-9]+)?)?$' "
    "THEN {text}::timestamp ELSE ('no YYYY-MM-DD HH:MM:SS without a zone: ' || {text})::timestamp END"
)
_TIME_TYPES = ("timestamp", "date")
_WHOLE_TYPES = ("int2", "int4", "int8")

ALL_PATIENTS = sql.SQL("true")
"""Condition on the patients of stays that leaves nobody out."""


@dataclasses.dataclass(frozen=True, eq=False)
class ServerTables:
    """The tables of a database on a server.

    Attributes:
        layout: The database.
        schemas: Schema of each table.
        types: The type of each column (``pg_type.typname``), by table and column, of the tables that are there.
    """

    layout: Layout
    schemas: Mapping[str, str]
    types: Mapping[str, Mapping[str, str]]

    def name(self, table: str) -> sql.Identifier:
        """Return the qualified name of a table."""
        return sql.Identifier(self.schemas[table], table)

    def read(self, table: str, column: str) -> sql.Composable:
        """Return a column of the table called ``event`` as the value that files give, whatever type a loader chose.

        A whole number may be in a column of numbers or text; one with decimals is an error. Text is trimmed. A time
        that is written as text has the form that files have.
        """
        identifier, dtype = sql.Identifier("event", column), self.layout.columns[table][column]
        if dtype in (pl.Int64, pl.Int32):
            if self.types[table].get(column) in _WHOLE_TYPES:
                return identifier  # as it is, so that an index on it serves
            return sql.SQL("regexp_replace(btrim({}::text), '[.]0+$', '')::bigint").format(identifier)
        if dtype is pl.String:
            return sql.SQL("btrim({}::text)").format(identifier)
        if dtype is pl.Datetime and self.types[table].get(column) not in _TIME_TYPES:
            return _WRITTEN_TIME.format(text=sql.SQL("{}::text").format(identifier))
        return sql.SQL("{}::{}").format(identifier, _HASHES[dtype][1])


def rows_of(tables: ServerTables, table: str) -> sql.Composed:
    """Return the statement that reads the needed columns of a small table, times as seconds since 1970.

    Args:
        tables: The tables of the database.
        table: Table.
    """
    columns = [
        sql.SQL("{} AS {}").format(
            _MOMENT.format(tables.read(table, name)) if dtype is pl.Datetime else tables.read(table, name),
            sql.Identifier(name),
        )
        for name, dtype in tables.layout.columns[table].items()
    ]
    return sql.SQL("SELECT {} FROM {} AS event").format(sql.SQL(", ").join(columns), tables.name(table))


def patients_with(tables: ServerTables, column: str, values: Sequence[str]) -> sql.Composed:
    """Return the condition on stays that a column of their patient has one of some values."""
    return sql.SQL("{} IN (SELECT {} FROM {} AS event WHERE {} = ANY({}))").format(
        tables.read("icustays", "subject_id"),
        tables.read("patients", "subject_id"),
        tables.name("patients"),
        tables.read("patients", column),
        sql.Literal(list(values)),
    )


def sums_of(
    tables: ServerTables, table: str, rules: pl.DataFrame, window_hours: int, patients: sql.Composable = ALL_PATIENTS
) -> sql.Composed:
    """Return the statement that classifies and adds up the rows of an event table (``SUMS_SCHEMA``).

    Args:
        tables: The tables of the database.
        table: Event table.
        rules: Its rules (``RuleBook.table``).
        window_hours: Length of the window.
        patients: Condition on stays; rows in other stays are outside any stay.
    """
    told = STORED in tables.layout.columns[table]
    return _SUMS.format(
        stay_subject=tables.read("icustays", "subject_id"),
        stay_id=tables.read("icustays", tables.layout.stay),
        subject=tables.read(table, "subject_id"),
        item=tables.read(table, "itemid"),
        rules=_values(rules),
        stays=tables.name("icustays"),
        patients=patients,
        events=tables.name(table),
        intime=_MOMENT.format(tables.read("icustays", "intime")),
        outtime=_MOMENT.format(tables.read("icustays", "outtime")),
        moment=_MOMENT.format(tables.read(table, "charttime")),
        stored=_MOMENT.format(tables.read(table, STORED)) if told else sql.SQL("NULL::bigint"),
        value=sql.Identifier("event", value_column(table, tables.layout)),
        flag=_flag(table, tables.layout),
        window=sql.Literal(window_hours * 3600),
        scale=sql.Literal(AMOUNT_SCALE),
        **{name: sql.Literal(fate) for name, fate in _FATE_NAMES.items()},
    )


def contents_of(tables: ServerTables, table: str, items: Sequence[int] | None) -> sql.Composed:
    """Return the statement that counts and hashes the needed columns of a table, independent of the order of rows.

    Args:
        tables: The tables of the database.
        table: Table.
        items: Item ids of interest; None for all rows.
    """
    hashed: sql.Composable = sql.Literal(0)
    for name, dtype in tables.layout.columns[table].items():
        hashed = sql.SQL("coalesce({hash}({column}, {before}), {name})").format(
            hash=_HASHES[dtype][0],
            column=sql.SQL("{}::{}").format(tables.read(table, name), _HASHES[dtype][1]),
            before=hashed,
            name=sql.SQL("hashtextextended({}, {})").format(sql.Literal(name), hashed),
        )
    where: sql.Composable = sql.SQL("")
    if items is not None:
        where = sql.SQL(" WHERE {} = ANY({})").format(tables.read(table, "itemid"), sql.Literal(list(items)))
    return sql.SQL("SELECT count(*), coalesce(sum({}), 0)::text FROM {} AS event{}").format(
        hashed, tables.name(table), where
    )


_HASHES = {
    pl.Int64: (sql.SQL("hashint8extended"), sql.SQL("bigint")),
    pl.Int32: (sql.SQL("hashint8extended"), sql.SQL("bigint")),
    pl.Float32: (sql.SQL("hashfloat8extended"), sql.SQL("float8")),
    pl.Float64: (sql.SQL("hashfloat8extended"), sql.SQL("float8")),
    pl.String: (sql.SQL("hashtextextended"), sql.SQL("text")),
    pl.Datetime: (sql.SQL("timestamp_hash_extended"), sql.SQL("timestamp")),
}


def value_column(table: str, layout: Layout) -> str:
    """Return the column of an event table that holds its numbers."""
    return "valuenum" if "valuenum" in layout.columns[table] else "value"


def _flag(table: str, layout: Layout) -> sql.Composable:
    name = next((name for name in ("error", "iserror") if name in layout.columns[table]), None)
    if name is None:
        return sql.SQL("false")
    return sql.SQL("coalesce({}::float8 = 1, false)").format(sql.Identifier("event", name))


def _values(rules: pl.DataFrame) -> sql.Composed:
    types = [_SQL_TYPES[type(dtype)] for dtype in rules.dtypes]
    rows = [
        sql.SQL("({})").format(
            sql.SQL(", ").join(
                sql.SQL("{}::{}").format(sql.Literal(str(cell)), kind) for cell, kind in zip(row, types, strict=True)
            )
        )
        for row in rules.iter_rows()
    ]
    names = sql.SQL(", ").join(map(sql.Identifier, rules.columns))
    return sql.SQL("rule ({}) AS (VALUES {})").format(names, sql.SQL(", ").join(rows))


_FATE_NAMES = {
    "kept": _KEPT,
    "no_time": _NO_TIME,
    "no_stay": _NO_STAY,
    "no_window": _NO_WINDOW,
    "error": _ERROR,
    "no_number": _NO_NUMBER,
    "gated": _GATED,
    "implausible": _IMPLAUSIBLE,
    "late": _LATE,
}

# A stay ends where it ends or where the patient's next stay begins, whichever is first: at most one stay is joined to
# a row. CASE guards the arithmetic: an amount is computed for kept rows only, so it cannot overflow.
_SUMS = sql.SQL("""
WITH {rules},
stay AS (
    SELECT subject_id, icustay_id, intime,
           least(outtime, lead(intime) OVER (PARTITION BY subject_id ORDER BY intime, icustay_id)) AS until
    FROM (SELECT {stay_subject} AS subject_id, {stay_id} AS icustay_id, {intime} AS intime, {outtime} AS outtime
          FROM {stays} AS event WHERE {patients}) AS times
),
event AS (
    SELECT {subject} AS subject_id, {moment} AS moment, {stored} AS stored, {value}::float8 AS value,
           {flag} AS is_error, rule.*
    FROM {events} AS event JOIN rule ON rule.item = {item}
),
located AS (
    SELECT event.*, stay.icustay_id, event.moment - stay.intime AS since,
           event.stored - stay.intime AS known,
           event.value BETWEEN event.repair_low AND event.repair_high AS is_repaired
    FROM event LEFT JOIN stay ON stay.subject_id = event.subject_id
        AND event.moment >= stay.intime AND (stay.until IS NULL OR event.moment < stay.until)
),
canonical AS (
    SELECT *,
           CASE WHEN is_repaired THEN (value - repair_offset) / repair_divisor
                WHEN value BETWEEN gate_low AND gate_high
                 AND value NOT IN ('NaN', 'Infinity', '-Infinity') THEN (value - unit_offset) / unit_divisor
           END AS quantity
    FROM located
),
classified AS (
    SELECT *,
           CASE WHEN moment IS NULL THEN {no_time}
                WHEN icustay_id IS NULL THEN {no_stay}
                WHEN since >= {window} THEN {no_window}
                WHEN known >= {window} THEN {late}
                WHEN is_error THEN {error}
                WHEN value IS NULL OR value IN ('NaN', 'Infinity', '-Infinity') THEN {no_number}
                WHEN quantity IS NULL THEN {gated}
                WHEN quantity NOT BETWEEN low AND high THEN {implausible}
                ELSE {kept} END AS fate
    FROM canonical
),
folded AS (
    SELECT variable, fate, item,
           CASE WHEN fate = {kept} THEN icustay_id END AS stay_id,
           CASE WHEN fate = {kept} THEN since END AS since,
           CASE WHEN fate = {kept} THEN floor(quantity * {scale}::float8 + 0.5::float8)::bigint END AS amount,
           count(*) AS n,
           count(*) FILTER (WHERE fate IN ({kept}, {implausible}) AND NOT is_repaired
                                  AND (unit_offset <> 0 OR unit_divisor <> 1)) AS n_converted,
           count(*) FILTER (WHERE fate IN ({kept}, {implausible}) AND is_repaired) AS n_repaired
    FROM classified
    GROUP BY 1, 2, 3, 4, 5, 6
)
SELECT variable, fate, stay_id, since / 3600 AS hour, sum(amount)::bigint AS total, count(*) AS count,
       sum(n)::bigint AS rows,
       sum(n_converted)::bigint AS converted, sum(n_repaired)::bigint AS repaired
FROM folded
GROUP BY 1, 2, 3, 4
""")
