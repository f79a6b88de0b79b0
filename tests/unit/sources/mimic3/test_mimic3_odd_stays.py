"""Stays whose tables contradict one another without a fault in any row: counted, each by its rule."""

from __future__ import annotations

from pathlib import Path

import pytest
from mimic3_tables import HEADERS, Hospital, admission, at, chart, patient, read, stay

from icudl.artifacts import SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext

DOD = HEADERS["PATIENTS"].split().index("DOD")
FLAG = HEADERS["ADMISSIONS"].split().index("HOSPITAL_EXPIRE_FLAG")
LARGEST = 2**28 - 1


def touched(tables: SourceTables, subject: str) -> dict[str, int]:
    found = tables.cleaning.filter(tables.cleaning["variable"] == subject)
    return dict(found.select("rule", "rows").rows())


def test_a_day_of_death_within_an_admission_that_the_patient_survived(tmp_path: Path, context: RunContext) -> None:
    """Patients 1 to 5: a survivor, dead in the admission by day alone, by day and time, after discharge, before it."""
    days = (None, 70, 70, 600, -34)
    patients = [patient(k) for k in range(1, 6)]
    for person, hours in zip(patients, days, strict=True):
        person[DOD] = None if hours is None else at(hours)[:10] + " 00:00:00"
    hospital = Hospital(
        stays=[stay(200 + k, 0, 50, subject=k, hadm=100 + k) for k in range(1, 6)],
        admissions=[admission(100 + k, subject=k, death=70 if k == 3 else None) for k in range(1, 6)],
        patients=patients,
    )
    tables = read(hospital.write(tmp_path / "hospital"), context)
    assert tables.stays["died"].to_list() == [False, False, True, False, False]
    assert touched(tables, "died") == {
        "day of death within the admission, neither flag nor time: a survivor": 1,
        "death before the ICU stay: not alive in the window": 1,
    }


def test_stays_that_overlap(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(
        charts=[chart(5, 211, 80), chart(15, 211, 90), chart(25, 211, 100)],
        stays=[stay(200, 0, 40), stay(201, 10, 20), stay(202, 40, 60), stay(203, 0, 40, subject=2, hadm=102)],
        admissions=[admission(100), admission(102, subject=2)],
        patients=[patient(1), patient(2)],
    )
    tables = read(hospital.write(tmp_path / "hospital"), context, use=("heartrate", "bun"))
    assert touched(tables, "(stays)") == {
        "overlaps the patient's next stay: what was charted then belongs to the next": 1
    }
    charted = tables.hours.filter(tables.hours["variable"] == 0)
    assert charted.select("stay_id", "hour").rows() == [(200, 5), (201, 5)]
    assert touched(tables, "heartrate")["dropped: outside any ICU stay"] == 1


def test_a_death_whose_time_is_not_told_may_have_been_in_the_icu_or_after(tmp_path: Path, context: RunContext) -> None:
    flagged = admission(101, subject=1)
    flagged[FLAG] = 1
    hospital = Hospital(
        stays=[stay(200 + k, 0, 50, subject=k, hadm=100 + k) for k in range(1, 5)],
        admissions=[
            flagged,
            *(admission(100 + k, subject=k, death=death) for k, death in ((2, 50), (3, 51), (4, None))),
        ],
        patients=[patient(k) for k in range(1, 5)],
    )
    tables = read(hospital.write(tmp_path / "hospital"), context)
    assert tables.stays["died"].to_list() == [True, True, True, False]
    assert tables.outcomes["icu_death"].to_list() == [None, True, False, False]


def test_patients_with_the_smallest_and_the_largest_id(tmp_path: Path, context: RunContext) -> None:
    ids = {0: 80, LARGEST: 90}
    hospital = Hospital(
        charts=[chart(5, 211, value, subject=subject) for subject, value in ids.items()],
        stays=[stay(200 + k, 0, 50, subject=subject, hadm=100 + k) for k, subject in enumerate(ids)],
        admissions=[admission(100 + k, subject=subject) for k, subject in enumerate(ids)],
        patients=[patient(subject) for subject in ids],
    )
    tables = read(hospital.write(tmp_path / "hospital"), context, use=("heartrate",))
    assert tables.hours.select("stay_id", "mean").rows() == [(200, 80), (201, 90)]
    for beyond in (-1, LARGEST + 1):
        hospital = Hospital(
            stays=[stay(200, 0, 50, subject=beyond)], admissions=[admission(subject=beyond)], patients=[patient(beyond)]
        )
        with pytest.raises(SourceError, match=f"SUBJECT_ID {beyond}; expected ids from 0 to {LARGEST}"):
            read(hospital.write(tmp_path / str(beyond)), context)


def test_what_is_charted_in_the_first_seconds_of_the_first_stay_is_kept(tmp_path: Path, context: RunContext) -> None:
    """How a row outside all stays is marked must not be what a row of a stay may have."""
    charts = [chart(0, 211, 80 + second, seconds=second) for second in range(4)]
    hospital = Hospital(charts=charts, stays=[stay(200, 0, 50)], admissions=[admission()], patients=[patient()])
    tables = read(hospital.write(tmp_path / "hospital"), context, use=("heartrate",))
    assert tables.hours.select("stay_id", "hour", "mean", "count").rows() == [(200, 0, 81.5, 4)]
