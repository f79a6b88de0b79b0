"""The PhysioNet 2012 reader: archives and folders of records, and outcomes."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from pathlib import Path

import polars as pl
from decisions import ODD_FIELDS, Decisions, with_cell_changed, with_lines_changed
from target import Target, seeds_of
from test_physionet2012 import OUTCOMES, record

from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.sources.base import WindowOptions
from icudl.sources.physionet2012.cleaning import FATES, numbered
from icudl.sources.physionet2012.files import find_sets
from icudl.sources.physionet2012.options import PhysioNet2012Options
from icudl.sources.physionet2012.parameters import PARAMETERS
from icudl.sources.physionet2012.records import read_lines, read_outcomes
from icudl.sources.physionet2012.source import PhysioNet2012, _check_match
from icudl.variables import select

RECORDS = {
    "132539.txt": record(
        132539, "00:07,HR,73", "00:07,Temp,35.1", "00:37,pH,7.38", "47:59,HR,60", "12:00,Weight,80"
    ).encode(),
    "132540.txt": record(132540, "00:07,HR,80", "01:00,Temp,98.6", Age="90", Gender="1").encode(),
    "132541.txt": record(132541).encode(),
}
TABLE = "\n".join([OUTCOMES, "132539,6,1,5,-1,0", "132540,16,8,8,-1,1", "132541,21,11,19,-1,0", ""]).encode()
VARIABLES = select(("heartrate", "ph", "tempc", "sysbp", "weight"))
VALUES = (*ODD_FIELDS, *(name.encode() for name in PARAMETERS), b"HR", b"pH", b"Time", b"RecordID")
TOKENS = (*ODD_FIELDS, b",", b"\n", b"\r", b"\r\n", b"\n\n", b"00:00,Age,54\n", b"\x1f\x8b\x08", b"ustar\0")
NAMES: tuple[str, ...] = (
    "set-a/132542.txt", "/etc/passwd", "../132542.txt", "set-a/../../x.txt", "132542.TXT", "x.txt", "1.txt", "0.txt",
    "000000001.txt", "1234567890.txt", "132539.txt", "set-a/", "", ".", "\xe9.txt",
    "a" * 300 + "/132542.txt", "\u0661.txt",
)  # fmt: skip
TYPES = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"9")


class _Nobody:
    def advance(self, units: int = 1) -> None: ...

    def note(self, text: str) -> None: ...


def _text_changed(text: bytes, decisions: Decisions) -> bytes:
    kind = decisions.below(8)
    if kind == 7:
        return decisions.rest()
    if kind == 6:
        return decisions.spoilt(text, TOKENS)
    if kind == 5:
        return with_lines_changed(text, decisions)
    for _ in range(1 + decisions.below(3)):
        text = with_cell_changed(text, decisions, VALUES)
    return text


def _archive(records: dict[str, bytes], decisions: Decisions) -> bytes:
    """A tar of the records, at times with a member that no set has."""
    members = list(records.items())
    target = io.BytesIO()
    form = decisions.of((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(
        fileobj=target, mode="w", format=tarfile.GNU_FORMAT if form is tarfile.USTAR_FORMAT else form
    ) as tar:
        for name, content in members:
            info = tarfile.TarInfo(f"set-a/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if decisions.one_in(3):
            info = tarfile.TarInfo(decisions.of(NAMES))
            info.type = decisions.of(TYPES)
            info.linkname = "/etc/passwd"
            info.mtime = decisions.of((0, 2**33, -1))
            content = decisions.of(tuple(records.values()))
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


def _write(folder: Path, decisions: Decisions) -> None:
    """Write a set with one record or its container changed."""
    records = dict(RECORDS)
    name = decisions.of(tuple(records))
    if not decisions.one_in(4):
        records[name] = _text_changed(records[name], decisions)
    kind = decisions.below(4)
    if kind == 3:
        (folder / "set-a").mkdir()
        for key, content in records.items():
            (folder / "set-a" / key).write_bytes(content)
        return
    content = _archive(records, decisions)
    if decisions.one_in(4):
        content = decisions.spoilt(content, TOKENS)
    if kind == 2:
        content = gzip.compress(content, 1, mtime=0)
        if decisions.one_in(4):
            content = decisions.spoilt(content, TOKENS, most=1)
    (folder / ("set-a.tar.gz" if kind == 2 else "set-a.tar")).write_bytes(content)


def _extract(folder: Path) -> None:
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=folder, seed=1)
    source = PhysioNet2012(PhysioNet2012Options(path=str(folder)), seed=0)
    source.fingerprint(folder)
    tables = source.extract(VARIABLES, WindowOptions(hours=48), context)
    assert tables.hours["hour"].is_between(0, 47).all()
    assert tables.hours["stay_id"].is_in(tables.stays["stay_id"].to_list()).all()
    for index, mean in tables.hours.select("variable", "mean").iter_rows():
        assert VARIABLES[index].low <= mean <= VARIABLES[index].high
    of_variables = tables.cleaning.filter(pl.col("variable").is_in([variable.name for variable in VARIABLES]))
    rows = dict(of_variables.group_by("rule").agg(pl.col("rows").sum()).iter_rows())
    assert rows["read"] == sum(rows[fate] for fate in FATES)


def feed_records(data: bytes, folder: Path) -> None:
    """Read the lines of a set with a record or its container changed; at times extract it whole."""
    decisions = Decisions(data)
    whole = decisions.one_in(16)
    place = folder / "set"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "Outcomes-a.txt").write_bytes(TABLE)
    _write(place, decisions)
    if whole:
        _extract(place)
        return
    record_set = find_sets(place)[0]
    lines, ids = read_lines(record_set, _Nobody())
    assert lines["record"].is_in(ids.to_list()).all()
    known = numbered(lines, record_set.path.name)
    assert dict(known.counts.select("rule", "rows").iter_rows())["lines read"] == lines.height
    assert known.frame["minute"].is_between(0, 999 * 60 + 59).all()
    _check_match(record_set, ids, read_outcomes(record_set))


def feed_outcomes(data: bytes, folder: Path) -> None:
    """Read outcomes with a few places changed; at times the whole set with them."""
    decisions = Decisions(data)
    whole = decisions.one_in(64)
    place = folder / "outcomes"
    if not place.is_dir():
        (place / "set-a").mkdir(parents=True)
        for key, content in RECORDS.items():
            (place / "set-a" / key).write_bytes(content)
    (place / "Outcomes-a.txt").write_bytes(_text_changed(TABLE, decisions))
    if whole:
        _extract(place)
        return
    outcomes = read_outcomes(find_sets(place)[0])
    assert outcomes.schema == {"record": pl.Int64, "died": pl.Boolean}
    assert outcomes["record"].is_unique().all()
    assert outcomes.null_count().sum_horizontal().item() == 0


RECORDS_TARGET = Target("physionet2012-records", feed_records, seeds_of(48))
OUTCOMES_TARGET = Target("physionet2012-outcomes", feed_outcomes, seeds_of(24))
