"""Files and times of CLIF: Parquet and CSV alike, whole or refused, one rule for zones."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from clif_tables import Hospital, lab, read, vital
from icudl.errors import SourceError
from icudl.sources.clif import Clif, ClifOptions
from icudl.sources.reading import blocks
from own_tables import means

USE = ("heartrate", "creatinine")


@pytest.fixture
def hospital() -> Hospital:
    return Hospital(
        vitals=[vital(hour, "heart_rate", 80 + hour) for hour in range(20)],
        labs=[lab(hour, "creatinine", 1.0 + hour / 10, "mg/dL", lab_name="a, b") for hour in range(5)],
    )


def test_parquet_and_csv_are_alike(hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(hospital.write(tmp_path / "parquet"), USE)
    assert len(whole.hours) == 25
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 300)
    for ending in ("csv", "csv.gz"):
        folder = hospital.write(tmp_path / ending, ending="csv")
        if ending == "csv.gz":
            for path in list(folder.iterdir()):
                pl.read_csv(path, infer_schema=False).write_csv(f"{path}.gz", compression="gzip")
                path.unlink()
        read_back = read(folder, USE)
        assert read_back.stays.equals(whole.stays)
        assert read_back.hours.equals(whole.hours)
        assert read_back.cleaning.equals(whole.cleaning)


def test_times_with_and_without_a_zone(hospital: Hospital, tmp_path: Path) -> None:
    expected = means(read(hospital.write(tmp_path / "aware"), USE))
    assert means(read(hospital.write(tmp_path / "naive", zones=frozenset()), USE)) == expected
    assert means(read(hospital.write(tmp_path / "csv", "csv", zones=frozenset()), USE)) == expected
    mixed = hospital.write(tmp_path / "mixed", zones=frozenset({"adt", "hospitalization", "patient"}))
    with pytest.raises(SourceError, match=r"Times of vitals.recorded_dttm.* have no zone, and times of adt.in_dttm"):
        read(mixed, USE)
    assert means(read(mixed, USE, time_zone="UTC")) == expected
    # 10:00 without a zone is 10:00 in Chicago, 16:00 UTC: six hours after the time of admission.
    later = read(mixed, ("heartrate",), time_zone="America/Chicago")
    assert min(hour for _, hour, _, _, _ in means(later)) == 6


def test_optional_columns_may_be_missing(hospital: Hospital, tmp_path: Path) -> None:
    folder = hospital.write(tmp_path / "clif")
    path = folder / "clif_labs.parquet"
    pl.read_parquet(path).drop("lab_name", "lab_value_numeric", "lab_result_dttm").write_parquet(path)
    assert len(read(folder, USE).hours) == 25
    pl.read_parquet(path).drop("reference_unit").write_parquet(path)
    with pytest.raises(SourceError, match=r"clif_labs.parquet lacks the column reference_unit.*as CLIF 2.1 ships it"):
        read(folder, USE)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace(",heart_rate,", ",", 1), "line 2 has 5 fields where the header has 6"),
        (lambda text: text.replace("+00:00", " noon", 1), "times in recorded_dttm that cannot be read"),
        (lambda text: text.replace(",80.0,", ",eighty,", 1), "cannot be read"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(change, expected: str, hospital: Hospital, tmp_path: Path) -> None:
    path = hospital.write(tmp_path / "clif", "csv") / "clif_vitals.csv"
    path.write_text(change(path.read_text("utf-8")), "utf-8")
    with pytest.raises(SourceError, match=expected):
        read(path.parent, USE)


def test_what_is_missing_is_named(hospital: Hospital, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source.path is empty"):
        Clif(ClifOptions(), 1).reach()
    with pytest.raises(SourceError, match="is not a folder"):
        read(tmp_path / "nowhere")
    folder = hospital.write(tmp_path / "clif")
    assert Clif(ClifOptions(path=str(folder)), 1).reach() == f"patient, hospitalization, adt, vitals, labs in {folder}"
    (folder / "clif_vitals.csv").write_text("x", "utf-8")
    with pytest.raises(SourceError, match=r"vitals has 2 files: clif_vitals.csv, clif_vitals.parquet"):
        read(folder, USE)
    (folder / "clif_vitals.csv").unlink()
    (folder / "clif_adt.parquet").unlink()
    with pytest.raises(SourceError, match=r"lacks clif_adt .* found: clif_hospitalization.parquet"):
        read(folder, USE)


def test_the_fingerprint_is_of_the_bytes(hospital: Hospital, tmp_path: Path) -> None:
    folder = hospital.write(tmp_path / "clif")
    first = Clif(ClifOptions(path=str(folder)), 1).fingerprint(tmp_path / "memory")
    assert str(tmp_path) not in str(first)
    hospital.labs = [lab(1, "creatinine", 2.0, "mg/dL")]
    hospital.write(folder)
    assert Clif(ClifOptions(path=str(folder)), 1).fingerprint(tmp_path / "memory").digest != first.digest


def test_a_csv_file_that_ends_within_a_line(hospital: Hospital, tmp_path: Path) -> None:
    folder = hospital.write(tmp_path / "clif", "csv")
    assert read(folder, USE).warnings == ()
    path = folder / "clif_vitals.csv"
    path.write_bytes(path.read_bytes().rstrip())
    assert [text.partition(" ")[0] for text in read(folder, USE).warnings] == ["clif_vitals.csv"]
