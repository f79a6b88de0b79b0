"""Files: whole or refused, whatever their format, encoding and separator."""

from __future__ import annotations

import builtins
import datetime as dt
import gzip
from pathlib import Path

import polars as pl
import pytest

from icudl.errors import PluginError, SourceError
from icudl.sources.table.files import Table
from icudl.sources.table.files import read as read_table
from own_tables import STAYS, counts, means, read, said, tables_of, write

VALUES = """stay_id,time,name,value,unit
1,0.5,heartrate,80,bpm
1,0.75,heartrate,90,bpm
3,47.9,creatinine,88.42,umol/L
"""
EXPECTED = [(1, 0, "heartrate", 85.0, 2), (3, 47, "creatinine", 1.000207, 1)]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace(",", "\t").encode(),
        lambda text: b"sep=;\n" + text.replace(",", ";").encode(),
        lambda text: text.replace("stay_id,time", "STAY_ID , Time").encode(),
        lambda text: text.replace("heartrate", '"heartrate"').encode() + b"\n\n",
        lambda text: (text + ",,,,\n").encode(),
    ],
    ids=["plain", "bom", "crlf", "semicolon", "tab", "declared", "case", "quotes and blank lines", "empty row"],
)
def test_ways_of_writing_csv(change, tmp_path: Path) -> None:
    tables = read(tmp_path / "data", change(VALUES))
    assert means(tables) == EXPECTED


def test_encodings(tmp_path: Path) -> None:
    text = VALUES.replace("heartrate", "Häufigkeit")
    names = {"Häufigkeit": "heartrate"}
    assert means(read(tmp_path / "a", text.encode("cp1252"), names=names, encoding="cp1252")) == EXPECTED
    with pytest.raises(SourceError, match=r"source\.encoding"):
        read(tmp_path / "b", text.encode("cp1252"), names=names)


@pytest.mark.parametrize("ending", ["csv.gz", "parquet", "xlsx"])
def test_formats(ending: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "data", {"stays.csv": STAYS})
    path = folder / f"measurements.{ending}"
    frame = pl.read_csv(VALUES.encode())
    if ending == "csv.gz":
        path.write_bytes(gzip.compress(VALUES.encode()))
    elif ending == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_excel(path)
    assert means(tables_of(folder)) == EXPECTED


def test_types_of_parquet_and_excel_become_text(tmp_path: Path) -> None:
    moment = dt.datetime(2024, 3, 1, 10, 5)  # noqa: DTZ001
    frame = pl.DataFrame({"a": [1, None], "b": [0.1, 7.0], "c": [moment, None], "d": [True, False]})
    frame.write_parquet(tmp_path / "x.parquet")
    zoned = frame.with_columns(pl.col("c").dt.replace_time_zone("Europe/Berlin"))
    zoned.write_parquet(tmp_path / "zoned.parquet")
    frame.drop("d").write_excel(tmp_path / "x.xlsx")
    assert read_table(Table(tmp_path / "x.parquet")).rows() == [
        ("1", "0.1", "2024-03-01 10:05:00.000000", "true"),
        (None, "7.0", None, "false"),
    ]
    assert read_table(Table(tmp_path / "zoned.parquet"))["c"][0] == "2024-03-01 09:05:00.000000+00:00"
    assert read_table(Table(tmp_path / "x.xlsx"))["c"][0].startswith("2024-03-01 10:05:00")


def test_sheets_of_a_workbook(tmp_path: Path) -> None:
    import xlsxwriter

    folder = tmp_path / "data"
    folder.mkdir()
    with xlsxwriter.Workbook(folder / "ward.xlsx") as book:
        pl.read_csv(STAYS.encode()).write_excel(book, "Patients")
        pl.read_csv(VALUES.encode()).write_excel(book, "Values")
    sheets = {"stays": "ward.xlsx#Patients", "measurements": ("ward.xlsx#Values",)}
    assert means(tables_of(folder, **sheets)) == EXPECTED
    with pytest.raises(SourceError, match="has the sheets Patients, Values"):
        tables_of(folder, **sheets | {"stays": "ward.xlsx"})
    with pytest.raises(SourceError, match="Did you mean 'Values'"):
        tables_of(folder, **sheets | {"measurements": ("ward.xlsx#Value",)})
    with pytest.raises(SourceError, match="name a table twice"):
        tables_of(folder, stays="ward.xlsx#Values", measurements=("ward.xlsx#Values",))


def test_a_workbook_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name, *rest):
        if name == "fastexcel":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PluginError, match=r"icu-deep-learning\[excel\]"):
        read_table(Table(tmp_path / "x.xlsx"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("stay_id,time,name,value\n1,2,heartrate\n", "line 2 has 3 cells where the header has 4"),
        ("stay_id,time,name,value\n1,2,heartrate,80,90\n", "line 2 has 5 cells"),
        ('stay_id,time,name,value\n1,2,"heartrate,80\n1,3,spo2,97"\n', "line"),
        ('stay_id,time,name,value\n1,2,heart"rate,80\n1,3,"x\ny",7\n', "runs from line 3 to line 4"),
        ("stay_id,time,name,value\n", "has no rows"),
        ("", "has one column"),
        ("nothing here\n1\n", "has one column"),
        ("stay_id,time,Time,name,value\n1,2,2,heartrate,80\n", "two columns 'Time'"),
        ("stay_id,time,name,value,value\n1,2,heartrate,80,90\n", "two columns 'value'"),
        ("stay_id,when,name,value\n1,2,heartrate,80\n", "no column that is known as time"),
        (b"PK\x03\x04\0\0,\0", "no text"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(content: str | bytes, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=expected):
        read(tmp_path / "data", content)


def test_a_truncated_or_damaged_file_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(VALUES.encode() * 50)
    for name, content in (
        ("measurements.csv.gz", packed[:-20]),
        ("measurements.parquet", b"PAR1 no"),
        ("values.xlsx", b"no"),
    ):
        folder = write(tmp_path / name, {"stays.csv": STAYS, name: content})
        with pytest.raises(SourceError, match=rf"{name} cannot be read"):
            tables_of(folder)


def test_which_files_are_read(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "data", {"stays.csv": STAYS, "vitals.csv": VALUES, "labs.csv": VALUES, "notes.csv": "a,b\n1,2\n"}
    )
    tables = tables_of(folder)
    assert means(tables) == EXPECTED, "rows that two files have are one entry filed twice"
    assert counts(tables, "heartrate")["dropped: repeated row"] == 2
    assert "notes.csv" in said(tables)
    with pytest.raises(SourceError, match=r"Did you mean 'vitals\.csv'"):
        tables_of(folder, measurements=("vitals.cvs",))
    (folder / "stays.csv").rename(folder / "people.csv")
    with pytest.raises(SourceError, match=r"no file with a usual name.*people\.csv"):
        tables_of(folder)
    assert means(tables_of(folder, stays="people.csv")) == EXPECTED
    write(folder, {"icustays.csv": STAYS, "cohort.csv": STAYS})
    with pytest.raises(SourceError, match=r"cohort\.csv, icustays\.csv for the table of stays"):
        tables_of(folder)
    with pytest.raises(SourceError, match="is not a folder"):
        tables_of(tmp_path / "nowhere")
    write(tmp_path / "twice", {"stays.csv": STAYS, "labs.csv": VALUES, "labs.csv.gz": gzip.compress(VALUES.encode())})
    with pytest.raises(SourceError, match="the same table twice"):
        tables_of(tmp_path / "twice")


@pytest.mark.parametrize("table", ["stays.csv", "measurements.csv"])
def test_a_header_in_the_middle_of_a_table(table: str, tmp_path: Path) -> None:
    # "died" is a word for a death: the second header of the stays was one more patient who died.
    texts = {"stays.csv": STAYS, "measurements.csv": VALUES}
    header, _, rows = texts[table].partition("\n")
    texts[table] += f"\ufeff{header}\n{rows.splitlines()[0]}\n"
    with pytest.raises(SourceError, match=f"{table} repeats its header in 1 of its rows"):
        tables_of(write(tmp_path / "data", texts))


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\r"])
@pytest.mark.parametrize("table", ["stays.csv", "measurements.csv"])
def test_a_last_value_that_may_be_cut(table: str, ending: str, tmp_path: Path) -> None:
    texts = {"stays.csv": STAYS, "measurements.csv": "stay_id,time,name,value\n1,1,heartrate,126\n"}
    texts[table] = texts[table].rstrip() + ending
    warned = [text for text in tables_of(write(tmp_path / "data", texts)).warnings if "line break" in text]
    assert [text.partition(" ")[0] for text in warned] == ([] if ending else [table])
