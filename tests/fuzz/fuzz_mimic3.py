"""The MIMIC-III reader: five CSV tables, of which some are changed."""

from __future__ import annotations

import gzip
import io
import shutil
from pathlib import Path

import polars as pl
from decisions import ODD_FIELDS, Decisions, with_cell_changed, with_lines_changed
from mimic3_tables import HEADERS, Hospital, admission, chart, lab, patient, stay
from target import Target, seeds_of

from icudl.artifacts import SourceTables
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.sources.base import WindowOptions
from icudl.sources.mimic.binning import FATES, classified
from icudl.sources.mimic.files import _batches, read_small_tables
from icudl.sources.mimic.folder import find_tables, translated
from icudl.sources.mimic.stays import StayIndex
from icudl.sources.mimic3.files import Mimic3Files
from icudl.sources.mimic3.layout import LAYOUT
from icudl.sources.mimic3.options import Mimic3Options
from icudl.sources.mimic3.stays import stays_of
from icudl.sources.rules import mimic3_rules
from icudl.variables import select

HOSPITAL = Hospital(
    charts=[
        chart(0.5, 211, 80),
        chart(1, 678, 98.6),
        chart(2, 211, None),
        chart(3, 220045, 70, error=1),
        chart(49, 51, 120),
    ],
    labs=[lab(0.5, 51006, 20), lab(1, 50822, 4.1), lab(2, 50820, 7.4, subject=2, hadm=101), lab(300, 50862, 3)],
    stays=[stay(200, 0, 100), stay(201, 200, None), stay(202, 0, 60, subject=2, hadm=101)],
    admissions=[admission(), admission(101, subject=2, death=70)],
    patients=[patient(), patient(2, sex="M", born="1850-01-01 00:00:00")],
)
VARIABLES = select(("potassium", "bun", "ph", "albumin", "heartrate", "sysbp", "tempc"))
TABLES = {name: frame.write_csv().encode() for name, frame in HOSPITAL.frames().items()}
NAMES = ("PATIENTS", "ADMISSIONS", "ICUSTAYS", "CHARTEVENTS", "LABEVENTS")
TOKENS = (
    *ODD_FIELDS,
    b",",
    b"\n",
    b"\r\n",
    b"\r",
    b'"',
    b"\t",
    b"SUBJECT_ID",
    b",,,,,,,,",
    b"VALUENUM",
    b"\x1f\x8b\x08",
)
COLUMNS = tuple(name.encode() for header in HEADERS.values() for name in header.split())


def _changed(text: bytes, decisions: Decisions) -> bytes:
    kind = decisions.below(8)
    if kind == 7:
        return decisions.rest()
    if kind == 6:
        return decisions.spoilt(text, TOKENS)
    if kind == 5:
        header, _, body = text.partition(b"\n")
        return with_cell_changed(header, decisions, (*COLUMNS, *ODD_FIELDS)) + b"\n" + body
    if kind == 4:
        return with_lines_changed(text, decisions)
    for _ in range(1 + decisions.below(3)):
        text = with_cell_changed(text, decisions, ODD_FIELDS)
    return text


def _packed(text: bytes, decisions: Decisions) -> tuple[str, bytes]:
    """The table as one of the three kinds of file, the gzip or Parquet damaged at times."""
    kind = decisions.below(8)
    if kind == 7:
        content = gzip.compress(text, 1, mtime=0)
        return ".csv.gz", decisions.spoilt(content, TOKENS, most=1)
    if kind == 6:
        try:
            frame = pl.read_csv(io.BytesIO(text), infer_schema=decisions.one_in(2))
        except pl.exceptions.PolarsError:
            return ".csv", text
        target = io.BytesIO()
        frame.write_parquet(target)
        return ".parquet", decisions.spoilt(target.getvalue(), TOKENS, most=1)
    return ".csv", text


def _whole(folder: Path) -> None:
    """Extract, and check what came out against what it promises."""
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=1)
    source = Mimic3Files(Mimic3Options(path=str(folder / "tables")), seed=0)
    tables = source.extract(VARIABLES, WindowOptions(hours=48), context)
    _correct(tables)


def _correct(tables: SourceTables) -> None:
    assert tables.hours["hour"].is_between(0, 47).all()
    assert tables.hours["stay_id"].is_in(tables.stays["stay_id"].to_list()).all()
    assert tables.stays["stay_id"].is_unique().all()
    for index, mean in tables.hours.select("variable", "mean").iter_rows():
        assert VARIABLES[index].low <= mean <= VARIABLES[index].high
    counted = tables.cleaning.group_by("rule").agg(pl.col("rows").sum())
    rows = dict(counted.iter_rows())
    assert rows["read"] == sum(rows[fate] for fate in FATES)
    assert tables.hours["count"].sum() == rows["kept"]


def _parts(folder: Path, changed: str) -> None:
    """Read the changed table only, as far as one table can be read without the others."""
    files = find_tables(folder / "tables", LAYOUT)
    if changed in {"PATIENTS", "ADMISSIONS", "ICUSTAYS"}:
        StayIndex.of(stays_of(*read_small_tables(files).values()).table)
        return
    table = changed.lower()
    rules = mimic3_rules().table(VARIABLES, table)
    with translated(files[table]):
        batches = list(_batches(files[table], rules["item"].to_list()))
    for rows, _ in batches:
        found = classified(rows, rules, INDEX, 48)
        assert found.height == rows.height
        assert found["fate"].is_between(0, len(FATES) - 1).all()
    assert sum(rows.height for rows, _ in batches) <= sum(count for _, count in batches)


def _index() -> StayIndex:
    seconds = [4_000_000_000, 4_000_720_000]
    frame = pl.DataFrame(
        {"patient_id": [1, 1], "stay_id": [200, 201], "intime": seconds, "outtime": [seconds[0] + 360_000, None]}
    )
    return StayIndex.of(frame)


INDEX = _index()


def feed(data: bytes, folder: Path) -> None:
    """Write the hospital with one table (at times two) changed, and read that table or all of them."""
    decisions = Decisions(data)
    tables = folder / "tables"
    if not tables.is_dir():
        tables.mkdir()
        for name, text in TABLES.items():
            (tables / f"{name}.csv").write_bytes(text)
    whole = decisions.one_in(16)
    name = decisions.of(NAMES)
    ending, content = _packed(_changed(TABLES[name], decisions), decisions)
    own, changed = tables / f"{name}.csv", tables / f"{name}{ending}"
    own.unlink()
    changed.write_bytes(content)
    try:
        if whole:
            _whole(folder)
        else:
            _parts(folder, name)
    finally:
        changed.unlink()
        own.write_bytes(TABLES[name])


TARGET = Target("mimic3", feed, seeds_of(48))
