"""From event rows to hourly means: the fate of each row is counted, and sums are exact."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from icudl.artifacts import HOURS_SCHEMA, Schema
from icudl.sources import rules
from icudl.sources.base import LATE
from icudl.sources.eicu.folder import ENTERED
from icudl.sources.eicu.items import (
    FLUIDS,
    LAB,
    LABELS,
    MAGNESIUM_MEQ,
    NO_URINE_LABELS,
    NURSE,
    RESPIRATORY,
    URINE,
    URINE_LABELS,
    URINE_PATH,
    Item,
)
from icudl.sources.reading.tallies import COUNTS_SCHEMA, cleaning_of, totals
from icudl.sources.table import texts, units
from icudl.variables import Variable

FATES: tuple[str, ...] = (
    "kept",
    "dropped: of no stay with an outcome",
    "dropped: no time",
    "dropped: before the stay",
    "dropped: after the stay",
    "dropped: outside the window",
    "dropped: no numeric value",
    "dropped: unit of another kind",
    "dropped: outside the gate",
    "dropped: implausible value",
    "dropped: superseded result",
    "dropped: repeated row",
)
"""Fates of a row; a row that several rules would drop is counted under the first of them in this order."""

(
    _KEPT, _NO_STAY, _NO_TIME, _BEFORE, _AFTER, _NO_WINDOW, _NO_NUMBER, _UNIT, _GATED, _IMPLAUSIBLE, _SUPERSEDED,
    _REPEATED,
) = range(len(FATES))  # fmt: skip
_LATE = len(FATES)

KEPT_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "minute": pl.Int32,
    "item": pl.Int16,  # position in ``items.LABELS``
    "variable": pl.UInt8,
    "amount": pl.Int64,
    "revised": pl.Int32,  # minute of the last revision; 0 where there is none
}
_ROWS_PER_PART = 20_000_000


def entries(table: str, rows: pl.DataFrame, known: Sequence[Item] = LABELS) -> pl.DataFrame:
    """Return the rows of an event table whose item is known.

    Args:
        table: Name of the table.
        rows: Its rows; blanks around their texts do not count.
        known: The items; their positions are their numbers.

    Returns:
        stay_id, minute, item, value (null where it is no number), odd_unit (a unit that is known for the variable, and
        not the one that the rules expect), revised, and stored (the minute of its entry; null where it is not known).
    """
    rows = rows.with_columns(pl.col(pl.String).str.strip_chars())
    labels = pl.DataFrame(
        [(label, number) for number, (of, label) in enumerate(known) if of == table],
        schema={"label": pl.String, "item": pl.Int64},
        orient="row",
    )
    if table in {LAB, NURSE, RESPIRATORY, FLUIDS}:
        found = _long(table, rows, labels)
    else:
        names = [name for name in labels["label"] if name in rows.columns]
        found = rows.unpivot(
            on=names, index=["patientunitstayid", "observationoffset"], variable_name="label", value_name="value"
        ).filter(pl.col("value").is_not_null())
        found = found.rename({"patientunitstayid": "stay_id", "observationoffset": "minute"})
    found = found.join(labels, on="label", how="inner")
    for name, default in (("odd_unit", False), ("revised", 0), ("stored", None)):
        if name not in found.columns:
            found = found.with_columns(pl.lit(default).alias(name))
    return found.select("stay_id", "minute", "item", "value", "odd_unit", pl.col("revised", "stored").cast(pl.Int64))


def _long(table: str, rows: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    if table == LAB:
        names = [label for label in labels["label"] if label != MAGNESIUM_MEQ]
        wanted = rows.filter(pl.col("labname").is_in(names))
        unit = pl.col("labmeasurenameinterface")
        in_meq = (pl.col("labname") == "magnesium") & (unit.str.to_lowercase() == "meq/l").fill_null(value=False)
        return wanted.join(
            _odd_units(wanted), on=["labname", "labmeasurenameinterface"], how="left", nulls_equal=True
        ).select(
            stay_id="patientunitstayid",
            minute="labresultoffset",
            label=pl.when(in_meq).then(pl.lit(MAGNESIUM_MEQ)).otherwise("labname"),
            value="labresult",
            odd_unit=pl.col("odd_unit").fill_null(value=False),
            revised=pl.col("labresultrevisedoffset").fill_null(0),
            stored="labresultrevisedoffset",
        )
    stored = {"stored": pl.col(ENTERED[table])} if ENTERED[table] in rows.columns else {}
    if table == NURSE:
        label = pl.concat_str("nursingchartcelltypevallabel", pl.lit("|"), "nursingchartcelltypevalname")
        named = rows.with_columns(label=label).filter(pl.col("label").is_in(labels["label"].to_list()))
        minute, written = "nursingchartoffset", named["nursingchartvalue"]
    elif table == RESPIRATORY:
        named = rows.with_columns(label="respchartvaluelabel").filter(pl.col("label").is_in(labels["label"].to_list()))
        minute, written = "respchartoffset", named["respchartvalue"].str.strip_suffix("%")
    else:
        output = pl.col("cellpath").str.contains(URINE_PATH, literal=True)
        urine = (
            output & pl.col("celllabel").str.contains(URINE_LABELS) & ~pl.col("celllabel").str.contains(NO_URINE_LABELS)
        )
        label = pl.when(urine).then(pl.lit(URINE)).otherwise(pl.col("celllabel"))
        # A label "urine" of intake is none of ours.
        mine = urine | (pl.col("celllabel") != URINE)
        named = rows.filter(mine).with_columns(label=label).filter(pl.col("label").is_in(labels["label"].to_list()))
        return named.select(
            "label", stay_id="patientunitstayid", minute="intakeoutputoffset", value="cellvaluenumeric", **stored
        )
    value = texts.numbers(texts.filled(written))
    chosen = named.select("label", stay_id="patientunitstayid", minute=minute, **stored)
    return chosen.with_columns(value.alias("value"))


def _odd_units(rows: pl.DataFrame) -> pl.DataFrame:
    """Return which units of which labs are known to need a conversion that the rules do not have."""
    of_lab = {label: variable for variable, label in _LAB_VARIABLES}
    pairs = rows.select("labname", "labmeasurenameinterface").unique()
    odd = []
    for name, unit in pairs.rows():
        # A lab of a variable beside the catalogue is in that variable's unit, whatever it is.
        variable = of_lab.get(name)
        conversion = units.conversion(variable, unit) if unit and variable else None
        expected = name in {"ionized calcium"} or (name, (unit or "").lower()) == ("magnesium", "meq/l")
        odd.append(bool(conversion and conversion.is_change and not expected))
    return pairs.with_columns(pl.Series("odd_unit", odd, dtype=pl.Boolean))


def _lab_variables() -> list[tuple[str, str]]:
    from icudl.sources.eicu.items import SERIES

    return [(variable, label) for variable, items in SERIES.items() for table, label in items if table == LAB]


_LAB_VARIABLES = _lab_variables()


def judged(
    found: pl.DataFrame, ends: pl.DataFrame, book: pl.DataFrame, window_hours: int, *, by_stored: bool = False
) -> pl.DataFrame:
    """Return the fate of each row.

    Args:
        found: What ``entries`` gives.
        ends: ``Stays.ends``.
        book: Rules of the table (``RuleBook.table``).
        window_hours: Length of the window.
        by_stored: Whether a row that is stored after the window is left out.

    Returns:
        ``KEPT_SCHEMA`` (amount null where dropped) and fate, is_converted and is_repaired.
    """
    rows = found.join(book, on="item", how="inner").join(ends, on="stay_id", how="left")
    value = rules.canonical()
    minute, end = pl.col("minute"), window_hours * 60
    late = (pl.col("stored") >= end).fill_null(value=False) if by_stored else pl.lit(value=False)
    fate = (
        pl.when(pl.col("end").is_null())
        .then(_NO_STAY)
        .when(minute.is_null())
        .then(_NO_TIME)
        .when(minute < 0)
        .then(_BEFORE)
        .when(minute >= pl.col("end"))
        .then(_AFTER)
        .when(minute >= end)
        .then(_NO_WINDOW)
        .when(late)
        .then(_LATE)
        .when(~pl.col("value").is_finite().fill_null(value=False))
        .then(_NO_NUMBER)
        .when("odd_unit")
        .then(_UNIT)
        .when(rules.is_gated())
        .then(_GATED)
        .when(rules.is_implausible(value))
        .then(_IMPLAUSIBLE)
        .otherwise(_KEPT)
        .cast(pl.UInt8)
    )
    reached = pl.col("fate").is_in([_KEPT, _IMPLAUSIBLE])
    return rows.with_columns(fate=fate).select(
        "stay_id",
        # A minute outside the window needs no room: its row is dropped.
        minute=pl.when(pl.col("fate") == _KEPT).then(minute).cast(pl.Int32),
        item=pl.col("item").cast(pl.Int16),
        variable="variable",
        amount=pl.when(pl.col("fate") == _KEPT).then(rules.amount(value)),
        revised=pl.when(pl.col("fate") == _KEPT).then("revised").cast(pl.Int32, strict=False).fill_null(0),
        fate="fate",
        is_converted=rules.is_converted() & reached,
        is_repaired=rules.is_repaired().fill_null(value=False) & reached,
    )


def tallied(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the kept rows (``KEPT_SCHEMA``) of judged rows, and the counts of all (``COUNTS_SCHEMA``)."""
    counts = rows.group_by("variable", "fate").agg(
        rows=pl.len().cast(pl.Int64),
        converted=pl.col("is_converted").sum().cast(pl.Int64),
        repaired=pl.col("is_repaired").sum().cast(pl.Int64),
    )
    return rows.filter(pl.col("fate") == _KEPT).select(list(KEPT_SCHEMA)), counts.select(list(COUNTS_SCHEMA))


def _parts(rows: int, stay_ids: pl.Series) -> Iterator[tuple[int, int]]:
    """Yield ranges of stay ids, both ends included, each with about ``_ROWS_PER_PART`` of the rows."""
    bounds = np.linspace(0, len(stay_ids), max(1, math.ceil(rows / _ROWS_PER_PART)) + 1).astype(int).tolist()
    for low, high in itertools.pairwise(bounds):
        if high > low:
            yield stay_ids[low], stay_ids[high - 1]


def binned(files: Sequence[Path], rows: int, stay_ids: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add up kept rows.

    Of several results of one lab at one time the last revision counts. Equal rows are one entry filed twice; rows
    of one item at one time with other values are averaged with it.

    Args:
        files: Parquet files of ``KEPT_SCHEMA``.
        rows: How many rows they hold.
        stay_ids: Ids of the stays, ascending.

    Returns:
        ``HOURS_SCHEMA``, and variable, superseded and repeated rows.
    """
    hours, lost = [pl.DataFrame(schema=dict(HOURS_SCHEMA))], []
    place = ["stay_id", "minute", "item", "variable"]
    for low, high in _parts(rows, stay_ids):
        part = pl.scan_parquet(list(files)).filter(pl.col("stay_id").is_between(low, high)).collect()
        last = part.filter(pl.col("revised") == pl.col("revised").max().over(place))
        distinct = last.unique([*place, "amount"])
        counts = [frame.group_by("variable").len() for frame in (part, last, distinct)]
        joined = (
            counts[0].join(counts[1], on="variable", suffix="_last").join(counts[2], on="variable", suffix="_distinct")
        )
        lost.append(
            joined.select(
                "variable",
                superseded=pl.col("len").cast(pl.Int64) - pl.col("len_last"),
                repeated=pl.col("len_last").cast(pl.Int64) - pl.col("len_distinct"),
            )
        )
        sums = distinct.group_by("stay_id", "variable", hour=(pl.col("minute") // 60).cast(pl.Int16)).agg(
            total=pl.col("amount").sum(), count=pl.len()
        )
        hours.append(rules.means(sums))
    schema = {"variable": pl.UInt8, "superseded": pl.Int64, "repeated": pl.Int64}
    empty = pl.DataFrame(schema=schema)
    sums = pl.concat([empty, *lost]).group_by("variable").agg(pl.col("superseded", "repeated").sum())
    return pl.concat(hours), sums


def cleaning_table(
    counts: pl.DataFrame, lost: pl.DataFrame, variables: Sequence[Variable], *, by_stored: bool = False
) -> pl.DataFrame:
    """Return ``CLEANING_SCHEMA``; see ``tallies.cleaning_of``.

    Args:
        counts: ``COUNTS_SCHEMA``.
        lost: variable, superseded and repeated rows.
        variables: The variables by index.
        by_stored: Whether ``LATE`` is one of the rules.
    """
    total = totals(counts, (*FATES, LATE))
    for variable, superseded, repeated in lost.rows():
        total[variable, FATES[_SUPERSEDED]] = superseded
        total[variable, FATES[_REPEATED]] = repeated
        total[variable, FATES[_KEPT]] -= superseded + repeated
    return cleaning_of(total, (*FATES, LATE) if by_stored else FATES, variables)
