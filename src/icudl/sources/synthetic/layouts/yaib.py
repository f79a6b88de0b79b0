"""The hospital as a cohort of YAIB's task mortality24: a row for each of the hours 0 to 24, and no patients.

As ricu makes them, and as YAIB's demo shows (``docs/decisions/0107-yaib.md``): the value of an hour is the median, and
hour 0 holds the hour before admission as well. Stays that end or patients who die before hour 30 are left out.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from icudl.sources.synthetic.layouts.base import (
    OLDEST_VISIBLE_AGE_YEARS,
    SECONDS_PER_YEAR,
    Frames,
    Layout,
    charted,
    variables,
    with_stay,
)
from icudl.sources.synthetic.layouts.clif import FAHRENHEIT
from icudl.sources.yaib.columns import OTHER, SERIES
from icudl.variables import CATALOGUE

LAST_HOUR = 24
SHORTEST_HOURS = 30
FEWEST_HOURS = 4
"""Hours of a stay in which something was measured."""

YOUNGEST_YEARS = 18
_OLDEST_YEARS = 90.0
_SECONDS_PER_HOUR = 3600
_COLUMNS = tuple(sorted({*(column for column, _ in SERIES.values()), *OTHER}))
_MERGED = {"potassium_serum": "potassium"}
"""Variables that have no column of their own."""


def frames(tables: Frames) -> Frames:
    """Return the three files of one block."""
    stays, hourly = _stays(tables), _hourly(tables)
    measured = hourly.group_by("stay_id").agg(hours=pl.col("hour").n_unique())
    kept = stays.join(measured.filter(pl.col("hours") >= FEWEST_HOURS), on="stay_id", how="semi", maintain_order="left")
    return {
        "dyn": _wide(kept, hourly),
        "sta": kept.select("stay_id", "age", "sex", height=pl.lit(None, pl.Float64), weight=pl.lit(None, pl.Float64)),
        "outc": kept.select("stay_id", "label"),
    }


def _stays(tables: Frames) -> pl.DataFrame:
    """Return the stays that YAIB keeps, by id: stay_id, age, sex and label, which is death in the ICU."""
    shortest = pl.duration(hours=SHORTEST_HOURS)
    age = (pl.col("INTIME") - pl.col("DOB")).dt.total_seconds() / SECONDS_PER_YEAR
    death = pl.col("DEATHTIME")
    return (
        tables["ICUSTAYS"]
        .join(tables["PATIENTS"].select("SUBJECT_ID", "GENDER", "DOB"), on="SUBJECT_ID")
        .join(tables["ADMISSIONS"].select("HADM_ID", "DEATHTIME"), on="HADM_ID")
        .filter(
            age >= YOUNGEST_YEARS,
            pl.col("OUTTIME") - pl.col("INTIME") >= shortest,
            death.is_null() | (death - pl.col("INTIME") > shortest),
        )
        .select(
            stay_id=pl.col("ICUSTAY_ID").cast(pl.Int32),
            # MIMIC-III dates the birth of those above 89 three hundred years back.
            age=pl.when(age > OLDEST_VISIBLE_AGE_YEARS).then(_OLDEST_YEARS).otherwise(age),
            sex=pl.when(pl.col("GENDER") == "F").then(pl.lit("Female")).otherwise(pl.lit("Male")),
            label=(death <= pl.col("OUTTIME")).fill_null(value=False).cast(pl.Int32),
        )
        .sort("stay_id")
    )


def _hourly(tables: Frames) -> pl.DataFrame:
    """Return stay_id, hour, column and the median of the plausible values; an entry made twice counts once."""
    columns = ("SUBJECT_ID", "CHARTTIME", "ITEMID", "VALUENUM")
    events = pl.concat([charted(tables).select(columns), tables["LABEVENTS"].select(columns)])
    known = _items()
    placed = with_stay(events.filter(pl.col("ITEMID").is_in(known["ITEMID"].to_list())), tables["ICUSTAYS"])
    celsius = pl.col("ITEMID").is_in(list(FAHRENHEIT))
    seconds = (pl.col("CHARTTIME") - pl.col("INTIME")).dt.total_seconds()
    return (
        placed.unique(["ICUSTAY_ID", "ITEMID", "CHARTTIME", "VALUENUM"])
        .join(known, on="ITEMID")
        .with_columns(value=pl.when(celsius).then((pl.col("VALUENUM") - 32.0) / 1.8).otherwise("VALUENUM"))
        .filter(pl.col("value").is_between("low", "high"))
        .with_columns(hour=(seconds / _SECONDS_PER_HOUR).cast(pl.Int64))
        .filter(pl.col("hour").is_between(0, LAST_HOUR))
        .group_by("hour", "column", stay_id=pl.col("ICUSTAY_ID").cast(pl.Int32))
        .agg(pl.col("value").median())
    )


def _items() -> pl.DataFrame:
    """Return item, column and plausible range of what has a column."""
    rows = []
    for item, measured in variables().items():
        name = _MERGED.get(measured, measured)
        if name in SERIES:
            rows.append((item, SERIES[name][0], float(CATALOGUE[name].low), float(CATALOGUE[name].high)))
    schema = {"ITEMID": pl.Int32, "column": pl.String, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _wide(stays: pl.DataFrame, hourly: pl.DataFrame) -> pl.DataFrame:
    grid = stays.select("stay_id", hour=pl.int_ranges(LAST_HOUR + 1)).explode("hour")
    filled = hourly.pivot("column", index=["stay_id", "hour"], values="value")
    table = grid.join(filled, on=["stay_id", "hour"], how="left", maintain_order="left")
    return table.select(
        "stay_id",
        pl.duration(hours="hour", time_unit="ms").alias("time"),
        *(pl.col(name) if name in table.columns else pl.lit(None, pl.Float64).alias(name) for name in _COLUMNS),
    )


def finish(folder: Path, file_format: str) -> None:
    """Write nothing: a cohort has no dictionaries."""


YAIB = Layout(name="yaib", formats=("parquet",), tables=("dyn", "sta", "outc"), frames=frames, finish=finish)
