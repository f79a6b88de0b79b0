"""From event rows to hourly means: the fate of each row is counted, and sums are exact.

Every row meets exactly one fate, so the counts add up to the rows read; ``docs/decisions`` gives the order of the
rules and the reason for whole-number sums.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import Schema
from icudl.errors import SourceError
from icudl.sources import rules
from icudl.sources.base import LATE
from icudl.sources.mimic.stays import NO_STAY, StayIndex, offset_of, rank_of, stay_key
from icudl.sources.reading.tallies import COUNTS_SCHEMA, cleaning_of, totals
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
"""Fates of a row; a row that several rules would drop is counted under the first of them in this order."""

_KEPT, _NO_TIME, _NO_STAY, _NO_WINDOW, _ERROR, _NO_NUMBER, _GATED, _IMPLAUSIBLE, _REPEATED = range(len(FATES))
_LATE = len(FATES)
_CONVERTED, _REPAIRED = 1, 2

KEPT_SCHEMA: Schema = {"key": pl.Int64, "amount": pl.Int64}
_SECONDS_PER_HOUR = 3600
_ROWS_PER_PART = 4_000_000

Integers = npt.NDArray[np.int64]


def classified(events: pl.DataFrame, table: pl.DataFrame, index: StayIndex, window_hours: int) -> pl.DataFrame:
    """Return the fate of each row, and the cell of each kept row.

    Args:
        events: Rows of one event table with patient, item, moment (seconds since 1970), value and is_error, and maybe
            stored (seconds since 1970, null where unknown): a row stored after the window is left out then. Rows of
            items without a rule are left out.
        table: Rules of that table (``RuleBook.table``).
        index: The ICU stays.
        window_hours: Length of the window.

    Returns:
        variable, fate, change, and for kept rows key (where they go) and amount.
    """
    keys = events.select(stay_key(pl.col("patient"), pl.col("moment"))).to_series()
    located = (
        events.lazy()
        .with_columns(index.locate(keys).alias("packed"))
        .join(table.lazy().with_columns(pl.col("item").cast(pl.Int32)), on="item", how="inner")
        .with_columns(is_number=pl.col("value").is_finite().fill_null(value=False))
    )
    value = rules.canonical()
    end = window_hours * _SECONDS_PER_HOUR
    late = pl.lit(value=False)
    if "stored" in events.columns:
        late = (offset_of(pl.col("packed")) + pl.col("stored") - pl.col("moment") >= end).fill_null(value=False)
    fate = (
        pl.when(pl.col("moment").is_null())
        .then(_NO_TIME)
        .when(pl.col("packed") == NO_STAY)
        .then(_NO_STAY)
        .when(offset_of(pl.col("packed")) >= end)
        .then(_NO_WINDOW)
        .when(late)
        .then(_LATE)
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
    place = _key(
        rank=rank_of(pl.col("packed")),
        hour=offset_of(pl.col("packed")) // _SECONDS_PER_HOUR,
        variable=pl.col("variable"),
        second=offset_of(pl.col("packed")) % _SECONDS_PER_HOUR,
        code=pl.col("code"),
    )
    rows = located.with_columns(fate=fate).select(
        "variable",
        "fate",
        change=pl.when(pl.col("fate").is_in([_KEPT, _IMPLAUSIBLE])).then(change.cast(pl.UInt8)).otherwise(0),
        key=pl.when(kept).then(place),
        amount=pl.when(kept).then(rules.amount(value)),
    )
    return rows.collect()


def tallied(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the kept rows (key, amount) of classified rows, and the counts of all rows (``COUNTS_SCHEMA``)."""
    counts = rows.group_by("variable", "fate").agg(
        rows=pl.len().cast(pl.Int64),
        converted=(pl.col("change") == _CONVERTED).sum().cast(pl.Int64),
        repaired=(pl.col("change") == _REPAIRED).sum().cast(pl.Int64),
    )
    return rows.filter(pl.col("fate") == _KEPT).select("key", "amount"), counts


def totalled(counts: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the sum of several counts."""
    empty = pl.DataFrame(schema=COUNTS_SCHEMA)
    return pl.concat([empty, *counts]).group_by("variable", "fate").agg(pl.col("rows", "converted", "repaired").sum())


# A key says where a kept row goes, most significant part first: ascending keys are in the order of the hourly means,
# and equal keys are rows of one item at one time. 63 bits, so that it fits a signed integer.
_RANK_BITS, _HOUR_BITS, _VARIABLE_BITS, _SECOND_BITS, _CODE_BITS = 23, 10, 8, 12, 10
_CODE_STEP = 2**_CODE_BITS
_SECOND_STEP = 2**_SECOND_BITS
_VARIABLE_STEP = 2**_VARIABLE_BITS
_HOUR_STEP = 2**_HOUR_BITS
_GROUP_SHIFT = _SECOND_BITS + _CODE_BITS
_RANK_SHIFT = _HOUR_BITS + _VARIABLE_BITS + _GROUP_SHIFT


def _key(*, rank: pl.Expr, hour: pl.Expr, variable: pl.Expr, second: pl.Expr, code: pl.Expr) -> pl.Expr:
    group = (rank * _HOUR_STEP + hour) * _VARIABLE_STEP + variable.cast(pl.Int64)
    key: pl.Expr = (group * _SECOND_STEP + second) * _CODE_STEP + code.cast(pl.Int64)
    return key


def binned(files: list[Path], counts: pl.DataFrame, stay_ids: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add up kept rows.

    Args:
        files: Parquet files of kept rows (``KEPT_SCHEMA``).
        counts: Number of rows by fate (``COUNTS_SCHEMA``).
        stay_ids: (N,) ids of the stays by rank, ascending.

    Returns:
        The hourly means (``HOURS_SCHEMA``, sorted) and the counts for ``cleaning_table``.

    Raises:
        SourceError: The data hold more stays than a key can tell apart.
    """
    if len(stay_ids) > 2**_RANK_BITS:
        raise SourceError(
            f"{len(stay_ids)} ICU stays are more than the reader can hold. Expected at most {2**_RANK_BITS}."
        )
    rows = pl.scan_parquet(files)
    kept = int(counts.filter(pl.col("fate") == _KEPT)["rows"].sum())
    hours, distinct = [], []
    for low, high in _parts(kept, len(stay_ids)):
        inside = pl.col("key").is_between(low << _RANK_SHIFT, (high << _RANK_SHIFT) - 1)
        part = rows.filter(inside).collect(engine="streaming")
        sums = _sums(part["key"].to_numpy(), part["amount"].to_numpy(), stay_ids)
        hours.append(rules.means(sums))
        distinct.append(sums.group_by("variable").agg(pl.col("count").sum()))
    return pl.concat(hours), with_repeated(counts, pl.concat(distinct))


def _parts(rows: int, stays: int) -> list[tuple[int, int]]:
    """Return ranges of stays, each with about ``_ROWS_PER_PART`` of the rows."""
    bounds = np.linspace(0, stays, max(1, math.ceil(rows / _ROWS_PER_PART)) + 1).astype(int).tolist()
    return list(itertools.pairwise(bounds))


def _sums(key: Integers, amount: Integers, stay_ids: pl.Series) -> pl.DataFrame:
    """Return total and number of the distinct rows of each stay, hour and variable, in this order."""
    order = np.argsort(key)
    key, amount = key[order], amount[order]
    distinct = _distinct(key, amount)
    group, amount = key[distinct] >> _GROUP_SHIFT, amount[distinct]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    place = group[starts]
    return pl.DataFrame(
        {
            "stay_id": stay_ids.gather(place // (_HOUR_STEP * _VARIABLE_STEP)),
            "hour": place // _VARIABLE_STEP % _HOUR_STEP,
            "variable": place % _VARIABLE_STEP,
            "total": np.add.reduceat(amount, starts) if len(starts) else amount,
            "count": np.diff(starts, append=len(group)),
        }
    ).with_columns(pl.col("variable").cast(pl.UInt8))


def _distinct(key: Integers, amount: Integers) -> npt.NDArray[np.bool_]:
    """Return which rows are not a repetition of another one; keys ascend, amounts are in any order."""
    distinct = np.ones(len(key), bool)
    same = key[1:] == key[:-1]
    tied = np.zeros(len(key), bool)
    tied[1:] |= same
    tied[:-1] |= same
    rows = np.flatnonzero(tied)
    rows = rows[np.lexsort((amount[rows], key[rows]))]
    repeated = (key[rows[1:]] == key[rows[:-1]]) & (amount[rows[1:]] == amount[rows[:-1]])
    distinct[rows[1:][repeated]] = False
    return distinct


def hours_of_sums(files: list[Path], stay_ids: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what ``binned`` returns, from files of sums that a database made (``mimic3.sql.SUMS_SCHEMA``)."""
    rows = pl.scan_parquet(files)
    numbers = pl.col("rows", "converted", "repaired", "count").cast(pl.Int64).sum()
    counts = rows.group_by("variable", "fate").agg(numbers).collect(engine="streaming")
    kept = rows.filter(pl.col("fate") == _KEPT)
    lines = int(kept.select(pl.len()).collect(engine="streaming").item())
    hours = []
    for low, high in _parts(lines, len(stay_ids)):
        inside = pl.col("stay_id").is_between(stay_ids[low], stay_ids[high - 1])
        sums = kept.filter(inside).group_by("stay_id", "hour", "variable").agg(pl.col("total", "count").sum())
        hours.append(rules.means(sums.collect(engine="streaming")).sort("stay_id", "hour", "variable"))
    distinct = counts.filter(pl.col("fate") == _KEPT).select("variable", "count")
    return pl.concat(hours), with_repeated(counts.select(list(COUNTS_SCHEMA)), distinct)


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


def cleaning_table(counts: pl.DataFrame, variables: tuple[Variable, ...], *, by_stored: bool = False) -> pl.DataFrame:
    """Return ``CLEANING_SCHEMA``; see ``tallies.cleaning_of``.

    Args:
        counts: ``COUNTS_SCHEMA``.
        variables: The variables by index.
        by_stored: Whether ``LATE`` is one of the rules.
    """
    return cleaning_of(totals(counts, (*FATES, LATE)), (*FATES, LATE) if by_stored else FATES, variables)
