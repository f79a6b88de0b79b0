"""Cases worked out by hand, one for each rule of reading CLIF."""

from __future__ import annotations

from pathlib import Path

import pytest

from clif_tables import Hospital, assessment, at, device, hospitalization, lab, location, patient, read, vital
from icudl.errors import ConfigError, SourceError
from icudl.sources.clif import Clif, ClifOptions, items
from icudl.sources.locating import Survey
from icudl.variables import CATALOGUE
from own_tables import counts, means, said


def cells(tables) -> list[tuple[int, str, float, int]]:
    return [(hour, name, mean, count) for _, hour, name, mean, count in means(tables)]


def test_vital_signs(tmp_path: Path) -> None:
    rows = [
        vital(1, "heart_rate", 80), vital(1, "heart_rate", 80), vital(-1, "heart_rate", 80),
        vital(100, "heart_rate", 80), vital(48, "heart_rate", 80), vital(None, "heart_rate", 80),
        vital(2, "heart_rate", None), vital(2, "heart_rate", 0), vital(2, "HEART_RATE ", 90),
        vital(3, "heart_rate", 80, number=9),
        vital(4, "sbp", 120, name="cuff"), vital(4, "sbp", 120, name="line"), vital(4, "sbp", 90, name="line"),
        vital(5, "temp_c", 37.0), vital(6, "temp_c", 98.6), vital(7, "temp_c", 60), vital(8, "height_cm", 180),
    ]  # fmt: skip
    tables = read(Hospital(vitals=rows).write(tmp_path / "clif"), ("heartrate", "sysbp", "tempc"))
    assert cells(tables) == [
        (1, "heartrate", 80.0, 1), (2, "heartrate", 90.0, 1), (4, "sysbp", 110.0, 3), (5, "tempc", 37.0, 1),
        (6, "tempc", 37.0, 1),
    ]  # fmt: skip
    assert counts(tables, "heartrate") == {
        "read": 10, "kept": 2, "dropped: repeated row": 1, "dropped: outside any ICU stay": 3,
        "dropped: outside the window": 1, "dropped: no time": 1, "dropped: no numeric value": 1,
        "dropped: implausible value": 1,
    }  # fmt: skip
    assert counts(tables, "tempc")["repaired unit"] == 1
    assert counts(tables, "tempc")["dropped: outside the gate"] == 1
    assert not tables.warnings


def test_units_of_labs(tmp_path: Path) -> None:
    rows = [
        lab(1, "calcium_ionized", 4.6, "mg/dL"), lab(2, "calcium_ionized", 1.15, "mmol/L"),
        lab(3, "troponin_t", 50, "ng/L"), lab(4, "inr", 1.3), lab(5, "inr", 1.4, "(no units)"),
        lab(6, "creatinine", 88.4017, "umol/L"), lab(7, "creatinine", 1, "cups"),
        lab(8, "creatinine", "1.5", "mg/dL"), lab(9, "creatinine", "<0.2", "mg/dL"),
        lab(10, "platelet_count", 200, "10^3/µL"), lab(11, "ph_venous", 735), lab(12, "crp", 5, "mg/L"),
        lab(13, "lactat", 5, "mmol/L"),
        lab(14, "creatinine", 2, "mg/dL", lab_collect_dttm=None, lab_result_dttm=at(20)),
    ]  # fmt: skip
    use = ("calcium", "troponin_t", "inr", "creatinine", "platelet", "ph")
    tables = read(Hospital(labs=rows).write(tmp_path / "clif"), use)
    assert cells(tables) == [
        (1, "calcium", pytest.approx(4.6 / 4.0078, abs=1e-6), 1), (2, "calcium", 1.15, 1), (3, "troponin_t", 0.05, 1),
        (4, "inr", 1.3, 1), (5, "inr", 1.4, 1), (6, "creatinine", 1.0, 1), (8, "creatinine", 1.5, 1),
        (10, "platelet", 200.0, 1), (11, "ph", 7.35, 1), (20, "creatinine", 2.0, 1),
    ]  # fmt: skip
    assert counts(tables, "creatinine")["not read: unknown unit"] == 1
    assert counts(tables, "labs.lactat") == {"unknown name": 1}
    assert "'cups' of creatinine (1 row)" in said(tables)
    assert "Categories that CLIF 2.1 does not have; these rows are not read: 'lactat' of labs (1 row)." in said(tables)


def test_devices_and_the_coma_scale(tmp_path: Path) -> None:
    rows = [
        device(1, device_category="IMV", fio2_set=0.5, resp_rate_obs=20), device(2, device_category="Nasal Cannula"),
        device(3, fio2_set=60), device(4),
    ]  # fmt: skip
    hospital = Hospital(
        respiratory_support=rows,
        patient_assessments=[assessment(1, "gcs_total", 14), assessment(1, "gcs_eye", 4), assessment(2, "RASS", -1)],
    )
    use = ("fio2", "mechanical_ventilation", "gcs", "resprate")
    assert cells(read(hospital.write(tmp_path / "clif"), use)) == [
        (1, "fio2", 0.5, 1), (1, "mechanical_ventilation", 1.0, 1), (1, "gcs", 14.0, 1), (1, "resprate", 20.0, 1),
        (2, "mechanical_ventilation", 0.0, 1), (3, "fio2", 0.6, 1),
    ]  # fmt: skip


def test_icu_rows_that_follow_each_other_are_one_stay(tmp_path: Path) -> None:
    adt = [
        location(0, 30), location(30, 60, location_type="surgical_icu"),
        location(60, 62, location_category="procedural"),
        location(62, 80), location(80, 110, location_category="ward"),
    ]  # fmt: skip
    hospital = Hospital(adt=adt, vitals=[vital(1, "heart_rate", 80), vital(61, "heart_rate", 90)])
    apart = read(hospital.write(tmp_path / "a"))
    assert apart.stays.sort("stay_number")["stay_hours"].to_list() == [60.0, 18.0]
    assert apart.stays["stay_id"].n_unique() == 2
    assert apart.stays["admission_id"].n_unique() == 1
    assert set(apart.stays["icu_type"]) == {"medical_icu"}
    assert apart.stays["source_set"].to_list() == ["north", "north"]
    together = read(hospital.write(tmp_path / "b"), gap_hours=2.0)
    assert together.stays["stay_hours"].to_list() == [80.0]
    assert read(Hospital(adt=[location(0, None)]).write(tmp_path / "c")).stays["stay_hours"].to_list() == [None]


@pytest.mark.parametrize(
    ("category", "death", "expected"),
    [
        ("Home", None, (False, None)),
        ("Expired", None, (True, 120.0)),
        ("expired ", at(118), (True, 120.0)),
        # A discharge at midnight of the day of death.
        ("Expired", at(130), (True, 130.0)),
        ("Expired", at(900), (True, 120.0)),
        ("Hospice", at(119), (False, None)),
        ("Missing", at(119), (True, 120.0)),
        ("Missing", at(500), (False, None)),
        (None, None, (False, None)),
    ],
)
def test_outcomes(category: str | None, death, expected, tmp_path: Path) -> None:
    hospital = Hospital(
        patient=[patient(death_dttm=death)], hospitalization=[hospitalization(discharge_category=category)]
    )
    tables = read(hospital.write(tmp_path / "clif"))
    assert tables.stays.select("died", "death_hours").rows() == [expected]
    if category in {"Missing", None}:
        told = counts(tables, "died")
        assert list(told.values()) == [1]
        assert ("count as survivals" in said(tables)) is (not expected[0])


def test_a_stay_without_an_outcome_is_left_out(tmp_path: Path) -> None:
    hospital = Hospital(
        patient=[patient(1), patient(2, sex_category="Unknown"), patient(3)],
        hospitalization=[
            hospitalization(1, age_at_admission=95), hospitalization(2),
            hospitalization(3, discharge_category="Still Admitted", discharge_dttm=None),
        ],
        adt=[location(number=k) for k in (1, 2, 3)],
    )  # fmt: skip
    tables = read(hospital.write(tmp_path / "clif"))
    assert len(tables.stays) == 2
    assert counts(tables, "died") == {"no outcome: the stay is left out": 1}
    assert counts(tables, "sex") == {"neither Female nor Male: unknown": 1}
    assert sorted(tables.stays["age_years"]) == [60.0, pytest.approx(91.4)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"patient": [patient(), patient()]}, "patient has patient_id P1 more than once"),
        ({"hospitalization": [hospitalization(2)]}, "of hospitalization_id H1, has no row in hospitalization"),
        ({"patient": [patient(2)]}, "of patient_id P1, has no row in patient"),
        ({"adt": [location(location_category="ward")]}, "No row of adt has the location_category icu"),
        ({"adt": [location(10, 5)]}, "ends before it begins"),
        ({"adt": [location(hospital_id="mimic")]}, r'Set source.population = "mimic-iv"'),
        ({"vitals": [vital(1, "sbp", 80)]}, "No value of the chosen variables"),
        ({"vitals": None}, r"'heartrate' is read from clif_vitals, which the folder .* lacks"),
    ],
)
def test_tables_that_are_refused(changes, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=expected):
        read(Hospital(**changes).write(tmp_path / "clif"))


def test_mimic_through_clif_is_mimic(tmp_path: Path) -> None:
    hospital = Hospital(adt=[location(hospital_id="mimic")]).write(tmp_path / "clif")
    assert read(hospital, population="mimic-iv").population == "mimic-iv"
    found = Clif.locate(hospital, Survey())
    assert found is not None
    assert (found.source, found.settings) == ("clif", {"path": str(hospital), "population": "mimic-iv"})
    assert [table.name for table in found.tables] == [
        "clif_patient",
        "clif_hospitalization",
        "clif_adt",
        "clif_vitals",
    ]
    missing = {table.name: table.variables for table in found.missing}
    assert missing["clif_patient_assessments"] == ("gcs",)
    assert "creatinine" in missing["clif_labs"]
    assert found.is_readable
    assert Clif.locate(tmp_path, Survey()) is None


def test_one_category_two_variables(tmp_path: Path) -> None:
    hospital = Hospital(labs=[lab(1, "potassium", 4, "mmol/L")]).write(tmp_path / "clif")
    with pytest.raises(ConfigError, match="measures potassium and potassium_serum"):
        read(hospital, ("potassium", "potassium_serum"))
    assert cells(read(hospital, ("potassium_serum",))) == [(1, "potassium_serum", 4.0, 1)]
    assert "CLIF has no urine" in said(read(hospital, ("potassium", "urine")))
    with pytest.raises(SourceError, match="None of the chosen variables"):
        read(hospital, ("urine",))


def test_rules_speak_of_the_catalogue() -> None:
    assert {each.variable for each in items.CATEGORIES} <= set(CATALOGUE)
    assert all(each.why.endswith(".") for each in items.CATEGORIES)
    assert "potassium_serum" not in items.AVAILABLE
    with pytest.raises(ConfigError, match="time_zone"):
        Clif(ClifOptions(time_zone="Mars/Base"), 1)
