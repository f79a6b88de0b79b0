"""Files of MEDS data: whole or refused, in any number of shards, numbers of 32 bits as they were written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.errors import SourceError
from icudl.sources.locating import Survey
from icudl.sources.meds import Meds, MedsOptions, folder
from icudl.sources.meds.folder import decimals
from icudl.sources.reading import events
from meds_data import DataSet, event, person, read, stay, study_folder
from own_tables import means

EVENTS = [*person(), *stay(), event(1, "LAB//220045//bpm", 80)]


@given(st.lists(st.integers(-999_999, 999_999), min_size=1), st.sampled_from([1, 10, 100, 1000]))
def test_a_number_of_six_digits_comes_back_as_it_was_written(numbers: list[int], divisor: int) -> None:
    written = np.array(numbers) / divisor
    assert decimals(pl.Series(written, dtype=pl.Float32)).to_list() == written.tolist()


def test_numbers_of_64_bits_stay() -> None:
    assert decimals(pl.Series([37.20000076, None])).to_list() == [37.20000076, None]


def test_shards_and_batches_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study_folder(tmp_path / "two")
    frames = [pl.read_parquet(path) for path in (tmp_path / "two").rglob("data/**/*.parquet")]
    one = tmp_path / "one" / "data"
    one.mkdir(parents=True)
    pl.concat(frames).write_parquet(one / "all.parquet")
    use = ("heartrate", "tempc", "lactate")
    whole = read(tmp_path / "one", use, etl="mimic4")
    monkeypatch.setattr(folder, "_BATCH_ROWS", 7)
    monkeypatch.setattr(events, "_PART_ROWS", 11)
    parts = read(tmp_path / "two", use)
    assert parts.stays.equals(whole.stays)
    assert parts.hours.equals(whole.hours)
    assert parts.cleaning.equals(whole.cleaning)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source.path is empty"):
        Meds(MedsOptions(), 1).reach()
    with pytest.raises(SourceError, match="is not a folder"):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"holds no data/\*\*/\*.parquet; found: nothing"):
        read(tmp_path / "empty")
    path = DataSet({"0": EVENTS}).write(tmp_path / "meds") / "data" / "0.parquet"
    frame = pl.read_parquet(path)
    frame.rename({"numeric_value": "value"}).write_parquet(path)
    with pytest.raises(SourceError, match=r"data/0.parquet lacks the column numeric_value; it has .*value"):
        read(tmp_path / "meds")
    frame.with_columns(pl.col("time").dt.replace_time_zone("UTC")).write_parquet(path)
    with pytest.raises(SourceError, match="Expected timestamps without a zone"):
        read(tmp_path / "meds")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match=r"data/0.parquet cannot be read"):
        read(tmp_path / "meds")


def test_the_fingerprint_is_of_the_bytes_and_the_codes(tmp_path: Path) -> None:
    path = DataSet({"0": EVENTS}).write(tmp_path / "meds")
    first = Meds(MedsOptions(path=str(path)), 1).fingerprint(tmp_path / "memory")
    assert str(tmp_path) not in str(first)
    own = Meds(MedsOptions(path=str(path), codes={"heartrate": ["HR"]}), 1).fingerprint(tmp_path / "memory")
    assert own.digest != first.digest
    (path / "data" / "0.parquet").rename(path / "data" / "renamed.parquet")
    assert Meds(MedsOptions(path=str(path)), 1).fingerprint(tmp_path / "memory").digest == first.digest
    DataSet({"1": EVENTS[:-1]}).write(path)
    assert Meds(MedsOptions(path=str(path)), 1).fingerprint(tmp_path / "memory").digest != first.digest


def test_locating(tmp_path: Path) -> None:
    study_folder(tmp_path / "meds")
    found = Meds.locate(tmp_path / "meds", Survey())
    assert found is not None
    assert (found.database, found.source, found.patients, found.stays) == ("MEDS: MIMIC-IV 3.1", "meds", 8, 8)
    assert found.settings == {"path": str(tmp_path / "meds"), "etl": "mimic4"}
    assert [table.file for table in found.tables] == ["data/held_out/0.parquet", "data/train/0.parquet"]
    assert found.is_readable
    ours = DataSet({"0": [event(1, "X", 1)]}, described={}).write(tmp_path / "ours")
    located = Meds.locate(ours, Survey())
    assert located is not None
    assert any("tell the ETL" in note for note in located.notes)
    assert any("No code is an ICU admission" in note for note in located.notes)
    assert Meds.locate(tmp_path, Survey()) is None
    assert Meds.locate(tmp_path / "meds" / "data" / "train" / "0.parquet", Survey()) is None


def test_repeated_rows_are_one(tmp_path: Path) -> None:
    twice = DataSet({"0": [*EVENTS, EVENTS[-1], event(1, "LAB//220045//bpm", 90)]}).write(tmp_path / "meds")
    assert means(read(twice)) == [(1, 1, "heartrate", 85.0, 2)]


def test_a_copy_of_a_file_beside_it_is_refused(tmp_path: Path) -> None:
    one = [*person(), *stay(), event(1, "LAB//220045//bpm", 80)]
    other = [*person(2), *stay(subject=2)]
    folder = DataSet({"train/0": one, "train/1": other}).write(tmp_path / "meds")
    read(folder)
    shutil.copy(folder / "data" / "train" / "0.parquet", folder / "data" / "old.parquet")
    with pytest.raises(SourceError, match=r"Subject 1 has events in .*old.parquet and in .*train/0.parquet, and 1 of"):
        read(folder)
