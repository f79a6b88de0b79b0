"""YAIB's hours against the entries that they were made of, on MIMIC-III's demo: medians, and hour 0 is two hours."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

pytestmark = pytest.mark.data

HEART_RATES = (211, 220045)


def test_an_hour_is_the_median_of_its_entries_and_hour_0_holds_the_hour_before(data_folder: Path) -> None:
    (charts,) = (data_folder / "mimic-iii-demo-1.4").glob("CHARTEVENTS.csv*")
    (stays,) = (data_folder / "mimic-iii-demo-1.4").glob("ICUSTAYS.csv*")
    begun = pl.read_csv(stays).select(stay_id="icustay_id", begun=pl.col("intime").str.to_datetime("%F %T"))
    columns = ["icustay_id", "itemid", "charttime", "valuenum"]
    entries = pl.read_csv(charts, columns=columns, infer_schema_length=0).filter(
        pl.col("itemid").is_in([str(item) for item in HEART_RATES]), pl.col("valuenum") != ""
    )
    hours = (pl.col("charttime").str.to_datetime("%F %T") - pl.col("begun")).dt.total_seconds() / 3600
    placed = entries.with_columns(
        stay_id=pl.col("icustay_id").cast(pl.Int64, strict=False), value=pl.col("valuenum").cast(pl.Float64)
    ).join(begun, on="stay_id")
    # A cast truncates toward zero, so the hour before admission is hour 0 as well.
    made = placed.group_by("stay_id", hour=hours.cast(pl.Int64)).agg(
        median=pl.col("value").median(), mean=pl.col("value").mean(), entries=pl.len()
    )
    cohort = pl.read_parquet(data_folder / "yaib-demo" / "mortality24" / "mimic_demo" / "dyn.parquet")
    theirs = cohort.select(
        stay_id=pl.col("stay_id").cast(pl.Int64), hour=pl.col("time").dt.total_hours(), value="hr"
    ).drop_nulls()
    both = theirs.join(made, on=["stay_id", "hour"], how="left")
    assert len(both) == 2212
    assert both["median"].null_count() == 0
    assert ((both["value"] - both["median"]).abs() < 1e-6).all()
    several = both.filter(pl.col("entries") > 2)
    assert (len(several), ((several["value"] - several["mean"]).abs() < 1e-6).sum()) == (148, 22)
