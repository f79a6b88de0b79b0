"""Tables that are hourly already, a column for each quantity: what becomes of their values.

Every value of a variable meets exactly one fate, so ``read`` is the sum of ``kept`` and all ``dropped: ...`` rules.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from icudl.sources import rules
from icudl.sources.reading.tallies import cleaning_of, totals
from icudl.sources.rules import RuleBook
from icudl.variables import Variable

FATES: tuple[str, ...] = (
    "kept",
    "dropped: of no stay with an outcome",
    "dropped: no time",
    "dropped: before the stay",
    "dropped: outside the window",
    "dropped: no numeric value",
    "dropped: outside the gate",
    "dropped: implausible value",
)
"""Fates of a value; one that several rules would drop is counted under the first of them in this order."""

_KEPT, _NO_STAY, _NO_TIME, _BEFORE, _NO_WINDOW, _NO_NUMBER, _GATED, _IMPLAUSIBLE = range(len(FATES))
HOURLY = "hourly"
"""The one table that rules of such a source name."""


def cleaned(
    wide: pl.DataFrame,
    labels: Sequence[str],
    book: RuleBook,
    stay_ids: pl.Series,
    variables: Sequence[Variable],
    window_hours: int,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Convert and check the values of a table that has one row for each stay and hour.

    Args:
        wide: stay_id (Int64), hour (Int64) and a column of numbers for some of the labels; null means not measured.
        labels: Names of columns; an item of the rules is a position here.
        book: Rules of the table ``HOURLY``.
        stay_ids: The stays that have an outcome.
        variables: The requested variables.
        window_hours: Length of the window.

    Returns:
        ``HOURS_SCHEMA``, and ``CLEANING_SCHEMA``: every rule of every variable, rules that touched nothing included.
    """
    table = book.table(variables, HOURLY)
    read = {labels[item]: item for item in table["item"].to_list() if labels[item] in wide.columns}
    rows = (
        wide.select("stay_id", "hour", *(pl.col(label).cast(pl.Float64) for label in read))
        .unpivot(on=list(read), index=["stay_id", "hour"], variable_name="label")
        .filter(pl.col("value").is_not_null())
        .with_columns(item=pl.col("label").replace_strict(read, default=None, return_dtype=pl.Int64))
        .join(table, on="item", how="inner")
    )
    value, hour = rules.canonical(), pl.col("hour")
    fate = (
        pl.when(~pl.col("stay_id").is_in(stay_ids.implode()).fill_null(value=False))
        .then(_NO_STAY)
        .when(hour.is_null())
        .then(_NO_TIME)
        .when(hour < 0)
        .then(_BEFORE)
        .when(hour >= window_hours)
        .then(_NO_WINDOW)
        .when(~pl.col("value").is_finite())
        .then(_NO_NUMBER)
        .when(rules.is_gated())
        .then(_GATED)
        .when(rules.is_implausible(value))
        .then(_IMPLAUSIBLE)
        .otherwise(_KEPT)
        .cast(pl.UInt8)
    )
    reached = pl.col("fate").is_in([_KEPT, _IMPLAUSIBLE])
    judged = rows.with_columns(fate=fate).with_columns(
        amount=pl.when(pl.col("fate") == _KEPT).then(rules.amount(value)),
        converted=rules.is_converted() & reached,
        repaired=rules.is_repaired().fill_null(value=False) & reached,
    )
    sums = (
        judged.filter(pl.col("fate") == _KEPT)
        .group_by("stay_id", "variable", "hour")
        .agg(total=pl.col("amount").sum(), count=pl.len())
    )
    counts = judged.group_by("variable", "fate").agg(
        rows=pl.len().cast(pl.Int64),
        converted=pl.col("converted").sum().cast(pl.Int64),
        repaired=pl.col("repaired").sum().cast(pl.Int64),
    )
    return rules.means(sums), cleaning_of(totals(counts, FATES), FATES, variables)
