"""YAIB's demos, against the counts that come with them and the databases that they were made of."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from icudl.execution.context import RunContext
from icudl.preprocessing.cohort import CohortOptions, select_cohort
from icudl.preprocessing.outcome import OutcomeOptions
from icudl.variables import STUDY_NAMES
from yaib_cohorts import read

pytestmark = pytest.mark.data

DEATH = OutcomeOptions(event="icu_death")


@pytest.mark.parametrize(
    ("name", "database", "stays", "deaths"), [("eicu_demo", "eicu", 1367, 70), ("mimic_demo", "mimic3", 99, 21)]
)
def test_all_stays_and_deaths_come_out(
    data_folder: Path, context: RunContext, name: str, database: str, stays: int, deaths: int
) -> None:
    tables = read(data_folder / "yaib-demo" / "mortality24" / name, context, STUDY_NAMES, database=database)
    cohort, flow = select_cohort(tables, CohortOptions(min_age_years=0), DEATH)
    assert (len(cohort), int(cohort["label"].sum())) == (stays, deaths)
    assert flow.rows()[-1][2:] == (stays, stays, deaths)


def test_the_labels_are_deaths_in_the_icu(data_folder: Path, context: RunContext) -> None:
    """YAIB's mortality24 of eICU is the status at discharge from the unit, of every stay."""
    tables = read(data_folder / "yaib-demo" / "mortality24" / "eicu_demo", context, ("heartrate",), database="eicu")
    patients = pl.read_csv(data_folder / "eicu-demo-2.0" / "patient.csv.gz", infer_schema_length=None)
    unit = patients.select(
        stay_id=pl.col("patientunitstayid"), expired=pl.col("unitdischargestatus").str.to_lowercase() == "expired"
    )
    joined = tables.outcomes.join(unit, on="stay_id")
    assert len(joined) == 1367
    assert (joined["icu_death"] == joined["expired"]).all()
