"""What lies at a path: each database is recognised by its own source, and what is missing is named."""

from __future__ import annotations

import dataclasses
import gzip
import shutil
from pathlib import Path

import mimic3_tables
import pytest

from icudl.errors import SourceError
from icudl.plugins import load_plugin, registered
from icudl.sources.eicu.source import Eicu
from icudl.sources.locating import Locating, LocatingAddress, Location, Survey
from icudl.sources.mimic.locating import located
from icudl.sources.mimic3.files import Mimic3Files
from icudl.sources.mimic4.files import Mimic4Files
from icudl.sources.mimic4.layout import LAYOUT
from icudl.sources.physionet2012.source import PhysioNet2012
from icudl.sources.rules import mimic4_rules
from icudl.sources.searching import search
from icudl.sources.synthetic.source import write_hospital
from icudl.sources.unread import SIGNATURES, unread_database
from mimic4_tables import Hospital, busy_hospital, lab
from source_cases import physionet_folder

SOURCES = (Mimic3Files, Mimic4Files, PhysioNet2012)
SURVEY = Survey()


def look(path: Path) -> list[tuple[str, Path]]:
    return [(found.location.database, found.folder) for found in search(path, SURVEY, SOURCES)]


def located_in(folder: Path, **layout) -> Location:
    found = located(folder, dataclasses.replace(LAYOUT, **layout), "mimic4", mimic4_rules(), SURVEY)
    assert found is not None
    return found


def test_sources_of_files_and_of_servers_take_part() -> None:
    plugins = {name: load_plugin("icudl.sources", name) for name in registered("icudl.sources")}
    assert {"mimic3", "mimic4", "physionet2012"} <= {name for name, one in plugins.items() if isinstance(one, Locating)}
    assert "mimic3_postgres" in {name for name, one in plugins.items() if isinstance(one, LocatingAddress)}
    assert not isinstance(plugins["mimic3_postgres"], Locating)


@pytest.mark.parametrize("version", ["3.1", "1.0", "flat"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_one_source_recognises_a_folder(tmp_path: Path, version: str, ending: str) -> None:
    iv = busy_hospital(rows=30).write(tmp_path / "iv", ending=ending, version=version)
    iii = mimic3_tables.Hospital().write(tmp_path / "iii", ending=ending, lower=version == "flat")
    for folder, reader in ((iv, Mimic4Files), (iii, Mimic3Files)):
        found = [source for source in SOURCES if source.locate(folder, SURVEY) is not None]
        assert found == [reader]
    location = Mimic4Files.locate(iv, SURVEY)
    assert location is not None
    assert (location.database, location.source) == ("MIMIC-IV, version unknown", "mimic4")
    assert (location.patients, location.stays) == (12, 18)
    assert location.settings == {"path": str(iv)}
    assert [table.name for table in location.tables] == list(LAYOUT.columns)
    assert [table.rows for table in location.tables] == [12, 18, 18, 60, 30, 30]
    assert location.bytes == sum(path.stat().st_size for path in iv.rglob(f"*.{ending}"))
    assert (location.missing, location.notes) == ((), ())
    assert location.is_readable


def test_missing_tables_are_named_with_their_variables(tmp_path: Path) -> None:
    folder = Hospital().write(tmp_path / "iv")
    (folder / "icu" / "outputevents.csv").unlink()
    (folder / "hosp" / "labevents.csv").unlink()
    labs, outputs = located_in(folder).missing
    assert (labs.name, labs.is_required) == ("hosp/labevents", True)
    assert {"potassium", "lactate", "magnesium"} <= set(labs.variables)
    assert (outputs.name, outputs.is_required, outputs.variables) == ("icu/outputevents", False, ("urine",))
    assert not located_in(folder).is_readable


def test_damaged_tables_are_notes_and_no_errors(tmp_path: Path) -> None:
    folder = Hospital().write(tmp_path / "iv", ending="csv.gz")
    charts, labs = folder / "icu" / "chartevents.csv.gz", folder / "hosp" / "labevents.csv.gz"
    charts.write_bytes(charts.read_bytes()[:-9])
    labs.write_bytes(gzip.compress(b"subject_id,itemid\n1,2\n"))
    shutil.copy(folder / "icu" / "icustays.csv.gz", folder / "icustays.csv.gz")
    found = located_in(folder)
    assert [table.name for table in found.missing] == ["icu/icustays", "icu/chartevents", "hosp/labevents"]
    assert not found.is_readable
    text = " ".join(found.notes)
    for words in ("icustays has 2 files", "chartevents.csv.gz cannot be read", "labevents.csv.gz lacks the columns"):
        assert words in text


def test_a_folder_of_other_tables_is_none(tmp_path: Path) -> None:
    folder = Hospital().write(tmp_path / "iv", version="flat")
    for name in ("patients", "icustays"):
        (folder / f"{name}.csv").write_text("a,b\n1,2\n")
    assert Mimic4Files.locate(folder, SURVEY) is None
    assert Mimic4Files.locate(folder / "patients.csv", SURVEY) is None
    assert Mimic4Files.locate(tmp_path / "nowhere", SURVEY) is None


RELEASES = {
    "MIMIC-IV v3.0": {"patients": 1, "admissions": 1, "icustays": 1, "labevents": 5},
    "MIMIC-IV v3.1": {"patients": 1, "admissions": 1, "icustays": 1, "labevents": 4},
    "Demo v2.2": {"patients": 2, "admissions": 1, "icustays": 1, "labevents": 1},
}


def test_rows_tell_the_release(tmp_path: Path) -> None:
    folder = Hospital(labs=[lab(hour, 51006, 20) for hour in range(4)]).write(tmp_path / "iv")
    found = located_in(folder, releases=RELEASES)
    assert (found.database, found.notes) == ("MIMIC-IV v3.1", ())
    assert {table.name: table.expected_rows for table in found.tables}["labevents"] == 4
    folder = Hospital(labs=[lab(hour, 51006, 20) for hour in range(3)]).write(tmp_path / "cut" / "3.1")
    found = located_in(folder, releases=RELEASES)
    assert found.database == "MIMIC-IV v3.1"
    assert "the folder's name says MIMIC-IV v3.1" in found.notes[0]
    assert "labevents has 3 rows instead of 4, which MIMIC-IV v3.1 has" in found.notes[1]


def test_a_release_that_small_tables_leave_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Hospital(labs=[lab(hour, 51006, 20) for hour in range(4)]).write(tmp_path / "iv")
    size = (folder / "hosp" / "labevents.csv").stat().st_size
    monkeypatch.setattr("icudl.sources.reading.counting.LARGEST_COUNTED", size - 1)
    found = located_in(folder, releases=RELEASES)
    assert {table.name: table.rows for table in found.tables}["labevents"] is None
    assert "MIMIC-IV v3.0 and MIMIC-IV v3.1; --count tells them apart" in found.notes[0]
    counted = located(
        folder, dataclasses.replace(LAYOUT, releases=RELEASES), "mimic4", mimic4_rules(), Survey(counts_all=True)
    )
    assert counted is not None
    assert (counted.database, counted.notes) == ("MIMIC-IV v3.1", ())


def test_only_a_whole_demo_is_called_open(tmp_path: Path) -> None:
    hospital = Hospital(labs=[lab(1, 51006, 20)])
    hospital.patients.append([2, "F", 50, 2150, None, None])
    folder = hospital.write(tmp_path / "iv")
    assert located_in(folder, releases=RELEASES).settings == {"path": str(folder), "open_data": True}
    other = {"Demo v2.2": RELEASES["Demo v2.2"] | {"admissions": 7}}
    assert located_in(folder, releases=other).settings == {"path": str(folder)}


def test_a_synthetic_hospital_is_told_from_mimic3(tmp_path: Path) -> None:
    write_hospital(tmp_path / "hospital", patients=25, seed=3)
    found = Mimic3Files.locate(tmp_path / "hospital", SURVEY)
    assert found is not None
    assert found.database == "Synthetic hospital of 25 patients"
    assert found.settings == {"path": str(tmp_path / "hospital"), "open_data": True}
    assert found.patients == 25


def test_sets_of_the_challenge(tmp_path: Path) -> None:
    folder = tmp_path / "challenge"
    folder.mkdir()
    physionet_folder(folder)
    found = PhysioNet2012.locate(folder, SURVEY)
    assert found is not None
    assert (found.database, found.stays) == ("PhysioNet/CinC Challenge 2012, set A", 12)
    assert found.tables[1].expected_rows == 4000
    inner = PhysioNet2012.locate(folder / "set-a", SURVEY)
    assert inner is not None
    assert [table.file for table in inner.tables] == ["set-a", "Outcomes-a.txt"]
    (folder / "Outcomes-a.txt").unlink()
    broken = PhysioNet2012.locate(folder, SURVEY)
    assert broken is not None
    assert not broken.is_readable
    assert "Outcomes-a.txt is missing" in broken.notes[0]


def test_tables_of_eicu(tmp_path: Path) -> None:
    (tmp_path / "patient.csv").write_text("patientunitstayid\n1\n2\n")
    assert Eicu.locate(tmp_path, SURVEY) is None
    (tmp_path / "vitalPeriodic.csv.gz").write_bytes(gzip.compress(b"patientunitstayid\n1\n"))
    found = Eicu.locate(tmp_path, SURVEY)
    assert found is not None
    assert (found.database, found.source, found.stays) == ("eICU-CRD, version unknown", "eicu", 2)
    assert [(table.name, table.rows) for table in found.tables] == [("patient", 2), ("vitalperiodic", 1)]
    assert "lactate" in {table.name: table.variables for table in found.missing}["lab"]


def test_a_path_too_deep_or_too_shallow_is_found(tmp_path: Path) -> None:
    folder = busy_hospital(rows=20).write(tmp_path / "files" / "mimiciv" / "3.1")
    expected = [("MIMIC-IV, version unknown", folder)]
    for path in (folder, folder / "hosp", folder / "icu" / "chartevents.csv", tmp_path, tmp_path / "files"):
        assert look(path) == expected
    stranger = folder / "notes"
    stranger.mkdir()
    with pytest.raises(SourceError, match="holds no database that is known"):
        look(stranger)


def test_several_below_and_those_that_can_be_read_first(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "numericitems.csv").touch()
    (tmp_path / "a" / "listitems.csv").touch()
    iii = mimic3_tables.Hospital().write(tmp_path / "b")
    iv = Hospital().write(tmp_path / "c")
    assert [folder for _, folder in look(tmp_path)] == [iii, iv, tmp_path / "a"]
    assert look(tmp_path / "a") == [("AmsterdamUMCdb", tmp_path / "a")]


def test_an_incomplete_database_is_said_where_it_lies(tmp_path: Path) -> None:
    folder = Hospital().write(tmp_path / "iv")
    (folder / "icu" / "chartevents.csv").unlink()
    (found,) = search(folder, SURVEY, SOURCES)
    assert not found.location.is_readable
    assert [table.name for table in found.location.missing] == ["icu/chartevents"]


def test_nothing_known_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no database") as caught:
        look(tmp_path)
    for words in ("MIMIC-III: PATIENTS", "MIMIC-IV: hosp/patients", "set-a.tar.gz", "AmsterdamUMCdb", "HiRID"):
        assert words in str(caught.value)
    with pytest.raises(SourceError, match="does not exist"):
        look(tmp_path / "nowhere")


NAMES = {
    "AmsterdamUMCdb": ("admissions.csv", "numericitems.csv"),
    "HiRID": ("general_table.csv", "hirid_variable_reference.csv"),
}


@pytest.mark.parametrize("database", NAMES)
def test_databases_known_by_name_only(tmp_path: Path, database: str) -> None:
    assert set(NAMES) == {signature.database for signature in SIGNATURES}
    for name in NAMES[database]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = unread_database(tmp_path)
    assert found is not None
    assert (found.database, found.source, found.is_readable) == (database, "", False)
    (tmp_path / NAMES[database][0]).unlink()
    assert unread_database(tmp_path) is None
