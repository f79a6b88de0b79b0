"""How far CLIF's copy of the MIMIC-IV demo agrees with its own tables; docs/howto/run_on_clif.md says why not."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from clif_tables import read
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.sources import WindowOptions
from icudl.sources.mimic4 import Mimic4Files, Mimic4Options
from icudl.variables import select
from own_tables import counts

pytestmark = pytest.mark.data

EXACT = (
    "albumin", "alp", "alt", "ast", "bicarbonate", "bilirubin", "bun", "calcium_total", "creatinine", "fio2",
    "heartrate", "inr", "lactate", "magnesium", "platelet", "po2", "sao2", "spo2", "wbc",
)  # fmt: skip
CLOSE = {"calcium": 0.003, "tempc": 0.051}
"""Largest difference of an hourly value: a factor of 4.0 instead of 4.0078, and degrees rounded to a tenth."""

MOSTLY = ("sysbp", "diasbp", "meanbp", "resprate", "pco2", "ph")
WIDER = {"potassium": 604, "sodium": 525, "glucose": 572}
"""Hourly values where CLIF has one category for blood-gas analyser and laboratory; MIMIC's own has fewer."""

USE = (*EXACT, *CLOSE, *MOSTLY, *WIDER)


def test_the_demo_agrees_with_its_tables(data_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clif"
    folder.symlink_to(data_folder / "clif-demo-2.1")
    clif = read(folder, USE, population="mimic-iv")
    scratch = tmp_path / "mimic-scratch"
    scratch.mkdir()
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=1)
    source = Mimic4Files(Mimic4Options(path=str(data_folder / "mimic-iv-demo-2.2")), 1)
    mimic = source.extract(select(USE), WindowOptions(hours=48), context)
    assert (len(clif.stays), len(mimic.stays)) == (145, 140)
    length = pl.col("stay_hours").round(4).alias("length")
    pairs = clif.stays.with_columns(length).join(mimic.stays.with_columns(length), on=["admission_id", "length"])
    assert len(pairs) == 137
    for column in ("patient_id", "age_years", "sex", "died"):
        assert pairs[column].equals(pairs[f"{column}_right"], null_equal=True), column
    assert (pairs["death_hours"] - pairs["death_hours_right"]).abs().max() < 1e-9
    assert counts(clif, "died") == {}
    both = pairs.select(clif="stay_id", stay_id="stay_id_right").join(mimic.hours, on="stay_id", how="inner")
    joined = both.rename({"clif": "id"}).join(
        clif.hours.rename({"stay_id": "id"}), on=["id", "hour", "variable"], how="left", suffix="_clif"
    )
    for number, name in enumerate(USE):
        of_one = joined.filter(pl.col("variable") == number)
        difference = (of_one["mean"] - of_one["mean_clif"]).abs()
        assert of_one["mean_clif"].null_count() == 0, name
        if name in EXACT:
            assert difference.max() == 0, name
        if name in CLOSE:
            assert difference.max() <= CLOSE[name], name
        if name in MOSTLY:
            assert (difference == 0).mean() > 0.985, name
    of_pairs = clif.hours.join(pairs.select("stay_id"), on="stay_id", how="semi")
    for name, cells in WIDER.items():
        assert len(of_pairs.filter(pl.col("variable") == USE.index(name))) == cells
