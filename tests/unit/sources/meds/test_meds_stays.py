"""Stays of MEDS data: pairs of admission and discharge, outcomes by code and by time, ages and ids."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from icudl.errors import SourceError
from meds_data import EICU, DataSet, at, event, of, person, read, stay
from own_tables import counts, means, said

PULSE = "LAB//220045//bpm"


def pulse(hours: float, value: float = 80, *, subject: int = 1):
    return event(hours, PULSE, value, subject=subject)


def test_a_stay_as_the_etl_of_mimic_writes_it(tmp_path: Path) -> None:
    tables = of(person(), stay(), pulse(0.5), pulse(99.5), pulse(-1), pulse(100), pulse(47.99, 90), path=tmp_path)
    assert tables.population == "mimic-iv"
    assert tables.stays.rows(named=True) == [
        {
            "stay_id": 1, "patient_id": 1, "admission_id": 1, "age_years": 60.0, "sex": "F", "icu_type": "MICU",
            "height_cm": None, "weight_kg": None, "source_set": "", "stay_number": 1, "stay_hours": 100.0,
            "death_hours": None, "died": False,
        }
    ]  # fmt: skip
    assert means(tables) == [(1, 0, "heartrate", 80.0, 1), (1, 47, "heartrate", 90.0, 1)]
    assert counts(tables, "heartrate") == {
        "read": 5, "kept": 2, "dropped: outside any ICU stay": 2, "dropped: outside the window": 1,
    }  # fmt: skip


def test_stays_without_ids_are_paired_in_order_and_matched_by_overlap(tmp_path: Path) -> None:
    events = [
        person(), stay(0, 50), stay(200, 260, left="DIED"),
        # Back to the ICU in one admission; the stay that begins where the last ends is another one.
        event(260, "ICU_ADMISSION//CCU"), event(270, "ICU_DISCHARGE//CCU"), pulse(1), pulse(201), pulse(265, 90),
    ]  # fmt: skip
    stays = of(*events, path=tmp_path).stays
    assert stays.sort("stay_number")["stay_hours"].to_list() == [50.0, 60.0, 10.0]
    assert stays.sort("stay_number")["died"].to_list() == [False, True, True]
    admissions = stays.sort("stay_number")["admission_id"].to_list()
    assert admissions[1] == admissions[2] != admissions[0]
    assert stays["stay_id"].n_unique() == 3
    assert set(stays["patient_id"]) == {1}


def test_ids_of_the_database_are_kept(tmp_path: Path) -> None:
    shards = {"0": [*person(), *stay(0, 50, ids=7), *stay(200, 260, ids=9), pulse(1)]}
    tables = read(DataSet(shards, has_ids=True).write(tmp_path / "meds"))
    assert tables.stays["stay_id"].to_list() == [7, 9]
    assert tables.stays["admission_id"].to_list() == [1007, 1009]
    twice = {"0": [*person(), *stay(0, 50, ids=7), *stay(200, 260, ids=7), pulse(1)]}
    with pytest.raises(SourceError, match="icustay_id 7 has more than one event of admission"):
        read(DataSet(twice, has_ids=True).write(tmp_path / "twice"))


@pytest.mark.parametrize(
    ("left", "death", "expected"),
    [
        ("HOME", None, (False, None)),
        ("DIED", None, (True, 120.0)),
        ("DIED", at(118.5), (True, 118.5)),
        ("HOME", at(50), (True, 50.0)),
        # Of a death with a date alone nobody knows whether it came after discharge.
        ("HOSPICE", datetime(2150, 1, 6), (False, None)),  # noqa: DTZ001
        ("HOME", at(500), (False, None)),
    ],
)
def test_deaths(tmp_path: Path, left: str, death: datetime | None, expected: tuple[bool, float | None]) -> None:
    events = [(1, death, "MEDS_DEATH", None, None, None)] if death else []
    tables = of(person(), stay(left=left), events, pulse(1), path=tmp_path)
    assert tables.stays.select("died", "death_hours").rows() == [expected]


def test_a_stay_without_an_outcome_is_left_out_and_counted(tmp_path: Path) -> None:
    open_end = [event(0, "ICU_ADMISSION//MICU", subject=2), event(60, "ICU_DISCHARGE//MICU", subject=2)]
    tables = of(person(), stay(), person(2), open_end, pulse(1), pulse(1, subject=2), path=tmp_path)
    assert tables.stays["patient_id"].to_list() == [1]
    assert counts(tables, "died") == {"no hospital discharge and no death: the stay is left out": 1}
    assert "1 ICU stay of 2 have no outcome" in said(tables)
    with pytest.raises(SourceError, match="No ICU stay has an outcome"):
        of(person(2), open_end, pulse(1, subject=2), path=tmp_path / "alone")


def test_ends_without_starts_and_starts_without_ends(tmp_path: Path) -> None:
    events = [event(-50, "ICU_DISCHARGE//MICU"), event(110, "ICU_ADMISSION//MICU"), pulse(1), pulse(112)]
    tables = of(person(), stay(), events, path=tmp_path)
    assert tables.stays.sort("stay_number")["stay_hours"].to_list() == [100.0, None]
    assert counts(tables, "(stays)") == {"end of an ICU stay without a start: left out": 1}
    assert counts(tables, "stay_hours") == {"no end of the ICU stay: its length is unknown": 1}


@pytest.mark.parametrize(
    ("born", "age"),
    [
        (datetime(2090, 1, 1), 60.0),  # noqa: DTZ001
        (datetime(2090, 6, 1), 59.0),  # noqa: DTZ001
        (datetime(2059, 1, 1), 91.4),  # noqa: DTZ001
    ],
)
def test_ages(tmp_path: Path, born: datetime, age: float) -> None:
    stays = of(person(born=born, sex="X"), stay(), pulse(1), path=tmp_path).stays
    assert stays["age_years"][0] == pytest.approx(age)
    assert stays["sex"].to_list() == [None]


def test_stays_as_the_etl_of_eicu_writes_them(tmp_path: Path) -> None:
    def unit(subject: int, status: str, unit_status: str = "Alive"):
        ids = {"subject": subject, "hadm": 73}
        return [
            event(-5, "HOSPITAL_ADMISSION//ER//South//t//>= 500", **ids),
            event(0, "ICU_ADMISSION//ER//admit", **ids, stay=subject + 10),
            event(60, f"ICU_DISCHARGE//{unit_status}//Floor", **ids, stay=subject + 10),
            event(80, f"HOSPITAL_DISCHARGE//{status}//Home", **ids),
            event(1, "VITALS//PERIODIC//HEARTRATE", 70, subject=subject),
        ]

    events = [*unit(1, "Alive"), *unit(2, "Expired"), *unit(3, "Alive", "Expired"), *unit(4, "UNK")]
    events += [event(2, "LAB//RESULT//ionized calcium//mg/dL", 4.6), event(3, "LAB//RESULT//creatinine//mg/dL", 1.5)]
    folder = DataSet({"0": events}, described=EICU, has_ids=True).write(tmp_path / "meds")
    tables = read(folder, ("heartrate", "calcium", "creatinine"))
    assert tables.population == "eicu by hospital stay"
    assert tables.stays.select("stay_id", "source_set", "icu_type", "died", "death_hours").rows() == [
        (11, "73", None, False, None), (12, "73", None, True, 80.0), (13, "73", None, True, 60.0),
    ]  # fmt: skip
    assert counts(tables, "died") == {
        "no status at hospital discharge: the stay is left out": 1,
        "expired in the unit, not at hospital discharge: a death": 1,
    }
    assert means(tables)[:3] == [
        (11, 1, "heartrate", 70.0, 1), (11, 2, "calcium", pytest.approx(4.6 / 4.0078, abs=1e-6), 1),
        (11, 3, "creatinine", 1.5, 1),
    ]  # fmt: skip
    assert "takes a hospital stay for a subject" in said(tables)
    assert "the time of their last revision" in said(tables)


def test_no_icu_admission_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"No event is an ICU admission .*source.events.icu_admission"):
        of(person(), pulse(1), path=tmp_path)
