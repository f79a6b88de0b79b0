"""The MIMIC-III folder reader: formats, leaks, identity, bad input."""

from __future__ import annotations

import gzip
import math
import shutil
from collections import defaultdict
from datetime import datetime, timedelta
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from mimic3_tables import START, Hospital, admission, cells, chart, lab, patient, read, stay, write_table

from icudl.artifacts import SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import DataSource
from icudl.sources.mimic import binning
from icudl.sources.mimic3.files import Mimic3Files
from icudl.sources.mimic3.options import Mimic3Options


def busy_hospital(seed: int = 3, stays: int = 12, rows: int = 1500) -> Hospital:
    """Random rows of all kinds around a dozen stays of eight patients."""
    rng = np.random.default_rng(seed)
    hospital = Hospital(charts=[], labs=[], stays=[], admissions=[], patients=[])
    starts: dict[int, float] = defaultdict(float)
    for number in range(stays):
        subject = int(rng.integers(1, 9))
        start = starts[subject] + round(float(rng.uniform(0, 30)), 2)
        end = start + round(float(rng.uniform(5, 120)), 2)
        starts[subject] = end
        hospital.stays.append(stay(200 + number, start, end, subject=subject, hadm=100 + number))
        hospital.admissions.append(admission(100 + number, subject=subject))
    hospital.patients.extend(patient(subject) for subject in range(1, 9))
    for _ in range(rows):
        subject, hours = int(rng.integers(1, 10)), round(float(rng.uniform(-5, 200)), 1)
        item = int(rng.choice([211, 220045, 51, 220179, 678, 676, 223762, 646, 9999]))
        value = rng.choice([None, 98.6, round(float(rng.uniform(0, 150)), 1), round(float(rng.uniform(30, 110)), 3)])
        hospital.charts.append(chart(hours, item, value, subject=subject, error=rng.choice([None, 0, 0, 1])))
        value = rng.choice([738, 7.4, round(float(rng.uniform(1, 60)), 2)])
        hospital.labs.append(lab(hours, int(rng.choice([50820, 50822, 51006])), value, subject=subject, hadm=None))
    hospital.charts += hospital.charts[:100]
    return hospital


def assert_identical(one: SourceTables, other: SourceTables) -> None:
    assert one.stays.equals(other.stays)
    assert one.hours.equals(other.hours)
    assert one.hours["mean"].to_numpy().tobytes() == other.hours["mean"].to_numpy().tobytes()
    assert one.cleaning.equals(other.cleaning)


def test_it_is_a_data_source(tmp_path: Path) -> None:
    source = Mimic3Files(Mimic3Options(path=str(tmp_path)), seed=0)
    assert isinstance(source, DataSource)
    assert source.restricted
    assert not Mimic3Files(Mimic3Options(path=str(tmp_path), open_data=True), seed=0).restricted


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("lower", [False, True])
def test_every_format_and_case_gives_the_same_bits(
    tmp_path: Path, context: RunContext, ending: str, *, lower: bool
) -> None:
    hospital = busy_hospital()
    reference = read(hospital.write(tmp_path / "reference"), context)
    assert len(reference.hours) > 300
    assert_identical(reference, read(hospital.write(tmp_path / "other", ending=ending, lower=lower), context))


def test_formats_can_be_mixed_and_row_order_is_free(tmp_path: Path, context: RunContext) -> None:
    hospital = busy_hospital()
    reference = read(hospital.write(tmp_path / "reference"), context)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for number, (name, frame) in enumerate(hospital.frames().items()):
        ending = ("csv", "csv.gz", "parquet")[number % 3]
        write_table(mixed, name, frame.sample(fraction=1, shuffle=True, seed=5), ending=ending, lower=number % 2 == 0)
    (mixed / "NOTES.txt").write_text("not a table")
    assert_identical(reference, read(mixed, context))


def test_parts_of_any_size_give_the_same_bits(
    tmp_path: Path, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = busy_hospital().write(tmp_path / "hospital")
    reference = read(folder, context)
    monkeypatch.setattr(binning, "_ROWS_PER_PART", 100)
    assert_identical(reference, read(folder, context))


def test_a_slow_exact_reading_agrees(tmp_path: Path, context: RunContext) -> None:
    # Heart rates only, by the definition: last stay begun, not yet ended, 48 h, distinct rows, exact arithmetic.
    hospital = busy_hospital(seed=11)
    found = {
        key[:2]: cell
        for key, cell in cells(read(hospital.write(tmp_path / "hospital"), context)).items()
        if key[2] == "heartrate"
    }

    def moment(text: str) -> datetime:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007

    values: dict[tuple[int, int], set] = defaultdict(set)
    for row in hospital.charts:
        subject, item, time, value, error = row[1], row[4], moment(row[5]), row[9], row[12]
        begun = [s for s in hospital.stays if s[1] == subject and moment(s[9]) <= time]
        if item not in (211, 220045) or value is None or error == 1 or not 10 <= value <= 300 or not begun:
            continue
        latest = max(begun, key=lambda s: (s[9], s[3]))
        hour = (time - moment(latest[9])) // timedelta(hours=1)
        if time < moment(latest[10]) and hour < 48:
            values[latest[3], hour].add((time, item, str(value)))
    expected = {
        key: (float(sum(Fraction(value) for _, _, value in rows) / len(rows)), len(rows))
        for key, rows in values.items()
    }
    assert found.keys() == expected.keys()
    assert len(found) > 30
    for key, (mean, count) in found.items():
        assert count == expected[key][1]
        assert math.isclose(mean, expected[key][0], rel_tol=1e-12)


def test_nothing_at_or_after_the_end_of_the_window_changes_anything(tmp_path: Path, context: RunContext) -> None:
    hospital = busy_hospital()
    before = read(hospital.write(tmp_path / "before"), context)
    ends = {row[3]: datetime.fromisoformat(row[9]) + timedelta(hours=48) for row in hospital.stays}
    long_stay = next(
        row for row in hospital.stays if datetime.fromisoformat(row[10]) > ends[row[3]] + timedelta(hours=3)
    )
    end = int((ends[long_stay[3]] - START) / timedelta(seconds=1))
    for seconds in (0, 1, 3600, 9000):
        hospital.charts += [chart(0, 211, 299, subject=long_stay[1], seconds=end + seconds)]
        hospital.labs += [lab(0, 51006, 299, subject=long_stay[1], seconds=end + seconds)]
    after = read(hospital.write(tmp_path / "after"), context)
    assert after.stays.equals(before.stays)
    assert after.hours.equals(before.hours)
    changed = after.cleaning.join(before.cleaning, on=["variable", "rule"], suffix="_before").filter(
        pl.col("rows") != pl.col("rows_before")
    )
    assert set(changed["rule"]) == {"read", "dropped: outside the window"}
    hospital.charts[-1] = chart(0, 211, 299, subject=long_stay[1], seconds=end - 1)
    assert not read(hospital.write(tmp_path / "inside"), context).hours.equals(before.hours)


def test_window_and_choice_of_variables(tmp_path: Path, context: RunContext) -> None:
    folder = busy_hospital().write(tmp_path / "hospital")
    everything = read(folder, context)
    few = read(folder, context, use=("spo2", "heartrate"), hours=6)
    assert few.hours["hour"].max() < 6
    assert [variable.name for variable in few.variables] == ["spo2", "heartrate"]
    kept = {key: cell for key, cell in cells(everything).items() if key[1] < 6 and key[2] in {"spo2", "heartrate"}}
    assert cells(few) == kept


def test_fingerprint_tells_content_not_place(tmp_path: Path) -> None:
    def digest(folder: Path) -> str:
        source = Mimic3Files(Mimic3Options(path=str(folder)), seed=0)
        fingerprint = source.fingerprint(tmp_path / "memory")
        assert str(tmp_path) not in repr(fingerprint.details)
        return fingerprint.digest

    first = busy_hospital().write(tmp_path / "first")
    shutil.copytree(first, tmp_path / "second")
    reference = digest(first)
    assert digest(tmp_path / "second") == reference == digest(first)
    table = tmp_path / "second" / "LABEVENTS.csv"
    table.write_text(table.read_text() + "1,1,1,50822,2150-01-01 12:00:00,4,4,x,\n")
    assert digest(tmp_path / "second") != reference


def test_hashes_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = busy_hospital().write(tmp_path / "hospital")
    source = Mimic3Files(Mimic3Options(path=str(folder)), seed=0)
    before = source.fingerprint(tmp_path / "memory")
    monkeypatch.setattr("hashlib.sha256", lambda *content: sha256(*content) if content else pytest.fail("read again"))
    assert source.fingerprint(tmp_path / "memory") == before


def test_a_resumed_run_takes_up_what_was_read(tmp_path: Path, context: RunContext) -> None:
    folder = busy_hospital().write(tmp_path / "hospital")
    reference = read(folder, context)
    chart_rows = next(context.scratch.glob("chartevents-*.parquet"))
    next(context.scratch.glob("labevents-*.parquet")).unlink()
    changed = chart_rows.stat().st_mtime_ns
    assert_identical(read(folder, context), reference)
    assert chart_rows.stat().st_mtime_ns == changed


# Bad input: one clear message each.


def fails(folder: Path, context: RunContext, *words: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(folder, context)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def rewrite(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return busy_hospital(rows=60).write(tmp_path / "hospital")


def test_no_folder(tmp_path: Path, context: RunContext) -> None:
    fails(tmp_path / "nowhere", context, "nowhere", "not a folder")
    (tmp_path / "file").write_text("")
    fails(tmp_path / "file", context, "not a folder")
    with pytest.raises(SourceError, match=r"source\.path is empty"):
        Mimic3Files(Mimic3Options(), seed=0).fingerprint(tmp_path)


def test_missing_table(folder: Path, context: RunContext) -> None:
    (folder / "LABEVENTS.csv").rename(folder / "LABS.csv")
    fails(folder, context, "lacks LABEVENTS", "LABS.csv", "ICUSTAYS")


def test_table_there_twice(folder: Path, context: RunContext) -> None:
    (folder / "labevents.csv.gz").write_bytes(gzip.compress((folder / "LABEVENTS.csv").read_bytes()))
    fails(folder, context, "LABEVENTS", "labevents.csv.gz", "Keep one")


def test_missing_column(folder: Path, context: RunContext) -> None:
    rewrite(folder, "CHARTEVENTS.csv", "VALUENUM", "NUMBER")
    fails(folder, context, "CHARTEVENTS.csv lacks the column valuenum", "NUMBER")


def test_missing_column_in_parquet(folder: Path, context: RunContext) -> None:
    (folder / "LABEVENTS.csv").unlink()
    frame = busy_hospital(rows=60).frames()["LABEVENTS"].drop("CHARTTIME")
    frame.select("SUBJECT_ID", "ITEMID", "VALUENUM").write_parquet(folder / "LABEVENTS.parquet")
    fails(folder, context, "LABEVENTS.parquet lacks the column charttime")


@pytest.mark.parametrize("keep", [0.5, 0.98])
def test_truncated_gzip(folder: Path, context: RunContext, keep: float) -> None:
    content = gzip.compress((folder / "CHARTEVENTS.csv").read_bytes())
    (folder / "CHARTEVENTS.csv").unlink()
    (folder / "CHARTEVENTS.csv.gz").write_bytes(content[: int(len(content) * keep)])
    fails(folder, context, "CHARTEVENTS.csv.gz", "truncated or damaged")
    assert not list(context.scratch.glob("chartevents-*"))


def test_not_gzip_and_not_parquet(folder: Path, context: RunContext) -> None:
    (folder / "CHARTEVENTS.csv").rename(folder / "CHARTEVENTS.csv.gz")
    fails(folder, context, "CHARTEVENTS.csv.gz cannot be read")
    (folder / "CHARTEVENTS.csv.gz").rename(folder / "CHARTEVENTS.parquet")
    fails(folder, context, "CHARTEVENTS.parquet cannot be read")


def test_text_in_a_numeric_column(folder: Path, context: RunContext) -> None:
    hospital = busy_hospital(rows=60)
    hospital.charts[40] = chart(1, 211, "eighty")
    fails(hospital.write(folder), context, "CHARTEVENTS.csv cannot be read", "eighty")


def test_unparsable_time(folder: Path, context: RunContext) -> None:
    hospital = busy_hospital(rows=60)
    hospital.charts[40][4:6] = [211, "01/02/2150 10:00"]
    fails(hospital.write(folder), context, "CHARTEVENTS.csv", "YYYY-MM-DD HH:MM:SS", "01/02/2150 10:00")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_wrong_encoding(folder: Path, context: RunContext, encoding: str) -> None:
    table = folder / "CHARTEVENTS.csv"
    table.write_bytes(table.read_text().encode(encoding))
    fails(folder, context, "CHARTEVENTS.csv", "UTF-8")


def test_invalid_bytes_in_a_needed_column(folder: Path, context: RunContext) -> None:
    table = folder / "CHARTEVENTS.csv"
    table.write_bytes(table.read_bytes().replace(b"2150-01-0", b"2150-\xff1-0"))
    fails(folder, context, "CHARTEVENTS.csv cannot be read")


def test_latin1_text(folder: Path, context: RunContext) -> None:
    table = folder / "CHARTEVENTS.csv"
    table.write_bytes(table.read_bytes().replace(b",x,", b",\xb0F,"))
    fails(folder, context, "CHARTEVENTS.csv cannot be read: it is not UTF-8 text")


def test_byte_order_mark_is_harmless(folder: Path, context: RunContext) -> None:
    table = folder / "CHARTEVENTS.csv"
    reference = read(folder, context)
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert_identical(read(folder, context), reference)


@pytest.mark.parametrize("name", ["CHARTEVENTS.csv", "LABEVENTS.csv", "ICUSTAYS.csv", "ADMISSIONS.csv", "PATIENTS.csv"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_last_row_that_was_cut(folder: Path, context: RunContext, name: str, end: str) -> None:
    path = folder / name
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:-1], ",".join(rows[-1].split(",")[:-1])]) + end)
    fails(folder, context, name, "line", "fields where the header has")


def test_a_row_of_a_small_table_that_was_cut(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(stays=[stay(200, 0, 50), stay(201, 60, 90)])
    folder = hospital.write(tmp_path / "hospital", ending="csv.gz")
    path = folder / "ICUSTAYS.csv.gz"
    header, first, second = gzip.decompress(path.read_bytes()).decode().splitlines()
    path.write_bytes(gzip.compress("\n".join([header, ",".join(first.split(",")[:10]), second, ""]).encode()))
    fails(folder, context, "ICUSTAYS.csv.gz: line 2 has 10 fields where the header has 12")


def test_a_quote_that_nothing_closes_in_a_small_table(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital(patients=[patient(1), patient(2), patient(3)]).write(tmp_path / "hospital")
    path = folder / "PATIENTS.csv"
    header, *rows = path.read_text().splitlines()
    rows = [row.removesuffix("0") + '"' * (k != 1) for k, row in enumerate(rows)]
    path.write_text("\n".join([header, *rows, ""]))
    fails(folder, context, "PATIENTS.csv: line", "a quote that nothing closes")


def test_duplicate_stay_id(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(stays=[stay(200, 0, 10), stay(200, 20, 30)])
    fails(hospital.write(tmp_path / "hospital"), context, "ICUSTAYS", "ICUSTAY_ID 200", "more than once")


@pytest.mark.parametrize(
    ("table", "column", "rows"),
    [
        ("ICUSTAYS", "ICUSTAY_ID", {"stays": [stay(200, 0, 10), stay(None, 20, 30)]}),
        ("ADMISSIONS", "HADM_ID", {"admissions": [admission(), admission(None)]}),
        ("PATIENTS", "SUBJECT_ID", {"patients": [patient(), patient(None)]}),
    ],
)
def test_rows_without_an_id(
    table: str, column: str, rows: dict[str, list[object]], tmp_path: Path, context: RunContext
) -> None:
    hospital = Hospital(**rows)
    fails(hospital.write(tmp_path / "hospital"), context, f"{table} has 1 rows without {column}")


def test_stay_without_admission_or_patient(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(stays=[stay(200, 0, 10), stay(201, 20, 30, hadm=999)])
    fails(hospital.write(tmp_path / "one"), context, "201", "ADMISSIONS lacks")
    hospital = Hospital(stays=[stay(200, 0, 10), stay(201, 20, 30, subject=999)])
    fails(hospital.write(tmp_path / "two"), context, "201", "PATIENTS lacks")


def test_stay_that_ends_before_it_begins(tmp_path: Path, context: RunContext) -> None:
    fails(Hospital(stays=[stay(200, 5, 4)]).write(tmp_path / "hospital"), context, "200", "ends before it begins")


@pytest.mark.parametrize("name", ["PATIENTS", "ADMISSIONS", "ICUSTAYS", "CHARTEVENTS", "LABEVENTS"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_empty_table(folder: Path, context: RunContext, name: str, ending: str) -> None:
    (folder / f"{name}.csv").unlink()
    write_table(folder, name, busy_hospital(rows=60).frames()[name].head(0), ending=ending)
    fails(folder, context, f"{name}.{ending} has no rows")


def test_file_of_no_bytes(folder: Path, context: RunContext) -> None:
    (folder / "CHARTEVENTS.csv").write_bytes(b"")
    fails(folder, context, "CHARTEVENTS.csv has no rows")


def test_nothing_in_any_window(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(charts=[chart(900, 211, 80)], labs=[lab(900, 51006, 20)])
    fails(hospital.write(tmp_path / "hospital"), context, "No value of the chosen variables")
