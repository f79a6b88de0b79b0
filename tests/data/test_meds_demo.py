"""The MIMIC-IV demo as MEDS events holds the stays and hourly values of the demo's own tables."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.sources import WindowOptions
from icudl.sources.mimic4 import Mimic4Files, Mimic4Options
from icudl.sources.rules import mimic4_rules
from icudl.variables import select
from meds_data import read

pytestmark = pytest.mark.data

VARIABLES = mimic4_rules().variables


def official_layout(events: pl.DataFrame, folder: Path) -> Path:
    """Write the events of the demo, which lie in one file, as the standard has them: two shards, metadata beside."""
    subjects = events["subject_id"].unique().sort()
    for number, some in enumerate((subjects[:50], subjects[50:])):
        place = folder / "data" / "train"
        place.mkdir(parents=True, exist_ok=True)
        shard = events.filter(pl.col("subject_id").is_in(some.to_list())).rename({"value": "numeric_value"})
        shard.drop("table").write_parquet(place / f"{number}.parquet")
    (folder / "metadata").mkdir()
    (folder / "metadata" / "dataset.json").write_text(json.dumps({"dataset_name": "MIMIC-IV-Demo"}), "utf-8")
    return folder


def test_the_demo_agrees_with_its_tables(data_folder: Path, tmp_path: Path) -> None:
    (file,) = (data_folder / "mimic-iv-demo-meds-events").glob("*.parquet")
    meds = read(official_layout(pl.read_parquet(file), tmp_path / "meds"), VARIABLES)
    scratch = tmp_path / "mimic-scratch"
    scratch.mkdir()
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=1)
    source = Mimic4Files(Mimic4Options(path=str(data_folder / "mimic-iv-demo-2.2")), 1)
    mimic = source.extract(select(VARIABLES), WindowOptions(hours=48), context)
    assert (meds.population, len(meds.stays)) == ("mimic-iv", 140)
    key = ["patient_id", "stay_number"]
    same = [*key, "age_years", "sex", "icu_type", "stay_hours", "death_hours", "died"]
    assert meds.stays.sort(key).select(same).equals(mimic.stays.sort(key).select(same))
    ids = meds.stays.select(*key, meds="stay_id").join(mimic.stays.select(*key, stay_id="stay_id"), on=key)
    hours = mimic.hours.join(ids, on="stay_id").select("meds", "hour", "variable", "mean", "count")
    columns = ["stay_id", "hour", "variable", "mean", "count"]
    expected = hours.rename({"meds": "stay_id"}).sort(columns[:3]).select(columns)
    assert len(expected) == 44_160
    assert meds.hours.sort(columns[:3]).select(columns).equals(expected)
