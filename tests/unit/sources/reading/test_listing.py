"""What a folder holds, in words, and files that are no data."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from icudl.errors import SourceError
from icudl.sources.clif.folder import find_tables as clif_tables
from icudl.sources.eicu.folder import find_tables as eicu_tables
from icudl.sources.meds.folder import shards_of
from icudl.sources.mimic.folder import find_tables as mimic_tables
from icudl.sources.mimic4.layout import LAYOUT
from icudl.sources.reading.listing import listed


def test_folders_are_told_from_files(tmp_path: Path) -> None:
    assert listed(tmp_path) == "nothing"
    (tmp_path / "b.csv").touch()
    (tmp_path / "a.csv").mkdir()
    assert listed(tmp_path) == "a.csv/, b.csv"
    assert listed(tmp_path / "b.csv") == "b.csv"
    for number in range(30):
        (tmp_path / f"c{number:02}").touch()
    assert listed(tmp_path).count(",") == 19


def test_a_folder_named_like_a_table_is_no_table(tmp_path: Path) -> None:
    for name in ("patient.csv", "clif_patient.parquet", "patients.csv"):
        (tmp_path / name).mkdir()
    for tables in (
        lambda: eicu_tables(tmp_path, {}),
        lambda: clif_tables(tmp_path),
        lambda: mimic_tables(tmp_path, LAYOUT),
    ):
        with pytest.raises(SourceError, match=r"found: clif_patient\.parquet/, patient\.csv/, patients\.csv/"):
            tables()


def test_hidden_files_and_folders_of_parts_among_shards(tmp_path: Path) -> None:
    events = pl.DataFrame({"subject_id": [1], "code": ["X"]})
    (tmp_path / "data" / "held_out.parquet").mkdir(parents=True)
    events.write_parquet(tmp_path / "data" / "0.parquet")
    events.write_parquet(tmp_path / "data" / "held_out.parquet" / "part-0.parquet")
    (tmp_path / "data" / "._0.parquet").write_bytes(b"\0\5\26\7")
    assert [shard.name for shard in shards_of(tmp_path)] == ["data/0.parquet", "data/held_out.parquet/part-0.parquet"]


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "patient.csv").touch()
    with pytest.raises(SourceError, match=r"patient\.csv is empty\. Expected the PATIENT table with a header and data"):
        eicu_tables(tmp_path, {})["patient"].header()
