"""The MIMIC-IV folder reader: hand-made tables, versions and formats, groups of years, bad input."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import mimic3_tables
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mimic4_tables
from icudl.artifacts import SourceTables
from icudl.errors import ConfigError, SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import LATE, VariableOptions, WindowOptions
from icudl.sources.mimic.binning import FATES
from icudl.sources.mimic.folder import files_of
from icudl.sources.mimic4.files import Mimic4Files
from icudl.sources.mimic4.layout import LAYOUT
from icudl.sources.mimic4.options import Mimic4Options
from icudl.sources.rules import mimic3_rules, mimic4_rules
from icudl.stages.extract import extract
from icudl.variables import CATALOGUE, STUDY_NAMES
from mimic4_tables import (
    HADM,
    PATIENT,
    STAY,
    Hospital,
    admission,
    at,
    busy_hospital,
    chart,
    lab,
    output,
    patient,
    stay,
    write_table,
)


def read(folder: Path, context: RunContext, *, use: tuple[str, ...] = STUDY_NAMES, **options) -> SourceTables:
    source = Mimic4Files(Mimic4Options(path=str(folder), **options), seed=0)
    return extract(source, VariableOptions(use=use), WindowOptions(hours=48), context)


def test_hand_made_tables(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(
        charts=[
            chart(0.2, 220045, 80),
            chart(0.4, 220045, 90),
            chart(1.5, 223761, 98.6),  # Fahrenheit
            chart(2.5, 223762, 98.6),  # Fahrenheit under the item of Celsius
            chart(3.5, 220050, 110),
            chart(3.6, 220179, 120),
            chart(3.7, 225309, 130),  # second arterial line: not in MIMIC-III's rules
            chart(4.5, 220045, 10_000_000),
            chart(5.5, 220045, None),
            chart(48.0, 220045, 70),  # first moment after the window
            chart(-1, 220045, 70),
            chart(150, 220045, 75),  # second stay, hour 0
        ],
        labs=[lab(10, 50822, 4.2), lab(10, 50971, 4.0), lab(11, 50820, 738), lab(12, 50808, 1.1)],
        outputs=[output(6.5, 226559, 100), output(6.7, 226560, 50), output(6.8, 227488, 3000)],
        stays=[stay(), stay(STAY + 1, 150, None)],
        admissions=[admission(death=200)],
        patients=[patient(age=60, year=2148)],
    )
    tables = read(hospital.write(tmp_path / "iv"), context, use=("all",))
    assert mimic3_tables.cells(tables) == {
        (STAY, 0, "heartrate"): (85.0, 2),
        (STAY, 1, "tempc"): (pytest.approx(37.0), 1),
        (STAY, 2, "tempc"): (pytest.approx(37.0), 1),
        (STAY, 3, "sysbp"): (120.0, 3),
        (STAY, 6, "urine"): (75.0, 2),
        (STAY, 10, "potassium"): (4.2, 1),
        (STAY, 10, "potassium_serum"): (4.0, 1),
        (STAY, 11, "ph"): (pytest.approx(7.38), 1),
        (STAY, 12, "calcium"): (1.1, 1),
        (STAY + 1, 0, "heartrate"): (75.0, 1),
    }
    assert mimic3_tables.rule_counts(tables, "heartrate") == {
        "read": 7,
        "kept": 3,
        "dropped: outside any ICU stay": 1,
        "dropped: outside the window": 1,
        "dropped: no numeric value": 1,
        "dropped: implausible value": 1,
    }
    first, second = tables.stays.to_dicts()
    assert first == {
        "stay_id": STAY,
        "patient_id": PATIENT,
        "admission_id": HADM,
        "age_years": 62.0,  # 60 in 2148, admitted in 2150
        "sex": "F",
        "icu_type": "Neuro Stepdown",
        "height_cm": None,
        "weight_kg": None,
        "source_set": "",
        "stay_number": 1,
        "stay_hours": 100.0,
        "death_hours": 200.0,
        "died": True,
    }
    assert (second["stay_number"], second["stay_hours"], second["death_hours"]) == (2, None, 50.0)
    assert tables.population == "mimic-iv"
    assert tables.warnings == ()


@pytest.mark.parametrize("version", ["3.1", "1.0", "flat"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_every_version_and_format_gives_the_same_bits(
    tmp_path: Path, context: RunContext, version: str, ending: str
) -> None:
    hospital = busy_hospital(rows=150)
    reference = read(hospital.write(tmp_path / "reference"), context, use=("all",))
    found = read(hospital.write(tmp_path / "other", ending=ending, version=version), context, use=("all",))
    assert reference.hours.height > 50
    assert found.stays.equals(reference.stays)
    assert found.hours["mean"].to_numpy().tobytes() == reference.hours["mean"].to_numpy().tobytes()
    assert found.hours.equals(reference.hours)
    assert found.cleaning.equals(reference.cleaning)


def test_what_both_databases_file_alike_is_read_alike(tmp_path: Path, context: RunContext) -> None:
    shared = {220045, 220179, 220180, 223761, 220277}
    iv = busy_hospital()
    iv.charts = [row for row in iv.charts if row[6] in shared]
    iii = mimic3_tables.Hospital(
        charts=[[7, *row[:3], row[6], row[4], row[5], 1, row[7], row[8], "x", 0, 0, None, None] for row in iv.charts],
        labs=[[7, row[1], None, row[4], row[6], row[8], row[9], "x", None] for row in iv.labs],
        stays=[[7, *row[:3], "metavision", "MICU", "MICU", 1, 1, *row[5:]] for row in iv.stays],
        admissions=[[7, *row[:5], "URGENT", "x", row[9], 1] for row in iv.admissions],
        patients=[[7, row[0], row[1], "2090-01-01 00:00:00", None, 0] for row in iv.patients],
    )
    found = read(iv.write(tmp_path / "iv"), context)
    expected = mimic3_tables.read(iii.write(tmp_path / "iii"), context)
    assert found.hours.height > 200
    assert found.hours.equals(expected.hours)
    assert found.cleaning.equals(expected.cleaning)
    assert found.stays.drop("age_years", "icu_type").equals(expected.stays.drop("age_years", "icu_type"))


def test_deaths_by_time_and_by_flag(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(
        stays=[stay(), stay(STAY + 1, subject=PATIENT + 1, hadm=HADM + 1)],
        admissions=[admission(death=60, flag=0), admission(HADM + 1, subject=PATIENT + 1, flag=1)],
        patients=[patient(), patient(PATIENT + 1)],
    )
    tables = read(hospital.write(tmp_path / "iv"), context)
    assert tables.stays["died"].to_list() == [True, True]
    assert tables.stays["death_hours"].to_list() == [60.0, None]
    assert set(mimic3_tables.rule_counts(tables, "died").values()) == {1}


@pytest.mark.parametrize(
    ("age", "year", "expected"),
    [(88, 2149, 89.0), (89, 2149, 91.4), (91, 2150, 91.4), (91, 2145, 91.4), (18, 2150, 18.0)],
)
def test_ages_above_89_are_hidden(tmp_path: Path, context: RunContext, age: int, year: int, expected: float) -> None:
    tables = read(Hospital(patients=[patient(age=age, year=year)]).write(tmp_path / "iv"), context)
    assert tables.stays["age_years"].to_list() == [pytest.approx(expected)]


def test_an_unknown_age_stays_unknown(tmp_path: Path, context: RunContext) -> None:
    tables = read(Hospital(patients=[patient(age=None)]).write(tmp_path / "iv"), context)
    assert tables.stays["age_years"].to_list() == [None]


def test_groups_of_years_choose_patients_and_are_counted(tmp_path: Path, context: RunContext) -> None:
    folder = busy_hospital().write(tmp_path / "iv")
    everyone = read(folder, context)
    later = read(folder, context, year_groups=("2014 - 2016", "2017 - 2019"))
    left_out = {PATIENT + number for number in range(0, 12, 3)}
    assert set(everyone.stays["patient_id"]) - set(later.stays["patient_id"]) == left_out
    kept = everyone.stays.filter(~pl.col("patient_id").is_in(left_out))
    assert later.stays.equals(kept)
    assert later.hours.equals(everyone.hours.filter(pl.col("stay_id").is_in(kept["stay_id"].to_list())))
    assert mimic3_tables.rule_counts(later, "anchor_year_group") == {
        "stay of a patient of other year groups": everyone.stays.height - kept.height
    }


def test_groups_of_years_without_patients(tmp_path: Path, context: RunContext) -> None:
    folder = busy_hospital(rows=20).write(tmp_path / "iv")
    with pytest.raises(SourceError, match=r"source\.year_groups \(2020 - 2022\).*2011 - 2013, 2014 - 2016"):
        read(folder, context, year_groups=("2020 - 2022",))
    with pytest.raises(ConfigError, match=r"Did you mean '2014 - 2016'"):
        Mimic4Options(year_groups=("2014-2016",))


def test_a_patient_without_a_group_is_left_out_and_counted(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(
        stays=[stay(), stay(STAY + 1, subject=PATIENT + 1, hadm=HADM + 1)],
        admissions=[admission(), admission(HADM + 1, subject=PATIENT + 1)],
        patients=[patient(group=" 2014 - 2016 "), patient(PATIENT + 1, group=None)],
    )
    tables = read(hospital.write(tmp_path / "iv"), context, year_groups=("2014 - 2016",))
    assert tables.stays["patient_id"].to_list() == [PATIENT]
    assert mimic3_tables.rule_counts(tables, "anchor_year_group") == {"stay of a patient of other year groups": 1}


def test_a_contradiction_among_stays_left_out_is_an_error(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(
        stays=[stay(), stay(STAY + 1, subject=PATIENT + 1, hadm=HADM + 1)],
        admissions=[admission()],
        patients=[patient(), patient(PATIENT + 1, group="2008 - 2010")],
    )
    with pytest.raises(SourceError, match=r"have a hadm_id that admissions lacks"):
        read(hospital.write(tmp_path / "iv"), context, year_groups=("2014 - 2016",))


class Small(Mimic4Files):
    """A reader that knows releases of a few rows."""

    layout = dataclasses.replace(
        LAYOUT,
        releases={
            "first": {"patients": 1, "admissions": 1, "icustays": 1, "chartevents": 1, "labevents": 5},
            "second": {"patients": 1, "admissions": 1, "icustays": 1, "chartevents": 1, "labevents": 2},
        },
    )


@pytest.mark.parametrize(("labs", "warned"), [(5, ""), (2, ""), (4, "labevents has 4 rows instead of 5, which first")])
def test_rows_of_the_release_that_is_nearest(tmp_path: Path, context: RunContext, labs: int, warned: str) -> None:
    folder = Hospital(labs=[lab(hour, 51006, 20) for hour in range(labs)]).write(tmp_path / "iv")
    source = Small(Mimic4Options(path=str(folder)), seed=0)
    warnings = source.extract((CATALOGUE["bun"], CATALOGUE["heartrate"]), WindowOptions(), context).warnings
    assert len(warnings) == bool(warned)
    assert all(warned in warning for warning in warnings)


def test_fingerprint_tells_content_not_place(tmp_path: Path) -> None:
    def digest(folder: Path) -> str:
        found = Mimic4Files(Mimic4Options(path=str(folder)), seed=0).fingerprint(tmp_path / "memory")
        assert str(tmp_path) not in repr(found.details)
        return found.digest

    first = Hospital().write(tmp_path / "first")
    shutil.copytree(first, tmp_path / "second")
    assert digest(first) == digest(tmp_path / "second")
    write_table(first / "icu" / "outputevents.csv", Hospital(outputs=[output(1, 226559, 7)]).frames()["outputevents"])
    assert digest(first) != digest(tmp_path / "second")


def fails(folder: Path, context: RunContext, *words: str, use: tuple[str, ...] = STUDY_NAMES) -> None:
    with pytest.raises(SourceError) as caught:
        read(folder, context, use=use)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_missing_tables(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital().write(tmp_path / "iv")
    (folder / "icu" / "outputevents.csv").unlink()
    read(folder, context)
    fails(folder, context, "'urine' is read from outputevents", use=("urine", "heartrate"))
    (folder / "hosp" / "labevents.csv").rename(folder / "hosp" / "labs.csv")
    fails(folder, context, "lacks hosp/labevents", "found: hosp/admissions.csv", "hosp/labs.csv")
    fails(folder / "icu", context, "lacks hosp/patients", "found: chartevents.csv, icustays.csv")
    fails(tmp_path / "nowhere", context, "not a folder", "MIMIC-IV tables (hosp/patients")


def test_a_table_in_two_folders(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital().write(tmp_path / "iv")
    shutil.copytree(folder / "hosp", folder / "core")
    fails(folder, context, "patients has 2 files: core/patients.csv, hosp/patients.csv", "Keep one")


def test_a_row_that_was_cut(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital().write(tmp_path / "iv")
    path = folder / "hosp" / "labevents.csv"
    path.write_text(path.read_text().rstrip("\n").rpartition(",")[0].rpartition(",")[0] + "\n")
    fails(folder, context, "labevents.csv: line 2", "give the table as MIMIC-IV ships it")


def test_an_address_is_no_folder() -> None:
    source = Mimic4Files(Mimic4Options(path="postgresql://me:secret@localhost/mimic"), seed=0)
    with pytest.raises(SourceError, match=r"is an address\. Give the folder that holds hosp/") as caught:
        source.reach()
    assert "secret" not in str(caught.value)
    with pytest.raises(SourceError, match=r"source\.path is empty. Give the folder of the MIMIC-IV tables"):
        Mimic4Files(Mimic4Options(), seed=0).reach()


def test_every_mapping_has_its_reason() -> None:
    rules = mimic4_rules()
    assert set(STUDY_NAMES) <= set(rules.variables) <= set(CATALOGUE)
    assert all(rule.why.endswith(".") for rule in rules.rules)
    # Laboratory items are those of MIMIC-III; chart items are MetaVision's.
    iii = {item for rule in mimic3_rules().rules for item in rule.items}
    assert {item for rule in rules.rules for item in rule.items} - iii == {225309, 225310}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({name: st.sampled_from(["hosp", "icu", "core", ""]) for name in LAYOUT.columns}))
def test_a_table_is_found_in_its_folders_only(tmp_path: Path, places: dict[str, str]) -> None:
    shutil.rmtree(tmp_path / "iv", ignore_errors=True)
    (tmp_path / "iv").mkdir()
    for name, place in places.items():
        (tmp_path / "iv" / place).mkdir(exist_ok=True)
        (tmp_path / "iv" / place / f"{name}.csv").write_text("x\n")
    found = files_of(tmp_path / "iv", LAYOUT)
    assert set(found) == {name for name, place in places.items() if place in {"", *LAYOUT.folders[name]}}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), patients=st.integers(1, 6), rows=st.integers(1, 60))
def test_every_row_that_is_read_has_one_fate(
    tmp_path: Path, context: RunContext, seed: int, patients: int, rows: int
) -> None:
    shutil.rmtree(tmp_path / "iv", ignore_errors=True)
    hospital = mimic4_tables.busy_hospital(seed, patients, rows)
    hospital.charts.append(chart(0.5, 220045, 80))
    tables = read(hospital.write(tmp_path / "iv"), context)
    counts = dict(tables.cleaning.group_by("rule").agg(pl.col("rows").sum()).iter_rows())
    wanted = {
        item for name in STUDY_NAMES for rule in mimic4_rules().rules if rule.variable == name for item in rule.items
    }
    rows_read = sum(row[6] in wanted for row in hospital.charts) + sum(row[4] in wanted for row in hospital.labs)
    assert counts["read"] == rows_read == sum(counts[fate] for fate in FATES)
    assert tables.hours["count"].sum() == counts["kept"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_result_counts_from_when_it_was_stored(ending: str, tmp_path: Path, context: RunContext) -> None:
    def stored(row: list, hours: float | None) -> list:
        return [*row[:7], None if hours is None else at(hours), *row[8:]]

    hospital = Hospital(
        labs=[
            stored(lab(2, 51006, 20), 3),
            stored(lab(46, 51006, 30), 47.9),
            stored(lab(47, 51006, 90), 48),  # as the window ends
            stored(lab(47.5, 50912, 2), 60),
            stored(lab(30, 50912, 1), None),  # not known
            stored(lab(50, 50912, 9), 51),  # outside the window in any case
        ],
        charts=[[*chart(40, 220045, 80)[:5], at(49), *chart(40, 220045, 80)[6:]]],
    )
    folder = hospital.write(tmp_path / "iv", ending=ending)
    charted, by_stored = (read(folder, context, by=by) for by in ("charted", "stored"))
    first, second = mimic3_tables.cells(charted), mimic3_tables.cells(by_stored)
    assert first.keys() - second.keys() == {(STAY, 40, "heartrate"), (STAY, 47, "bun"), (STAY, 47, "creatinine")}
    assert second.items() <= first.items()
    counts = dict(by_stored.cleaning.filter(pl.col("rule") == LATE).select("variable", "rows").iter_rows())
    assert {name: rows for name, rows in counts.items() if rows} == {"heartrate": 1, "bun": 1, "creatinine": 1}
    fates = by_stored.cleaning.filter(pl.col("rule").is_in([*FATES, LATE]))["rows"].sum()
    assert fates == by_stored.cleaning.filter(pl.col("rule") == "read")["rows"].sum() == 7
    assert LATE not in charted.cleaning["rule"].to_list()
    assert charted.warnings == by_stored.warnings
    unknown = dataclasses.replace(hospital, labs=[stored(lab(2, 51006, 20), None)], charts=[])
    (caution,) = read(unknown.write(tmp_path / "unknown", ending=ending), context, use=("bun",), by="stored").warnings
    assert "left out no value" in caution
