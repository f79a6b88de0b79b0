"""Rows of tables, counted without reading their values."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icudl.errors import SourceError
from icudl.sources.locating import LocatedTable, Survey
from icudl.sources.reading import counting
from icudl.sources.reading.counting import extraction_seconds, rows_in

FIELDS = st.text(st.sampled_from('a,"\n \r0'), max_size=5)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(FIELDS, min_size=2, max_size=2), max_size=6),
    block=st.integers(1, 9),
    end=st.sampled_from(["", "\n", "\n\n \n"]),
)
def test_as_many_rows_as_a_csv_reader_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[list[str]], block: int, end: str
) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["x", "y"], *rows])
    content = (text.getvalue().rstrip("\n") + end).encode()
    monkeypatch.setattr(counting, "_BLOCK_BYTES", block)
    (tmp_path / "t.csv").write_bytes(content)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(content[:3]) + gzip.compress(content[3:]))
    assert rows_in(tmp_path / "t.csv", Survey()) == len(rows)
    assert rows_in(tmp_path / "t.csv.gz", Survey()) == len(rows)


def test_parquet_knows_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "LARGEST_COUNTED", 0)
    pl.DataFrame({"x": range(7)}).write_parquet(tmp_path / "t.parquet")
    assert rows_in(tmp_path / "t.parquet", Survey()) == 7


def test_large_files_are_counted_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("x\n1\n2\n")
    (tmp_path / "empty.csv").write_text("")
    monkeypatch.setattr(counting, "LARGEST_COUNTED", 5)
    assert rows_in(tmp_path / "t.csv", Survey()) is None
    assert rows_in(tmp_path / "t.csv", Survey(counts_all=True)) == 2
    assert rows_in(tmp_path / "empty.csv", Survey()) == 0


@pytest.mark.parametrize("name", ["t.csv.gz", "t.parquet", "t.csv"])
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str) -> None:
    if name != "t.csv":
        (tmp_path / name).write_bytes(gzip.compress(b"x\n1\n" * 50)[:-12] if name == "t.csv.gz" else b"PAR1")
    with pytest.raises(SourceError, match=f"{name} cannot be read"):
        rows_in(tmp_path / name, Survey())


def test_time_follows_sizes_and_formats() -> None:
    def table(file: str, size: int | None) -> LocatedTable:
        return LocatedTable(name="t", file=file, bytes=size)

    assert extraction_seconds([table("icu/T.CSV.gz", 28_000_000), table("t.csv", 700_000_000)]) == pytest.approx(3.0)
    assert extraction_seconds([table("set-a.tar.gz", 3_000_000)]) == pytest.approx(2.0)
    assert extraction_seconds([table("t.csv", None), table("notes.docx", 5)]) is None
