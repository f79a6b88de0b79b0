"""Files of eICU: whole or refused, in any case, packed or not, in blocks of any size."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from eicu_tables import HEADERS, Hospital, lab, nurse, patient, read, respiratory
from icudl.errors import SourceError
from icudl.sources.eicu import Eicu, EicuOptions, binning, reading
from icudl.sources.reading import blocks
from own_tables import counts, means

ROWS = [lab(minute, "potassium", 3 + minute % 5, stay=1 + minute % 2) for minute in range(0, 300, 7)]
USE = ("potassium", "heartrate")


@pytest.fixture
def hospital() -> Hospital:
    return Hospital(lab=ROWS, nursecharting=[nurse(61, "Heart Rate", "Heart Rate", "80", stay=2)])


def test_names_headers_and_packing(hospital: Hospital, tmp_path: Path) -> None:
    expected = means(read(hospital.write(tmp_path / "a"), USE))
    assert len(expected) == 11
    assert means(read(hospital.write(tmp_path / "b", names=str.upper, packed=False), USE)) == expected
    parquet = hospital.write(tmp_path / "c", packed=False)
    for path in list(parquet.iterdir()):
        pl.read_csv(path).write_parquet(path.with_suffix(".parquet"))
        path.unlink()
    assert means(read(parquet, USE)) == expected


def test_the_size_of_blocks_and_parts_changes_nothing(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hospital.write(tmp_path / "eicu")
    whole = read(path, USE)
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 200)
    monkeypatch.setattr(reading, "_PART_ROWS", 5)
    monkeypatch.setattr(binning, "_ROWS_PER_PART", 10)
    parts = read(path, USE)
    assert parts.hours.equals(whole.hours)
    assert parts.cleaning.equals(whole.cleaning)


def test_a_table_that_lies_elsewhere(hospital: Hospital, tmp_path: Path) -> None:
    path = hospital.write(tmp_path / "eicu")
    (path / "part").mkdir()
    (path / "lab.csv.gz").rename(path / "part" / "labs.csv.gz")
    assert counts(read(path, USE, files={"lab": "part/labs.csv.gz"}), "potassium")["read"] == len(ROWS)
    with pytest.raises(SourceError, match=r"source.files.lab names 'nowhere.csv'"):
        read(path, USE, files={"lab": "nowhere.csv"})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace(",potassium,4,", ",potassium,", 1), "fields where the header has 10"),
        (lambda text: text.replace(",potassium,4,", ",potassium,4,,", 1), "has 11 fields where the header has 10"),
        (lambda text: text.replace("potassium", '"potassium', 1), "a quote that nothing closes"),
        (
            lambda text: text.replace("\n", '"\n', 3).replace('"\n', "\n", 1),
            "a quote that nothing closes, or one within",
        ),
        (lambda text: text.replace("labname", "labnam", 1), "lacks the column labname"),
        (lambda text: text.replace(",potassium,4,", ",potassium,four,", 1), "cannot be read"),
        (lambda text: "", "lab.csv.gz is empty"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(change, expected: str, hospital: Hospital, tmp_path: Path) -> None:
    path = hospital.write(tmp_path / "eicu") / "lab.csv.gz"
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()).decode()).encode()))
    with pytest.raises(SourceError, match=expected):
        read(path.parent, USE)


def test_a_truncated_file_is_refused(hospital: Hospital, tmp_path: Path) -> None:
    path = hospital.write(tmp_path / "eicu") / "lab.csv.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match="truncated or damaged"):
        read(path.parent, USE)


def test_a_file_cut_within_its_last_value_is_told(hospital: Hospital, tmp_path: Path) -> None:
    hospital.nursecharting = [nurse(61, "Heart Rate", "Heart Rate", "120.25", stay=2)]
    path = hospital.write(tmp_path / "eicu", packed=False) / "nursecharting.csv"
    assert not read(path.parent, USE).warnings
    path.write_bytes(path.read_bytes()[:-2])
    cut = read(path.parent, USE)
    assert (2, 1, "heartrate", 120.2, 1) in means(cut)
    (warning,) = cut.warnings
    assert warning.startswith("nursecharting.csv has no line break at its end: its last value may be cut")


def test_blanks_around_texts_do_not_count(tmp_path: Path) -> None:
    use = ("creatinine", "magnesium", "heartrate", "fio2")
    found = []
    for blank in ("", " "):
        hospital = Hospital(
            patient=[patient(1)],
            lab=[
                lab(5, f"creatinine{blank}", 1.5, f"{blank}mg/dL"),
                lab(5, f"{blank}magnesium", 1.7, f"mEq/L{blank}"),
            ],
            nursecharting=[nurse(5, f"Heart Rate{blank}", f"{blank}Heart Rate", f"80{blank}")],
            respiratorycharting=[respiratory(5, f"FiO2{blank}", f"40%{blank}")],
        )
        found.append(means(read(hospital.write(tmp_path / f"eicu{len(blank)}"), use)))
    assert len(found[0]) == 4
    assert found[0] == found[1]


def test_a_comma_in_quotes_is_no_field(tmp_path: Path) -> None:
    hospital = Hospital(patient=[patient(1, apacheadmissiondx='Bleeding, "GI", upper')], lab=[lab(5, "potassium", 4)])
    assert means(read(hospital.write(tmp_path / "eicu"), ("potassium",))) == [(1, 0, "potassium", 4.0, 1)]
    assert HEADERS["patient"].count(",") == 18


def test_what_is_missing_is_named(hospital: Hospital, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source.path is empty"):
        Eicu(EicuOptions(), 1).reach()
    with pytest.raises(SourceError, match="is not a folder"):
        Eicu(EicuOptions(path=str(tmp_path / "nowhere")), 1).reach()
    path = hospital.write(tmp_path / "eicu")
    assert Eicu(EicuOptions(path=str(path)), 1).reach() == f"patient, lab, nursecharting in {path}"
    (path / "lab.csv").write_text("x", "utf-8")
    with pytest.raises(SourceError, match=r"LAB has 2 files: lab.csv, lab.csv.gz"):
        read(path, USE)
    (path / "lab.csv").unlink()
    (path / "patient.csv.gz").unlink()
    with pytest.raises(SourceError, match=r"lacks PATIENT .* found: lab.csv.gz, nursecharting.csv.gz"):
        read(path, USE)


def test_the_fingerprint_is_of_the_bytes_and_the_rules(hospital: Hospital, tmp_path: Path) -> None:
    path = hospital.write(tmp_path / "eicu")
    first = Eicu(EicuOptions(path=str(path)), 1).fingerprint(tmp_path)
    assert str(tmp_path) not in str(first)
    assert Eicu(EicuOptions(path=str(path), vitals=("vitalperiodic",)), 1).fingerprint(tmp_path).digest != first.digest
    (path / "lab.csv.gz").write_bytes((path / "lab.csv.gz").read_bytes() + b"\0")
    assert Eicu(EicuOptions(path=str(path)), 1).fingerprint(tmp_path).digest != first.digest
