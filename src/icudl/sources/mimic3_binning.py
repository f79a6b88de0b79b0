"""From event rows to hourly means: what happens to each row, counted, and exact sums.

Every row meets exactly one fate, so the counts add up to the rows read; ``docs/decisions`` gives the order of the
rules and the reason for whole-number sums.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import polars as pl

from icudl.artifacts import CLEANING_SCHEMA, HOURS_SCHEMA
from icudl.sources import rules
from icudl.sources.mimic3_stays import NO_STAY, StayIndex, offset_of, rank_of, stay_key
from icudl.variables import Variable

FATES: tuple[str, ...] = (
    "kept",
    "dropped: no time",
    "dropped: outside any ICU stay",
    "dropped: outside the window",
    "dropped: error flag",
    "dropped: no numeric value",
    "dropped: outside the gate",
    "dropped: implausible value",
    "dropped: repeated row",
)
"""What can become of a row; a row that several rules would drop is counted by the first of them in this order."""

READ, CONVERTED, REPAIRED = "read", "converted unit", "repaired unit"
_KEPT, _NO_TIME, _NO_STAY, _NO_WINDOW, _ERROR, _NO_NUMBER, _GATED, _IMPLAUSIBLE, _REPEATED = range(len(FATES))
_CONVERTED, _REPAIRED = 1, 2
_COUNT_COLUMNS = ("variable", "fate", "rows", "converted", "repaired")
_SECONDS_PER_HOUR = 3600
_ROWS_PER_PART = 4_000_000


def classified(events: pl.LazyFrame, table: pl.DataFrame, index: StayIndex, window_hours: int) -> pl.LazyFrame:
    """Return the fate of each row of interest, and where the kept ones go.

    Args:
        events: Rows of one event table with patient, item, moment (seconds since 1970), value and is_error.
        table: Rules of that table (``RuleBook.table``).
        index: The ICU stays.
        window_hours: Length of the window.

    Returns:
        item, variable, fate, change, and for kept rows rank (of the stay), offset (seconds) and amount.
    """
    wanted = table["item"].to_list()
    packed = stay_key(pl.col("patient"), pl.col("moment")).map_batches(
        index.locate, return_dtype=pl.Int64, is_elementwise=True
    )
    located = (
        events.filter(pl.col("item").is_in(wanted))
        .with_columns(packed=packed)
        .join(table.lazy(), on="item", how="inner")
        .with_columns(is_number=pl.col("value").is_finite().fill_null(value=False))
    )
    value = rules.canonical()
    fate = (
        pl.when(pl.col("moment").is_null())
        .then(_NO_TIME)
        .when(pl.col("packed") == NO_STAY)
        .then(_NO_STAY)
        .when(offset_of(pl.col("packed")) >= window_hours * _SECONDS_PER_HOUR)
        .then(_NO_WINDOW)
        .when("is_error")
        .then(_ERROR)
        .when(~pl.col("is_number"))
        .then(_NO_NUMBER)
        .when(rules.is_gated())
        .then(_GATED)
        .when(rules.is_implausible(value))
        .then(_IMPLAUSIBLE)
        .otherwise(_KEPT)
        .cast(pl.UInt8)
    )
    change = pl.when(rules.is_repaired()).then(_REPAIRED).when(rules.is_converted()).then(_CONVERTED).otherwise(0)
    kept = pl.col("fate") == _KEPT
    return located.with_columns(fate=fate).select(
        "item",
        "variable",
        "fate",
        change=pl.when(pl.col("fate").is_in([_KEPT, _IMPLAUSIBLE])).then(change.cast(pl.UInt8)).otherwise(0),
        rank=pl.when(kept).then(rank_of(pl.col("packed"))).cast(pl.Int32),
        offset=pl.when(kept).then(offset_of(pl.col("packed"))).cast(pl.Int32),
        amount=pl.when(kept).then(rules.amount(value)),
    )


def binned(files: list[Path], stay_ids: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add up the kept rows of the files that ``classified`` was written to.

    Args:
        files: Parquet files of classified rows.
        stay_ids: (N,) ids of the stays by rank, ascending.

    Returns:
        The hourly means (``HOURS_SCHEMA``, sorted) and the counts for ``cleaning_table``.
    """
    rows = pl.scan_parquet(files)
    counts = (
        rows.group_by("variable", "fate")
        .agg(
            rows=pl.len().cast(pl.Int64),
            converted=(pl.col("change") == _CONVERTED).sum().cast(pl.Int64),
            repaired=(pl.col("change") == _REPAIRED).sum().cast(pl.Int64),
        )
        .collect(engine="streaming")
    )
    kept = int(counts.filter(pl.col("fate") == _KEPT)["rows"].sum())
    parts = max(1, math.ceil(kept / _ROWS_PER_PART))
    hours, distinct = [], []
    for low, high in itertools.pairwise(np.linspace(0, len(stay_ids), parts + 1).astype(int)):
        part = rows.filter((pl.col("fate") == _KEPT) & pl.col("rank").is_between(int(low), int(high) - 1))
        sums = _sums(part).collect(engine="streaming")
        hours.append(means(sums.with_columns(stay_id=stay_ids.gather(sums["rank"]))))
        distinct.append(sums.group_by("variable").agg(pl.col("count").cast(pl.Int64).sum()))
    return pl.concat(hours), with_repeated(counts, pl.concat(distinct))


def _sums(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return total and number of the distinct rows of each stay, hour and variable."""
    unique = rows.group_by("rank", "offset", "item", "amount").agg(pl.col("variable").first())
    hour = (pl.col("offset") // _SECONDS_PER_HOUR).alias("hour")
    return unique.group_by("rank", hour, "variable").agg(total=pl.col("amount").sum(), count=pl.len())


def hours_of_sums(files: list[Path], stay_ids: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what ``binned`` returns, from files of sums that a database made (``mimic3_sql.SUMS_SCHEMA``)."""
    rows = pl.scan_parquet(files)
    numbers = pl.col("rows", "converted", "repaired", "count").cast(pl.Int64).sum()
    counts = rows.group_by("variable", "fate").agg(numbers).collect(engine="streaming")
    kept = rows.filter(pl.col("fate") == _KEPT)
    lines = kept.select(pl.len()).collect(engine="streaming").item()
    parts = max(1, math.ceil(lines / _ROWS_PER_PART))
    hours = []
    for low, high in itertools.pairwise(np.linspace(0, len(stay_ids), parts + 1).astype(int)):
        ids = stay_ids[int(low) : int(high)]
        part = kept.filter(pl.col("stay_id").is_between(ids[0], ids[-1])).group_by("stay_id", "hour", "variable")
        hours.append(means(part.agg(pl.col("total").sum(), pl.col("count").sum()).collect(engine="streaming")))
    distinct = counts.filter(pl.col("fate") == _KEPT).select("variable", "count")
    return pl.concat(hours), with_repeated(counts.select(_COUNT_COLUMNS), distinct)


def means(sums: pl.DataFrame) -> pl.DataFrame:
    """Return ``HOURS_SCHEMA`` rows, sorted, of stay_id, hour, variable, total (sum of amounts) and count.

    A mean is one division of two whole numbers: the same bits in every engine.
    """
    mean = pl.col("total").cast(pl.Float64) / (pl.col("count").cast(pl.Int64) * rules.AMOUNT_SCALE)
    return (
        sums.with_columns(mean=mean)
        .select(pl.col(column).cast(dtype) for column, dtype in HOURS_SCHEMA.items())
        .sort("stay_id", "hour", "variable")
    )


def with_repeated(counts: pl.DataFrame, distinct: pl.DataFrame) -> pl.DataFrame:
    """Move the repeated rows among the kept ones to a fate of their own.

    Args:
        counts: variable, fate, rows, converted, repaired; kept rows include the repeated ones.
        distinct: variable, count of distinct kept rows (several lines per variable may add up to it).
    """
    kept = counts.filter(pl.col("fate") == _KEPT).join(
        distinct.group_by("variable").agg(pl.col("count").sum()), on="variable"
    )
    columns = counts.columns
    return pl.concat(
        [
            counts.filter(pl.col("fate") != _KEPT),
            kept.with_columns(rows="count").select(columns),
            kept.select(
                "variable",
                pl.lit(_REPEATED, pl.UInt8).alias("fate"),
                rows=pl.col("rows") - pl.col("count"),
                converted=pl.lit(0, pl.Int64),
                repaired=pl.lit(0, pl.Int64),
            ).select(columns),
        ]
    )


def cleaning_table(counts: pl.DataFrame, variables: tuple[Variable, ...]) -> pl.DataFrame:
    """Return ``CLEANING_SCHEMA``: every rule of every variable, rules that touched nothing included.

    ``read`` is the sum of ``kept`` and all ``dropped: ...`` rules. ``converted unit`` and ``repaired unit`` count rows
    that passed all rules before conversion; they are dropped or kept afterwards like all others.

    Args:
        counts: variable (index), fate, and of the rows that met it: rows, converted, repaired.
        variables: The variables by index.
    """
    total: dict[tuple[int, str], int] = {}
    for variable, fate, rows, converted, repaired in counts.select(*_COUNT_COLUMNS).iter_rows():
        touched = {READ: rows, FATES[fate]: rows, CONVERTED: converted, REPAIRED: repaired}
        for rule, number in touched.items():
            total[variable, rule] = total.get((variable, rule), 0) + number
    names = (READ, *FATES, CONVERTED, REPAIRED)
    rows = [
        (variable.name, rule, total.get((position, rule), 0))
        for position, variable in enumerate(variables)
        for rule in names
    ]
    return pl.DataFrame(rows, schema=dict(CLEANING_SCHEMA), orient="row")
