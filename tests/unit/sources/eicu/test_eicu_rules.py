"""Cases worked out by hand, one for each rule of reading eICU."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from eicu_tables import OUTPUT, Hospital, fluid, lab, nurse, patient, read, respiratory, vitals
from icudl.errors import ConfigError, SourceError
from icudl.sources.base import LATE
from icudl.sources.eicu import Eicu, EicuOptions, items
from icudl.sources.eicu.binning import FATES
from icudl.sources.table import units
from icudl.variables import CATALOGUE
from own_tables import counts, means, said


def cells(tables, variable: str) -> dict[tuple[int, int], tuple[float, int]]:
    return {(s, h): (mean, count) for s, h, name, mean, count in means(tables) if name == variable}


def test_every_row_of_a_lab_meets_one_fate(tmp_path: Path) -> None:
    rows = [
        lab(0, "potassium", 4.0, "mmol/L"), lab(59, "potassium", 5.0, "mEq/L"), lab(59, "potassium", 5.0, "mEq/L"),
        lab(-1, "potassium", 4), lab(4320, "potassium", 4), lab(2880, "potassium", 4),
        lab(None, "potassium", 4, revised=1), lab(5, "potassium", 4, stay=99), lab(5, "potassium", ""),
        lab(5, "potassium", 99), lab(70, "urinary sodium", 40),
        lab(120, "potassium", 3.0, revised=120), lab(120, "potassium", 6.0, revised=180),
    ]  # fmt: skip
    tables = read(Hospital(lab=rows).write(tmp_path / "eicu"), ("potassium",))
    assert cells(tables, "potassium") == {(1, 0): (4.5, 2), (1, 2): (6.0, 1)}
    found = counts(tables, "potassium")
    assert found == {
        "read": 12, "kept": 3, "dropped: repeated row": 1, "dropped: before the stay": 1, "dropped: after the stay": 1,
        "dropped: outside the window": 1, "dropped: no time": 1, "dropped: of no stay with an outcome": 1,
        "dropped: no numeric value": 1, "dropped: implausible value": 1, "dropped: superseded result": 1,
    }  # fmt: skip
    assert sum(found.get(fate, 0) for fate in FATES) == found["read"]


def test_ionised_calcium_is_told_by_its_size_not_by_its_unit(tmp_path: Path) -> None:
    rows = [
        lab(0, "ionized calcium", 1.15, "mmol/L"),
        lab(60, "ionized calcium", 4.6, "mmol/L"),
        lab(120, "ionized calcium", 4.6, "mg/dL"),
    ]
    tables = read(Hospital(lab=rows).write(tmp_path / "eicu"), ("calcium",))
    found = cells(tables, "calcium")
    assert found[1, 0][0] == 1.15
    assert found[1, 1] == found[1, 2] == (pytest.approx(4.6 / 4.0078, abs=1e-6), 1)
    assert counts(tables, "calcium")["repaired unit"] == 2


def test_magnesium_in_meq(tmp_path: Path) -> None:
    rows = [lab(0, "magnesium", 2.0, "mg/dL"), lab(60, "magnesium", 1.6, "meq/L"), lab(120, "magnesium", 0.8, "mmol/L")]
    tables = read(Hospital(lab=rows).write(tmp_path / "eicu"), ("magnesium",))
    assert cells(tables, "magnesium") == {(1, 0): (2.0, 1), (1, 1): (pytest.approx(1.6 * 1.21525, abs=1e-5), 1)}
    assert counts(tables, "magnesium")["dropped: unit of another kind"] == 1
    assert counts(tables, "magnesium")["converted unit"] == 1


def test_what_nurses_chart(tmp_path: Path) -> None:
    rows = [
        nurse(0, "Heart Rate", "Heart Rate", "80"), nurse(0, "Heart Rate", "Heart Rate", "eighty"),
        nurse(60, "Temperature", "Temperature (C)", "37.0"), nurse(60, "Temperature", "Temperature (F)", "98.6"),
        nurse(120, "Temperature", "Temperature (C)", "98.6"),
        nurse(0, "Non-Invasive BP", "Non-Invasive BP Systolic", "110"),
        nurse(5, "Invasive BP", "Invasive BP Systolic", "120"), nurse(0, "Glasgow coma score", "GCS Total", "14"),
        nurse(0, "Glasgow coma score", "Motor", "6"), nurse(70, "MAP (mmHg)", "Value", "80"),
    ]  # fmt: skip
    use = ("heartrate", "tempc", "sysbp", "gcs", "meanbp")
    tables = read(Hospital(nursecharting=rows).write(tmp_path / "eicu"), use)
    assert means(tables) == [
        (1, 0, "heartrate", 80.0, 1), (1, 0, "sysbp", 115.0, 2), (1, 0, "gcs", 14.0, 1), (1, 1, "tempc", 37.0, 1),
        (1, 1, "meanbp", 80.0, 1), (1, 2, "tempc", 37.0, 1),
    ]  # fmt: skip
    assert counts(tables, "heartrate")["dropped: no numeric value"] == 1
    assert counts(tables, "tempc")["repaired unit"] == 1


def test_vital_signs_of_other_tables(tmp_path: Path) -> None:
    hospital = Hospital(
        nursecharting=None,
        vitalperiodic=[
            vitals(5, heartrate=90, sao2=96, systemicsystolic=130, temperature=""),
            vitals(10, heartrate=92),
        ],
        vitalaperiodic=[vitals(7, noninvasivesystolic=110, noninvasivemean=80)],
    )
    folder = hospital.write(tmp_path / "eicu")
    monitor = read(folder, ("heartrate", "spo2", "sysbp"), vitals=("vitalperiodic", "vitalaperiodic"))
    assert means(monitor) == [(1, 0, "heartrate", 91.0, 2), (1, 0, "spo2", 96.0, 1), (1, 0, "sysbp", 120.0, 2)]
    cuff = read(folder, ("sysbp", "meanbp"), vitals=("vitalaperiodic",))
    assert means(cuff) == [(1, 0, "sysbp", 110.0, 1), (1, 0, "meanbp", 80.0, 1)]


def test_inspired_oxygen(tmp_path: Path) -> None:
    values = ["40", "0.5", "60%", "1", "2", "21", "100", "Venti", "0"]
    rows = [respiratory(60 * k, "FiO2", value) for k, value in enumerate(values)]
    tables = read(Hospital(respiratorycharting=rows).write(tmp_path / "eicu"), ("fio2",))
    assert {hour: mean for (_, hour), (mean, _) in cells(tables, "fio2").items()} == {
        0: 0.4,
        1: 0.5,
        2: 0.6,
        5: 0.21,
        6: 1.0,
    }
    assert counts(tables, "fio2")["dropped: outside the gate"] == 3
    assert counts(tables, "fio2")["dropped: no numeric value"] == 1


def test_urine_is_output_that_is_a_volume(tmp_path: Path) -> None:
    labels = {
        "Urine": True, "URINE CATHETER": True, "Urinary Catheter Output: Indwelling/Continuous Ure": True,
        "Foley cath": True,
        "Urine Output-Foley": True, "Output (mL)-Urethral Catheter Latex 14 Fr.": True, "Urine, void:": True,
        "Urine Count": False, "Urine Occurrence": False, "unmeasured voids": False, "Stool": False,
        "Mixed Urine/Stool Volume": False, "foley OR": False,
    }  # fmt: skip
    rows = [fluid(60 * k, label, 100) for k, label in enumerate(labels)]
    rows += [
        fluid(60 * 20, "Urine", 100, path="flowsheet|Flowsheet Cell Labels|I&O|Intake (ml)|"),
        fluid(60 * 21, "urine", 50, path="x|"),
    ]
    rows += [
        fluid(60 * 22, "Bodyweight (kg)", 80, path="flowsheet|I&O|Weight|"),
        fluid(60 * 22, "Bodyweight (lb)", 176, path="x|"),
    ]
    tables = read(Hospital(intakeoutput=rows).write(tmp_path / "eicu"), ("urine", "weight"))
    expected = [k for k, is_urine in enumerate(labels.values()) if is_urine]
    assert [hour for _, hour in cells(tables, "urine")] == expected
    assert cells(tables, "weight") == {(1, 22): (80.0, 1)}
    assert OUTPUT.endswith(items.URINE_PATH)


def stays_of(tmp_path: Path, *patients):
    hospital = Hospital(patient=list(patients), lab=[lab(5, "potassium", 4, stay=patients[0]["patientunitstayid"])])
    return read(hospital.write(tmp_path / "eicu"), ("potassium",))


def test_stays(tmp_path: Path) -> None:
    tables = stays_of(
        tmp_path,
        patient(1),
        patient(2, gender="Female", age="> 89", hospitalid=9, hospitaldischargestatus="Expired", uniquepid="030-7"),
        patient(3, unitdischargestatus="Expired", hospitaldischargestatus="Alive", gender="Unknown", age=""),
        patient(4, hospitaldischargestatus="", unitdischargestatus="Alive", admissionheight=0.3),
        patient(5, hospitaldischargestatus="", unitdischargestatus="Expired", admissionweight=0.5, uniquepid="030-7"),
    )
    stays = tables.stays
    assert stays["stay_id"].to_list() == [1, 2, 3, 5]
    assert stays["patient_id"].to_list() == [2_000_000_001, 30_000_000_007, 2_000_000_003, 30_000_000_007]
    assert stays["died"].to_list() == [False, True, True, True]
    assert stays["death_hours"].to_list() == [None, 100.0, 72.0, 72.0]
    assert stays["stay_hours"].to_list() == [72.0] * 4
    assert stays["sex"].to_list() == ["M", "F", None, "M"]
    assert stays["age_years"].to_list() == [60.0, pytest.approx(91.4), None, 60.0]
    assert stays["source_set"].to_list() == ["73", "9", "73", "73"]
    assert stays["stay_number"].to_list() == [1, 1, 1, 2]
    assert stays["weight_kg"].to_list() == [80, 80, 80, None]
    assert counts(tables, "died") == {
        "no status at hospital discharge: the stay is left out": 1,
        "expired in the unit, not at hospital discharge: a death": 2,
    }
    assert "1 of 5 stays have no status at hospital discharge" in said(tables)


def test_stays_of_a_patient_are_in_order(tmp_path: Path) -> None:
    of = {"uniquepid": "002-5", "patienthealthsystemstayid": 7}
    tables = stays_of(
        tmp_path,
        patient(3, **of, unitvisitnumber=1),
        patient(1, **of, unitvisitnumber=2),
        patient(2, **of | {"patienthealthsystemstayid": 1}, hospitaldischargeyear=2015),
    )
    assert dict(tables.stays.select("stay_id", "stay_number").rows()) == {3: 1, 1: 2, 2: 3}


@pytest.mark.parametrize(
    ("patients", "expected"),
    [
        ([patient(1), patient(1)], "patientunitstayid 1 more than once"),
        ([patient(1, uniquepid="")], "have no uniquepid"),
        ([patient(1, uniquepid="2-01")], "uniquepid '2-01'"),
        ([patient(1, unitdischargeoffset=-3)], "ends before it begins"),
        ([patient(1, hospitaldischargestatus="Unknown")], "hospitaldischargestatus = 'Unknown' in 1 rows"),
        ([], "PATIENT has no rows"),
    ],
)
def test_patients_that_are_refused(patients, expected: str, tmp_path: Path) -> None:
    hospital = Hospital(patient=patients, lab=[lab(5, "potassium", 4)])
    with pytest.raises(SourceError, match=expected):
        read(hospital.write(tmp_path / "eicu"), ("potassium",))


def test_a_table_that_few_stays_have_is_a_loud_warning(tmp_path: Path) -> None:
    hospital = Hospital(patient=[patient(k) for k in range(1, 6)], lab=[lab(5, "potassium", 4)])
    told = said(read(hospital.write(tmp_path / "eicu"), ("potassium",)))
    assert "LAB has rows of 1 of 5 stays only" in told


def test_row_counts_of_a_release_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icudl.sources.eicu.releases.RELEASES", {"eICU small": {"patient": 2, "lab": 7}})
    hospital = Hospital(lab=[lab(5, "potassium", 4), lab(5, "potassium", 4, stay=2)])
    assert "LAB has 2 rows instead of 7, which eICU small has" in said(
        read(hospital.write(tmp_path / "eicu"), ("potassium",))
    )


def test_a_variable_whose_table_is_missing(tmp_path: Path) -> None:
    folder = Hospital(nursecharting=None).write(tmp_path / "eicu")
    with pytest.raises(SourceError, match=r"'heartrate' is read from NURSECHARTING, which the folder .* lacks"):
        read(folder, ("heartrate",))
    with pytest.raises(
        SourceError, match=r"'heartrate' is read from nursecharting or vitalperiodic, and source.vitals"
    ):
        read(folder, ("heartrate",), vitals=("vitalaperiodic",))
    with pytest.raises(ConfigError, match="potassium and potassium_serum"):
        read(folder, ("potassium", "potassium_serum"))
    with pytest.raises(SourceError, match="None of the chosen variables is measured"):
        read(folder, ("mechanical_ventilation",))
    with pytest.raises(SourceError, match="No value of the chosen variables"):
        read(folder, ("potassium",))


def test_rules_agree_with_the_tables_of_units() -> None:
    book = items.rule_book(("nursecharting",))
    for rule in book.rules:
        if rule.unit.name != "canonical":
            known = units.conversion(rule.variable, rule.unit.name)
            assert known is not None
            assert known.divisor == pytest.approx(rule.unit.divisor)
    calcium = units.conversion("calcium", "mg/dL")
    assert calcium is not None
    assert items.REPAIRS["calcium"][1].divisor == calcium.divisor
    assert set(items.SERIES) <= set(CATALOGUE)
    assert items.rule_book(("vitalperiodic",)).digest != book.digest


def test_options(tmp_path: Path) -> None:
    for options, expected in (
        ({"files": {"labs": "x"}}, "Did you mean 'lab'"),
        ({"files": {"lab": 3}}, "Give the path of a file"),
        ({"vitals": ()}, "Name at least one table"),
        ({"vitals": ("vitalperiodic", "vitalperiodic")}, "each once"),
    ):
        with pytest.raises(ConfigError, match=expected):
            Eicu(EicuOptions(**options), 1)
    assert Eicu(EicuOptions(), 1).population == "eicu"
    assert "heartrate" not in Eicu(EicuOptions(vitals=("vitalaperiodic",)), 1).available
    assert pl.Series(sorted(Eicu(EicuOptions(), 1).available)).is_in(list(CATALOGUE)).all()


def test_a_value_counts_from_when_it_was_stored(tmp_path: Path) -> None:
    late = 48 * 60
    hospital = Hospital(
        lab=[
            lab(60, "creatinine", 1.0, revised=90),
            # A revision that nobody could see yet: the value before it counts.
            lab(2800, "creatinine", 2.0, revised=2820),
            lab(2800, "creatinine", 7.0, revised=late),
        ],
        nursecharting=[
            nurse(120, "Heart Rate", "Heart Rate", 80) | {"nursingchartentryoffset": 130},
            nurse(180, "Heart Rate", "Heart Rate", 99) | {"nursingchartentryoffset": late + 5},
            nurse(240, "Heart Rate", "Heart Rate", 85) | {"nursingchartentryoffset": None},
        ],
    )
    folder = hospital.write(tmp_path / "eicu")
    use = ("heartrate", "creatinine")
    charted, by_stored = (read(folder, use, by=by) for by in ("charted", "stored"))
    last = pl.col("hour") == 46
    assert charted.hours.filter(last)["mean"].to_list() == [7.0]
    assert by_stored.hours.filter(last)["mean"].to_list() == [2.0]
    assert by_stored.hours.filter(pl.col("variable") == 0)["hour"].to_list() == [2, 4]
    found = dict(by_stored.cleaning.filter(pl.col("rule") == LATE).select("variable", "rows").iter_rows())
    assert found == {"heartrate": 1, "creatinine": 1}
    assert LATE not in charted.cleaning["rule"].to_list()
