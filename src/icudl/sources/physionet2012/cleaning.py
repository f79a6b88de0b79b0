"""What the lines of the PhysioNet/CinC Challenge 2012 mean, and how many are dropped by which rule.

Every line of a variable meets exactly one fate, so ``read`` is the sum of ``kept`` and all ``dropped: ...`` rules.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA
from icudl.errors import SourceError
from icudl.sources import count_unknown_names, rules
from icudl.sources.physionet2012.parameters import DESCRIPTORS, PARAMETERS, STATIC_NAMES, STATIC_SPANS, rule_book
from icudl.sources.reading.tallies import READ, REPAIRED
from icudl.variables import Variable

FATES: tuple[str, ...] = (
    "kept",
    "dropped: -1 means missing",
    "dropped: no numeric value",
    "dropped: outside the window",
    "dropped: zero",
    "dropped: implausible value",
    "dropped: repeated row",
)
"""Fates of a line; a line that several rules would drop is counted under the first of them in this order."""

SEVERAL = "several values at one time"
# An entry is packed as (record * _MINUTES + minute) * _ITEMS + item: records of 9 digits, times up to 999:59.
_MINUTES, _ITEMS = 1 << 16, 1 << 8
_KEPT, _MISSING, _NO_NUMBER, _NO_WINDOW, _ZERO, _IMPLAUSIBLE, _REPEATED = range(len(FATES))


@dataclasses.dataclass(frozen=True, eq=False)
class Lines:
    """The lines of known parameters as numbers.

    Attributes:
        frame: record, minute (since admission), item (position in ``PARAMETERS``) and value (null where empty), in
            the order of the files.
        counts: How many lines of a set were read, had no parameter, or an unknown one (``CLEANING_SCHEMA``); each
            unknown parameter by its name as well.
    """

    frame: pl.DataFrame
    counts: pl.DataFrame


def numbered(lines: pl.DataFrame, source: str) -> Lines:
    """Turn text into numbers.

    Args:
        lines: record, time, parameter and value as written.
        source: Name of the set's file, for messages.

    Raises:
        SourceError: A time is not HH:MM, or a value is not a number.
    """
    named = lines.with_columns(pl.col("parameter").str.strip_chars().replace("", None))
    items = pl.DataFrame({"parameter": list(PARAMETERS)}).with_row_index("item")
    frame = (
        named.join(_minutes(lines, source), on="time", how="left", maintain_order="left", nulls_equal=True)
        .join(items, on="parameter", how="left", maintain_order="left")
        .with_columns(number=pl.col("value").str.strip_chars().cast(pl.Float64, strict=False))
    )
    bad = frame.filter(pl.col("number").is_null() & (pl.col("value").str.strip_chars().str.len_bytes() > 0))
    if not bad.is_empty():
        record, time, parameter, value = bad.select("record", "time", "parameter", "value").row(0)
        raise SourceError(
            f"{source}: record {record} has the value {value!r} for {parameter} at {time}. Expected a number."
        )
    names = frame["parameter"].drop_nulls()
    known = frame.filter(pl.col("item").is_not_null())
    counts = {
        "lines read": frame.height,
        "lines without a parameter": frame.height - len(names),
        "lines of an unknown parameter": len(names) - known.height,
    }
    return Lines(
        known.select("record", "minute", pl.col("item").cast(pl.Int64), value="number"),
        pl.concat([counted("(lines)", counts), count_unknown_names(names, PARAMETERS)]),
    )


def counted(variable: str, rules: Mapping[str, int]) -> pl.DataFrame:
    """Return ``CLEANING_SCHEMA`` of one variable: the rows that each rule touched."""
    rows = [(variable, rule, count) for rule, count in rules.items()]
    return pl.DataFrame(rows, schema=dict(CLEANING_SCHEMA), orient="row")


def _minutes(lines: pl.DataFrame, source: str) -> pl.DataFrame:
    """Return the minutes since admission of each time that occurs: a few thousand for millions of lines."""
    times = lines.select(pl.col("time").unique())
    parts = pl.col("time").str.strip_chars().str.extract_groups(r"^(\d{1,3}):([0-5]\d)$")
    hour, minute = (parts.struct.field(name).cast(pl.Int32) for name in ("1", "2"))
    table = times.with_columns(minute=hour * 60 + minute)
    bad = table.filter(pl.col("minute").is_null())["time"].sort()
    if not bad.is_empty():
        record = lines.filter(pl.col("time").eq_missing(bad[0]))["record"][0]
        raise SourceError(f"{source}: record {record} has the time {bad[0]!r}. Expected hours and minutes, HH:MM.")
    return table


def is_series() -> pl.Expr:
    """Return whether a line belongs to a time series and is neither a descriptor nor the weight at admission."""
    descriptor = pl.col("item") < len(DESCRIPTORS)
    return ~descriptor | ((pl.col("item") == PARAMETERS.index("Weight")) & (pl.col("minute") > 0))


def judged(lines: pl.DataFrame, variables: tuple[Variable, ...], window_hours: int) -> pl.DataFrame:
    """Return the fate of the lines of the chosen variables, equal lines taken together.

    Args:
        lines: ``Lines.frame``.
        variables: The variables; those that the challenge lacks have no line.
        window_hours: Length of the window.

    Returns:
        entry (record, minute and parameter packed into one integer), variable (index), fate, amount (whole
        millionths, null where dropped), lines (how many were equal) and repaired (how many of them were).
    """
    joined = lines.join(rule_book().table(variables, "records"), on="item", how="inner")
    value = rules.canonical()
    number = pl.col("value").is_finite().fill_null(value=False)
    fate = (
        pl.when(pl.col("value") == -1)
        .then(_MISSING)
        .when(~number)
        .then(_NO_NUMBER)
        .when(pl.col("minute") >= window_hours * 60)
        .then(_NO_WINDOW)
        .when((pl.col("value") == 0) & (pl.col("low") > 0))
        .then(_ZERO)
        .when(rules.is_implausible(value))
        .then(_IMPLAUSIBLE)
        .otherwise(_KEPT)
        .cast(pl.UInt8)
    )
    entry = pl.col("record") * _MINUTES * _ITEMS + pl.col("minute") * _ITEMS + pl.col("item")
    return (
        joined.select(
            "variable",
            entry=entry,
            fate=fate,
            amount=pl.when(fate == _KEPT).then(rules.amount(value)),
            repaired=rules.is_repaired() & number,
        )
        .group_by("entry", "variable", "fate", "amount")
        .agg(lines=pl.len().cast(pl.Int64), repaired=pl.col("repaired").sum().cast(pl.Int64))
    )


def totals(judged_lines: pl.DataFrame) -> pl.DataFrame:
    """Return record, hour, variable, total (sum of amounts) and count of the distinct lines that no rule dropped."""
    minute = pl.col("entry") // _ITEMS % _MINUTES
    return (
        judged_lines.filter(pl.col("fate") == _KEPT)
        .group_by((pl.col("entry") // (_MINUTES * _ITEMS)).alias("record"), (minute // 60).alias("hour"), "variable")
        .agg(total=pl.col("amount").sum(), count=pl.len())
    )


def count_fates(judged_lines: pl.DataFrame, variables: tuple[Variable, ...]) -> pl.DataFrame:
    """Return ``CLEANING_SCHEMA``: every rule of every variable, rules that touched nothing included.

    ``several values at one time`` counts the lines beyond the first of a record, time and parameter, whatever their
    fate; ``repaired unit`` counts those read in another unit. Equal lines are one entry filed twice: one is kept.
    """
    fate, lines = pl.col("fate"), pl.col("lines")
    repeated = pl.when(fate == _KEPT).then(lines - 1).otherwise(0).sum()
    of_fate = [
        repeated if k == _REPEATED else pl.when(fate == k).then(1 if k == _KEPT else lines).otherwise(0).sum()
        for k in range(len(FATES))
    ]
    table = (
        judged_lines.group_by("variable")
        .agg(
            lines.sum().alias(READ),
            *[count.alias(rule) for count, rule in zip(of_fate, FATES, strict=True)],
            pl.col("repaired").sum().alias(REPAIRED),
            (lines.sum() - pl.col("entry").n_unique()).alias(SEVERAL),
        )
        .rows_by_key("variable", named=True, unique=True)
    )
    names = (READ, *FATES, REPAIRED, SEVERAL)
    rows = [
        (variable.name, rule, table.get(position, {}).get(rule, 0))
        for position, variable in enumerate(variables)
        for rule in names
    ]
    return pl.DataFrame(rows, schema=dict(CLEANING_SCHEMA), orient="row")


def descriptors(lines: pl.DataFrame, records: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the static descriptors of each record and what was dropped of them.

    Args:
        lines: ``Lines.frame``.
        records: All record ids.

    Returns:
        record and one float column per descriptor but RecordID (null where unknown); ``CLEANING_SCHEMA`` rows.

    Raises:
        SourceError: A file holds another record than its name says.
    """
    static = lines.filter((pl.col("item") < len(DESCRIPTORS)) & (pl.col("minute") == 0))
    first = static.unique(["record", "item"], keep="first", maintain_order=True)
    wrong = static.filter((pl.col("item") == PARAMETERS.index("RecordID")) & (pl.col("value") != pl.col("record")))
    if not wrong.is_empty():
        name, _, _, inside = wrong.row(0)
        raise SourceError(f"The file of record {name} holds RecordID {inside:g}. Expected the same number.")
    frame = records.alias("record").to_frame()
    rows: list[tuple[str, str, int]] = []
    for parameter, span in STATIC_SPANS.items():
        values = first.filter(pl.col("item") == PARAMETERS.index(parameter)).select("record", "value")
        missing, inside = (pl.col("value") == -1).fill_null(value=True), pl.col("value").is_between(span.low, span.high)
        good = values.filter(~missing & inside)
        n_missing = values.filter(missing).height
        name = STATIC_NAMES[parameter]
        rows += [
            (name, READ, values.height),
            (name, FATES[_KEPT], good.height),
            (name, FATES[_MISSING], n_missing),
            (name, FATES[_IMPLAUSIBLE], values.height - good.height - n_missing),
        ]
        frame = frame.join(good.rename({"value": parameter}), on="record", how="left", maintain_order="left")
    return frame, pl.DataFrame(rows, schema=dict(CLEANING_SCHEMA), orient="row")
