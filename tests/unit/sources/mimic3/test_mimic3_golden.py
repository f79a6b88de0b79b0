"""Cases worked out by hand, one for each rule of reading MIMIC-III."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from mimic3_tables import HEADERS, Hospital, admission, at, cells, chart, lab, patient, read, rule_counts, stay

from icudl.errors import ConfigError, SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import VariableOptions, WindowOptions
from icudl.sources.mimic.binning import FATES
from icudl.sources.mimic3.files import Mimic3Files
from icudl.sources.mimic3.options import Mimic3Options
from icudl.stages.extract import extract

WINDOW_END = "dropped: outside the window"
NO_STAY = "dropped: outside any ICU stay"


def only(hospital: Hospital, tmp_path: Path, context: RunContext, variable: str):
    tables = read(hospital.write(tmp_path / "hospital"), context)
    found = {key[:2]: cell for key, cell in cells(tables).items() if key[2] == variable}
    return found, rule_counts(tables, variable)


def test_fahrenheit_is_converted_and_gated_before(tmp_path: Path, context: RunContext) -> None:
    charts = [chart(0.5, 223761, 98.6), chart(1.5, 678, 212), chart(2.5, 678, 69.9), chart(3.5, 223762, 37.5)]
    found, counts = only(Hospital(charts=charts), tmp_path, context, "tempc")
    assert found == {(200, 0): (37.0, 1), (200, 3): (37.5, 1)}
    assert counts == {"read": 4, "dropped: outside the gate": 2, "kept": 2, "converted unit": 1}


def test_fahrenheit_in_a_celsius_item_is_repaired(tmp_path: Path, context: RunContext) -> None:
    charts = [chart(0.5, 676, 98.6), chart(1.5, 223762, 104), chart(2.5, 223762, 60), chart(3.5, 676, 20)]
    found, counts = only(Hospital(charts=charts), tmp_path, context, "tempc")
    assert found == {(200, 0): (37.0, 1), (200, 1): (40.0, 1)}
    assert counts == {
        "read": 4,
        "dropped: outside the gate": 1,
        "dropped: implausible value": 1,
        "kept": 2,
        "repaired unit": 2,
    }


def test_converted_copies_of_temperature_are_not_read(tmp_path: Path, context: RunContext) -> None:
    found, counts = only(Hospital(charts=[chart(0.5, 677, 37), chart(0.5, 679, 98)]), tmp_path, context, "tempc")
    assert (found, counts) == ({}, {})


def test_ph_filed_hundredfold_is_repaired(tmp_path: Path, context: RunContext) -> None:
    labs = [lab(0.5, 50820, 738), lab(1.5, 50820, 7.25), lab(2.5, 50820, 73.8), lab(3.5, 50820, 841)]
    found, counts = only(Hospital(labs=labs), tmp_path, context, "ph")
    assert found == {(200, 0): (7.38, 1), (200, 1): (7.25, 1)}
    assert counts == {"read": 4, "repaired unit": 1, "dropped: implausible value": 2, "kept": 2}


def test_rows_marked_as_errors_are_dropped(tmp_path: Path, context: RunContext) -> None:
    charts = [chart(0.2, 220045, 80, error=0), chart(0.4, 220045, 200, error=1), chart(0.6, 211, 90, error=None)]
    found, counts = only(Hospital(charts=charts), tmp_path, context, "heartrate")
    assert found == {(200, 0): (85.0, 2)}
    assert counts == {"read": 3, "dropped: error flag": 1, "kept": 2}


def test_values_that_are_missing_or_no_number_are_dropped(tmp_path: Path, context: RunContext) -> None:
    charts = [chart(0.2, 211, None), chart(0.4, 211, "NaN"), chart(0.5, 211, "inf"), chart(0.6, 211, 90)]
    found, counts = only(Hospital(charts=charts), tmp_path, context, "heartrate")
    assert found == {(200, 0): (90.0, 1)}
    assert counts == {"read": 4, "dropped: no numeric value": 3, "kept": 1}


def test_range_is_inclusive_and_zero_is_no_measurement(tmp_path: Path, context: RunContext) -> None:
    charts = [chart(0, 646, 20), chart(1, 646, 100), chart(2, 646, 19.99), chart(3, 646, 100.01), chart(4, 646, 0)]
    charts += [chart(5, 646, 1e300), chart(6, 646, -1e300)]
    found, counts = only(Hospital(charts=charts), tmp_path, context, "spo2")
    assert found == {(200, 0): (20.0, 1), (200, 1): (100.0, 1)}
    assert counts == {"read": 7, "dropped: implausible value": 5, "kept": 2}


def test_repeated_rows_count_once_but_other_items_and_values_do_not(tmp_path: Path, context: RunContext) -> None:
    charts = [chart(0.5, 211, 80)] * 3 + [chart(0.5, 220045, 80), chart(0.5, 211, 110), chart(0.75, 211, 80)]
    found, counts = only(Hospital(charts=charts), tmp_path, context, "heartrate")
    assert found == {(200, 0): (87.5, 4)}
    assert counts == {"read": 6, "dropped: repeated row": 2, "kept": 4}


def test_two_specimens_of_one_time_are_averaged(tmp_path: Path, context: RunContext) -> None:
    found, _ = only(Hospital(labs=[lab(5, 50822, 4.0), lab(5, 50822, 5.0)]), tmp_path, context, "potassium")
    assert found == {(200, 5): (4.5, 2)}


def test_cuff_and_arterial_pressure_are_averaged(tmp_path: Path, context: RunContext) -> None:
    found, _ = only(
        Hospital(charts=[chart(2, 220050, 120), chart(2, 220179, 110), chart(2, 455, 100)]), tmp_path, context, "sysbp"
    )
    assert found == {(200, 2): (110.0, 3)}


def test_hours_start_at_admission_and_hour_48_is_outside(tmp_path: Path, context: RunContext) -> None:
    charts = [chart(0, 211, 50, seconds=-1), chart(0, 211, 60), chart(1, 211, 70, seconds=-1), chart(1, 211, 80)]
    charts += [chart(48, 211, 90, seconds=-1), chart(48, 211, 100)]
    found, counts = only(Hospital(charts=charts), tmp_path, context, "heartrate")
    assert found == {(200, 0): (65.0, 2), (200, 1): (80.0, 1), (200, 47): (90.0, 1)}
    assert counts == {"read": 6, NO_STAY: 1, WINDOW_END: 1, "kept": 4}


def test_boundary_between_two_stays(tmp_path: Path, context: RunContext) -> None:
    # Stay 200 lasts from hour 0 to 10, stay 201 from hour 12 to 20: the two hours between belong to neither.
    labs = [
        lab(10, 51006, 11, seconds=-1, hadm=None),  # last second of the first stay
        lab(10, 51006, 22),  # discharge itself
        lab(11, 51006, 33),
        lab(12, 51006, 44),  # admission itself, filed under the first admission
        lab(20, 51006, 55),
    ]
    hospital = Hospital(
        labs=labs,
        stays=[stay(200, 0, 10), stay(201, 12, 20, hadm=101)],
        admissions=[admission(100), admission(101)],
    )
    found, counts = only(hospital, tmp_path, context, "bun")
    assert found == {(200, 9): (11.0, 1), (201, 0): (44.0, 1)}
    assert counts == {"read": 5, NO_STAY: 3, "kept": 2}


def test_overlapping_stays_the_later_one_takes_over(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(
        charts=[chart(4, 211, 60), chart(5, 211, 70), chart(7, 211, 80), chart(9, 211, 90)],
        stays=[stay(200, 0, 10), stay(201, 5, 8)],
    )
    found, _ = only(hospital, tmp_path, context, "heartrate")
    assert found == {(200, 4): (60.0, 1), (201, 0): (70.0, 1), (201, 2): (80.0, 1)}


def test_other_patients_and_unknown_ones_do_not_mix(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(
        charts=[chart(1, 211, 60), chart(1, 211, 70, subject=2), chart(1, 211, 80, subject=3)],
        stays=[stay(200, 0, None), stay(201, 0, 10, subject=2, hadm=102)],
        admissions=[admission(100), admission(102, subject=2)],
        patients=[patient(1), patient(2)],
    )
    found, counts = only(hospital, tmp_path, context, "heartrate")
    assert found == {(200, 1): (60.0, 1), (201, 1): (70.0, 1)}
    assert counts == {"read": 3, NO_STAY: 1, "kept": 2}


def test_stays_table(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(
        stays=[stay(202, 200, None), stay(201, 0, 36.5), stay(203, 0, 10, subject=2, hadm=102)],
        admissions=[admission(100, death=240), admission(102, subject=2)],
        patients=[patient(1, sex="M", born="2120-01-01 10:00:00"), patient(2, born="1850-01-01 00:00:00")],
    )
    stays = read(hospital.write(tmp_path / "hospital"), context).stays
    assert stays["stay_id"].to_list() == [201, 202, 203]
    assert stays["stay_number"].to_list() == [1, 2, 1]
    assert stays["stay_hours"].to_list() == [36.5, None, 10.0]
    assert stays["death_hours"].to_list() == [240.0, 40.0, None]
    assert stays["died"].to_list() == [True, True, False]
    assert stays["sex"].to_list() == ["M", "M", "F"]
    assert stays["icu_type"].to_list() == ["MICU"] * 3
    assert stays["age_years"].to_list() == pytest.approx([30.0, 30.0 + 200 / 24 / 365.2425, 91.4], abs=0.002)


@pytest.mark.parametrize(
    ("written", "read_as", "counted"),
    [("m ", "M", None), (" f", "F", None), ("F", "F", None), ("", None, None), ("X", None, 1), ("male", None, 1)],
)
def test_sex_is_read_without_blanks_and_what_cannot_be_read_is_counted(
    written: str, read_as: str | None, counted: int | None, tmp_path: Path, context: RunContext
) -> None:
    tables = read(Hospital(patients=[patient(sex=written)]).write(tmp_path / "hospital"), context)
    assert tables.stays["sex"].to_list() == [read_as]
    assert rule_counts(tables, "sex") == ({} if counted is None else {"unreadable code": counted})


def contradicting() -> Hospital:
    """Patients 1 to 4: a death time without the flag, a flag without the time, a death by both, a survivor."""
    admissions = [admission(100, death=60), admission(102, subject=2), admission(103, subject=3, death=60)]
    admissions.append(admission(104, subject=4))
    flag = HEADERS["ADMISSIONS"].split().index("HOSPITAL_EXPIRE_FLAG")
    admissions[0][flag], admissions[1][flag] = 0, 1
    return Hospital(
        stays=[stay(200 + k, 0, 50, subject=k, hadm=100 if k == 1 else 100 + k) for k in range(1, 5)],
        admissions=admissions,
        patients=[patient(k, sex="f " if k == 2 else "F") for k in range(1, 5)],
    )


def test_flag_or_time_says_that_a_patient_died_and_disagreement_is_counted(tmp_path: Path, context: RunContext) -> None:
    tables = read(contradicting().write(tmp_path / "hospital"), context)
    assert tables.stays["died"].to_list() == [True, True, True, False]
    assert tables.stays["death_hours"].to_list() == [60, None, 60, None]
    assert rule_counts(tables, "died") == {
        "death time without the flag: a death": 1,
        "death flag without a time: a death at an unknown hour": 1,
    }


def test_deaths_that_lie_elsewhere_are_counted(tmp_path: Path, context: RunContext) -> None:
    """Patients 1 to 5: after discharge, before the stay, a donor's second admission, the day before, in the stay."""
    admissions = [admission(101, death=501), admission(102, subject=2, death=-1), admission(103, subject=3, death=20)]
    admissions += [admission(104, subject=4), admission(105, subject=5, death=40), admission(133, subject=3)]
    patients = [patient(k) for k in range(1, 6)]
    patients[3][HEADERS["PATIENTS"].split().index("DOD")] = at(-34)[:10] + " 00:00:00"
    stays = [stay(200 + k, 0, 50, subject=k, hadm=100 + k) for k in range(1, 6)]
    stays.append(stay(233, 60, 90, subject=3, hadm=133))
    hospital = Hospital(stays=stays, admissions=admissions, patients=patients)
    tables = read(hospital.write(tmp_path / "hospital"), context)
    assert rule_counts(tables, "died") == {
        "death time after hospital discharge: a death in hospital": 1,
        "death before the ICU stay: not alive in the window": 2,
        "death in an earlier admission: not alive in the window": 1,
    }
    assert tables.stays["died"].to_list() == [True, True, True, False, True, False]
    assert tables.outcomes["any_death_hours"].to_list() == [501, -1, 20, -10, 40, -40]
    followed = tables.outcomes["followed_hours"].to_list()
    for person in patients:
        person[HEADERS["PATIENTS"].split().index("DOD")] = None
    unknown = read(hospital.write(tmp_path / "without days of death"), context).outcomes["followed_hours"].to_list()
    assert followed[0] > unknown[0] == 500, "where no day of death is known, nobody was followed after discharge"


@pytest.mark.parametrize("flag", [None, 2])
def test_an_admission_without_an_outcome_is_an_error(flag: int | None, tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital()
    hospital.admissions[0][HEADERS["ADMISSIONS"].split().index("HOSPITAL_EXPIRE_FLAG")] = flag
    with pytest.raises(SourceError, match=f"the first 200, .* HOSPITAL_EXPIRE_FLAG is {flag}"):
        read(hospital.write(tmp_path / "hospital"), context)


def test_a_variable_whose_table_is_absent_is_an_error(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital().write(tmp_path / "hospital")
    with pytest.raises(SourceError, match=r"'urine' is read from OUTPUTEVENTS, which the folder .* lacks"):
        read(folder, context, use=("heartrate", "urine"))


def test_two_variables_of_one_item_cannot_be_read_together(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital(labs=[lab(1, 50971, 5)]).write(tmp_path / "hospital")
    source = Mimic3Files(Mimic3Options(path=str(folder), items={"potassium": [50822, 50971]}), seed=0)
    both = VariableOptions(use=("potassium", "potassium_serum"))
    with pytest.raises(ConfigError, match="Item 50971"):
        extract(source, both, WindowOptions(), context)


def test_every_row_has_one_fate(tmp_path: Path, context: RunContext) -> None:
    charts = [chart(0.5, 678, 98.6), chart(0.5, 678, 98.6), chart(1, 678, 50), chart(2, 678, 71), chart(90, 678, 98)]
    charts += [chart(-1, 678, 98), chart(3, 678, 98, error=1), chart(3, 678, None), chart(4, 676, 99)]
    timeless = chart(4, 676, 99)
    timeless[5] = None
    tables = read(Hospital(charts=[*charts, timeless]).write(tmp_path / "hospital"), context)
    counts = rule_counts(tables, "tempc")
    assert counts.pop("read") == 10 == sum(counts.get(fate, 0) for fate in FATES)
    assert all(counts[fate] == 1 for fate in FATES if fate != "kept")
    per_variable = tables.cleaning.group_by("variable").agg(
        read=pl.col("rows").filter(pl.col("rule") == "read").sum(),
        fates=pl.col("rows").filter(pl.col("rule").is_in(FATES)).sum(),
        rules=pl.len(),
    )
    assert per_variable["read"].to_list() == per_variable["fates"].to_list()
    assert set(per_variable["rules"]) == {len(FATES) + 3}


def test_fio2_is_a_fraction_however_it_is_filed(tmp_path: Path, context: RunContext) -> None:
    charts = [chart(0, 190, 0.5), chart(1, 3420, 40), chart(2, 223835, 60), chart(3, 223835, 0.7), chart(4, 223835, 5)]
    tables = read(Hospital(charts=charts).write(tmp_path / "hospital"), context, use=("fio2",))
    assert {key[1]: cell[0] for key, cell in cells(tables).items()} == {0: 0.5, 1: 0.4, 2: 0.6, 3: 0.7}
    assert rule_counts(tables, "fio2") == {
        "read": 5,
        "converted unit": 1,
        "repaired unit": 1,
        "dropped: implausible value": 1,
        "kept": 4,
    }


def test_item_ids_and_range_of_the_configuration(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital(labs=[lab(1, 50822, 4), lab(1, 50971, 5), lab(2, 50971, 9)]).write(tmp_path / "hospital")
    options = Mimic3Options(path=str(folder), items={"potassium": [50822, 50971]})
    variables = VariableOptions(use=("potassium",), ranges={"potassium": [2, 8]})
    tables = extract(Mimic3Files(options, seed=0), variables, WindowOptions(), context)
    assert cells(tables) == {(200, 1, "potassium"): (4.5, 2)}
    assert (tables.variables[0].low, tables.variables[0].high) == (2, 8)
