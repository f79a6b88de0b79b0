"""The MIMIC-III demo, read from its own files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from icudl.artifacts import SourceTables
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.sources.base import VariableOptions, WindowOptions
from icudl.sources.mimic.binning import FATES
from icudl.sources.mimic3.files import Mimic3Files
from icudl.sources.mimic3.options import Mimic3Options
from icudl.stages.extract import extract

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def demo(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SourceTables:
    source = Mimic3Files(Mimic3Options(path=str(data_folder / "mimic-iii-demo-1.4")), seed=0)
    scratch = tmp_path_factory.mktemp("scratch")
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=1)
    return extract(source, VariableOptions(), WindowOptions(), context)


def test_stays(demo: SourceTables) -> None:
    adults = demo.stays.filter(pl.col("age_years") >= 18)
    long = adults.filter(pl.col("stay_hours") >= 48)
    alive = long.filter(pl.col("death_hours").is_null() | (pl.col("death_hours") > 48))
    first = alive.filter(pl.col("stay_number") == 1)
    assert [len(demo.stays), len(adults), len(long), len(alive), len(first)] == [136, 135, 72, 71, 51]
    assert [frame["died"].sum() for frame in (long, alive, first)] == [27, 26, 17]
    assert (long["admission_id"].n_unique(), long["patient_id"].n_unique()) == (69, 56)


def test_ages(demo: SourceTables) -> None:
    minor = demo.stays.filter(pl.col("age_years") < 18)
    assert minor["age_years"].to_list() == pytest.approx([17.2], abs=0.05)
    assert demo.stays["age_years"].max() == pytest.approx(91.4)


def test_the_stay_that_ends_in_the_window(demo: SourceTables) -> None:
    row = demo.stays.filter(pl.col("stay_id") == 224458).row(0, named=True)
    assert row["died"]
    assert row["death_hours"] == pytest.approx(47.87, abs=0.01)
    assert row["stay_hours"] == pytest.approx(50.9, abs=0.05)


def test_the_stay_without_vitals(demo: SourceTables) -> None:
    of_stay = demo.hours.filter(pl.col("stay_id") == 268282)
    groups = {demo.variables[index].group for index in of_stay["variable"].unique()}
    assert groups == {"lab"}


def test_all_variables_occur_in_the_shares_of_the_readme(demo: SourceTables) -> None:
    assert demo.hours["variable"].n_unique() == 19
    cohort = demo.stays.filter((pl.col("age_years") >= 18) & (pl.col("stay_hours") >= 48))
    counted = demo.hours.join(cohort, on="stay_id", how="semi").group_by("variable").agg(pl.col("stay_id").n_unique())
    share = {demo.variables[index].name: stays / 72 for index, stays in counted.rows()}
    assert [round(100 * share[name]) for name in ("albumin", "lactate", "pco2", "ph")] == [39, 60, 68, 69]


def test_counts_add_up_to_the_rows_of_the_files(demo: SourceTables, data_folder: Path) -> None:
    cleaning = demo.cleaning
    read = cleaning.filter(pl.col("rule") == "read")["rows"].sum()
    assert cleaning.filter(pl.col("rule").is_in(FATES))["rows"].sum() == read
    charts = pl.read_csv(data_folder / "mimic-iii-demo-1.4" / "CHARTEVENTS.csv.gz", columns=["itemid"])
    heart = charts["itemid"].is_in([211, 220045]).sum()
    assert cleaning.filter((pl.col("variable") == "heartrate") & (pl.col("rule") == "read"))["rows"].item() == heart
    assert demo.hours["count"].sum() == cleaning.filter(pl.col("rule") == "kept")["rows"].sum()
