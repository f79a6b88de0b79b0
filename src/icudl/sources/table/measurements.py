"""The tables of measurements: long and wide alike become rows of stay, time, name, value and unit."""

from __future__ import annotations

import dataclasses

import polars as pl

from icudl.artifacts import Schema
from icudl.errors import SourceError
from icudl.sources.table import columns, ids, texts
from icudl.sources.table.columns import VALUE_COLUMNS, Columns, Stated
from icudl.sources.table.files import Table
from icudl.sources.table.options import TableOptions
from icudl.sources.table.reading import Notes, frequent
from icudl.sources.table.texts import Moments

ENTRIES_SCHEMA: Schema = {
    "stay_id": pl.Int64,  # null where the row names none
    "moment": pl.Int64,  # microseconds, since 1970 or since admission; null where it cannot be read
    "since_admission": pl.Boolean,
    "name": pl.String,
    "unit": pl.String,  # as it is written; null where the row names none
    "value": pl.Float64,  # null where the text is no number
    "text": pl.String,  # of a value that is no number; null where the cell is empty
}
_UNIT_MICROSECONDS = {"seconds": 1e6, "minutes": 6e7, "hours": 3.6e9, "days": 8.64e10}
_FARTHEST = 2.0**62


@dataclasses.dataclass(frozen=True, eq=False)
class Entries:
    """The rows of a table of measurements.

    Attributes:
        rows: ``ENTRIES_SCHEMA``.
        times: The timestamps, or None if times are numbers.
        guesses: What was guessed, in sentences without a full stop.
    """

    rows: pl.DataFrame
    times: Moments | None
    guesses: tuple[str, ...]


def entries_of(table: Table, frame: pl.DataFrame, options: TableOptions, stated: Stated) -> Entries:
    """Read a table of measurements.

    An empty cell of a wide table is no row; one of a long table is a row without a value. A table that has neither a
    column of names nor one of values is wide, although another table of the data may be long.

    Args:
        table: Which one, for messages.
        frame: Its cells as text.
        options: Options of the source.
        stated: Headers by role, from the configuration; not all need be of this table.

    Raises:
        SourceError: A column is missing, or times are numbers in some rows and timestamps in others.
    """
    found = columns.found(frame.columns, stated, VALUE_COLUMNS, "value_columns", table.name, is_alone=False)
    pair = {"name", "value"}
    says_long = pair <= set(found.headers) or pair & set(stated) & set(found.headers)
    is_long = options.layout == "long" or (options.layout == "auto" and bool(says_long))
    found.require(
        ("stay_id", "time", "name", "value") if is_long else ("stay_id", "time"),
        "value_columns",
        table.name,
        frame.columns,
    )
    guesses = [f"{found.headers[role]!r} of {table.name} is {role}" for role in found.guessed]
    if not is_long:
        found = Columns({role: found.headers[role] for role in ("stay_id", "time")}, found.guessed)
        frame = _unpivoted(frame, found, options)
        found = Columns({**found.headers, "name": "name", "value": "value"}, found.guessed)
    return _entries(table, frame, found, options, guesses)


def _unpivoted(frame: pl.DataFrame, found: Columns, options: TableOptions) -> pl.DataFrame:
    """Return a row for each cell of a wide table that is not empty."""
    place = [found.headers["stay_id"], found.headers["time"]]
    inner = {place[0]: "(stay)", place[1]: "(time)"}
    values = [header for header in frame.columns if header not in place]
    filled = frame.select(
        *place, *(texts.filled(frame[header], options.missing).alias(header) for header in values)
    ).rename(inner)
    rows = filled.unpivot(on=values, index=list(inner.values()), variable_name="name", value_name="value")
    return rows.filter(pl.col("value").is_not_null()).rename(
        {new: old for old, new in inner.items() if old not in {"name", "value"}}
    )


def _entries(table: Table, frame: pl.DataFrame, found: Columns, options: TableOptions, guesses: list[str]) -> Entries:
    cell = {role: texts.filled(frame[header], options.missing) for role, header in found.headers.items()}
    decimal = table.decimal(options.decimal)
    value = texts.numbers(cell["value"], decimal)
    moment, times = _moments(table, cell["time"], found.headers["time"], decimal, options, guesses)
    unit = cell.get("unit", pl.Series("unit", [None] * len(frame), dtype=pl.String))
    rows = pl.DataFrame(
        {
            "stay_id": ids.numbered(cell["stay_id"], "stays"),
            "moment": moment,
            "since_admission": pl.Series([times is None] * len(frame), dtype=pl.Boolean),
            # "Na" is sodium.
            "name": texts.stripped(frame[found.headers["name"]]),
            "unit": unit,
            "value": value,
            "text": pl.select(pl.when(value.is_null()).then(cell["value"])).to_series(),
        }
    )
    return Entries(
        rows.select(pl.col(name).cast(dtype) for name, dtype in ENTRIES_SCHEMA.items()), times, tuple(guesses)
    )


def _moments(
    table: Table, time: pl.Series, header: str, decimal: str, options: TableOptions, guesses: list[str]
) -> tuple[pl.Series, Moments | None]:
    number = pl.Series(dtype=pl.Float64) if options.time_format else texts.numbers(time, decimal)
    numeric, written = int(number.is_not_null().sum()), int(time.is_not_null().sum())
    if not numeric:
        read = texts.moments(time, options.time_format, options.time_zone)
        _require_times(table, time.filter(read.moment.is_null() & time.is_not_null()), written, header, options)
        return read.moment, read
    other = time.filter(number.is_null() & time.is_not_null())
    if len(other) and texts.moments(other, "", options.time_zone).moment.is_not_null().any():
        raise SourceError(
            f"Column {header!r} of {table.name} has numbers ({numeric:,}) and timestamps ({len(other):,}, for example "
            f"{other[0]!r}). Which of them count from where cannot be told: give one kind in a table."
        )
    _require_times(table, other, written, header, options)
    unit = options.time_unit
    if unit == "auto":
        unit = "minutes" if "minute" in header.casefold() else "hours"
        if unit not in header.casefold() and "hour" not in header.casefold():
            guesses.append(f"numbers in {header!r} of {table.name} are {unit} since ICU admission")
    micro = (number * _UNIT_MICROSECONDS[unit]).round()
    return pl.select(pl.when(micro.abs() < _FARTHEST).then(micro)).to_series().cast(pl.Int64), None


def _require_times(table: Table, unread: pl.Series, written: int, header: str, options: TableOptions) -> None:
    """Refuse a table most of whose times cannot be read: those that can are read wrongly, too, if days are months."""
    if len(unread) * 2 <= written:
        return
    commas = unread.str.contains(f"^{texts.COMMA_NUMBER.pattern}$").sum()
    expected = options.time_format or "hours since ICU admission, or YYYY-MM-DD HH:MM[:SS]"
    other = 'source.decimal = ","' if commas * 2 > len(unread) else "source.time_format"
    raise SourceError(
        f"{len(unread):,} of {written:,} times in column {header!r} of {table.name} cannot be read: "
        f"{frequent(unread, 3)}. Expected {expected}; for other ways of writing set {other}."
    )


def require_one_clock(times: list[Moments], zone: str) -> None:
    """Check that either all timestamps have an offset from UTC or none, unless the zone of the others is stated.

    Raises:
        SourceError: They are mixed, and no zone is stated.
    """
    aware, naive = sum(each.aware for each in times), sum(each.naive for each in times)
    if aware and naive and not zone:
        raise SourceError(
            f"{aware:,} timestamps have an offset from UTC and {naive:,} have none. Their differences would be hours "
            'off: state the zone of the others, for example source.time_zone = "Europe/Berlin".'
        )


def notes_on_summer_time(times: list[Moments], notes: Notes) -> None:
    """Say how many timestamps fall into an hour that the clock shows twice."""
    twice = sum(each.twice for each in times)
    notes.count(
        "(times)",
        "hour that the clock shows twice: the first is taken",
        twice,
        f"{twice:,} timestamps fall into the hour that the clock shows twice when summer time ends. The first is "
        "taken, so they may be an hour early.",
    )
