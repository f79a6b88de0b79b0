"""The tables of the eICU demo 2.0 that are to be had, against the account that comes with them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from eicu_tables import read
from icudl.artifacts import SourceTables
from own_tables import counts, said

pytestmark = pytest.mark.data

LABS = (
    "potassium", "calcium", "ph", "pco2", "lactate", "albumin", "bun", "creatinine", "sodium", "bicarbonate",
    "platelet", "glucose", "magnesium",
)  # fmt: skip
USE = (*LABS, "sysbp", "diasbp", "meanbp", "fio2", "urine", "weight")


@pytest.fixture(scope="module")
def tables(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SourceTables:
    folder = tmp_path_factory.mktemp("eicu") / "demo"
    folder.symlink_to(data_folder / "eicu-demo-2.0")
    return read(folder, USE, vitals=("vitalaperiodic",), files={"lab": "lab-of-178-stays/lab.csv.gz"})


def test_the_stays_of_186_hospitals(tables: SourceTables, data_folder: Path) -> None:
    patients = pl.read_csv(data_folder / "eicu-demo-2.0" / "patient.csv.gz", infer_schema=False)
    assert (len(patients), patients["hospitalid"].n_unique()) == (2520, 186)
    died = counts(tables, "died")
    assert died == {
        "no status at hospital discharge: the stay is left out": 28,
        "expired in the unit, not at hospital discharge: a death": 5,
    }
    assert len(tables.stays) == 2520 - 28
    assert tables.stays["died"].sum() == 212 + 5
    assert counts(tables, "age_years") == {"hidden: 91.4": 98}
    assert tables.stays["patient_id"].n_unique() <= 1841
    assert set(tables.stays["source_set"]) <= set(patients["hospitalid"])
    assert not [text for text in tables.warnings if "instead of" in text], "the rows are those of the demo"


def test_labs_of_178_stays_and_a_loud_warning(tables: SourceTables) -> None:
    assert "LAB has rows of 166 of 2,492 stays only" in said(tables)
    # Potassium has 1,167 rows: counted from the file by hand.
    assert counts(tables, "potassium")["read"] == 1167
    assert counts(tables, "magnesium")["read"] == 446
    of_labs = tables.hours.filter(pl.col("variable") < len(LABS))
    assert of_labs["stay_id"].n_unique() <= 166
    medians = dict(of_labs.group_by("variable").agg(pl.col("mean").median()).rows())
    for position, (low, high) in {0: (3.5, 4.5), 1: (0.9, 1.3), 7: (0.7, 1.6), 10: (150, 250), 12: (1.7, 2.2)}.items():
        assert low <= medians[position] <= high, LABS[position]


def test_urine_and_oxygen(tables: SourceTables) -> None:
    urine = counts(tables, "urine")
    assert urine["kept"] > 0.2 * urine["read"]
    assert counts(tables, "fio2")["dropped: outside the gate"] > 0
    oxygen = tables.hours.filter(pl.col("variable") == USE.index("fio2"))["mean"]
    assert oxygen.is_between(0.2, 1.0).all()
    assert oxygen.median() == pytest.approx(0.4, abs=0.1)
