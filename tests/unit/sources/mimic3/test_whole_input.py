"""Damaged MIMIC-III folders: every damage ends in the right tables or in one error, none passes unnoticed."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from mimic3_tables import Hospital, admission, chart, lab, patient, read, stay

from icudl.artifacts import SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext
from icudl.sources.mimic import files
from icudl.sources.mimic.folder import TableFile
from icudl.sources.mimic.stays import Stays
from icudl.sources.mimic3 import stays as mimic3
from icudl.sources.mimic3.files import Mimic3Files

TABLES = ("PATIENTS", "ADMISSIONS", "ICUSTAYS", "CHARTEVENTS", "CHARTEVENTS", "LABEVENTS", "LABEVENTS")
"""Which are damaged; those of measurements more often."""

KINDS = (
    "cut row", "cut file", "quote", "two quotes", "field more", "field less", "swap", "repeat", "zone", "encoding",
    "mark", "crlf",
)  # fmt: skip


def hospital(rng: np.random.Generator) -> Hospital:
    """Rows of read and unread items of three patients; comments with commas and quotes, and filled last columns."""
    charts = [
        chart(round(float(rng.uniform(0, 48)), 1), int(rng.choice([211, 220045, 618])), int(rng.integers(10, 140)))
        for _ in range(int(rng.integers(3, 12)))
    ]
    for hour in rng.integers(0, 48, 3):
        charts.append(chart(int(hour), 9999, None))
        charts[-1][8] = str(rng.choice(['a, "b"', "plain", "x,y"]))
    labs = [lab(int(hour), 50912, 1 + int(hour) / 10) for hour in rng.integers(0, 48, int(rng.integers(2, 6)))]
    for row in (*charts, *labs):
        row[1], row[2] = [(1, 100), (2, 200), (3, 300)][int(rng.integers(3))]
        row[-1] = str(rng.choice(["NotStopd", ""])) or None
    return Hospital(
        charts=charts,
        labs=labs,
        stays=[stay(200 + subject, 0, 100, subject=subject, hadm=100 * subject) for subject in (1, 2, 3)],
        admissions=[
            admission(100 * subject, subject=subject, death=90 if subject == 2 else None) for subject in (1, 2, 3)
        ],
        patients=[patient(subject) for subject in (1, 2, 3)],
    )


def damaged(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Return a table with one damage, and what it was.

    A file that is cut between two rows of no known release is left out: nothing in it tells that more rows followed.
    """
    kind = str(rng.choice(KINDS))
    lines = content.rstrip(b"\n").split(b"\n")
    row, other = (int(number) for number in rng.integers(1, len(lines), 2))
    line = lines[row]
    place = int(rng.integers(0, len(line)))
    match kind:
        case "cut row":
            lines[row] = line[: max(1, place)]
        case "cut file":
            return b"\n".join([*lines[:row], line[: max(1, place)]]), kind
        case "quote":
            lines[row] = line[:place] + b'"' + line[place:]
        case "two quotes":
            lines[row] += b'"'
            lines[other] += b'"'
        case "field more":
            lines[row] = line[:place] + b"," + line[place:]
        case "field less":
            parts = line.split(b",")
            del parts[int(rng.integers(0, len(parts)))]
            lines[row] = b",".join(parts)
        case "swap":
            lines[row], lines[other] = lines[other], lines[row]
        case "repeat":
            lines.insert(other, line)
        case "zone":
            zone = bytes(rng.choice([b"Z", b"+00:00", b"-05", b" UTC"]))
            lines[row] = re.sub(rb"(:00)(,|$)", rb"\1" + zone + rb"\2", line, count=int(rng.integers(1, 3)))
        case "encoding":
            return content.decode().encode(str(rng.choice(["utf-16", "utf-16-le", "utf-32", "cp037"]))), kind
        case "mark":
            return b"\xef\xbb\xbf" + content, kind
        case "crlf":
            return content.replace(b"\n", b"\r\n"), kind
    return b"\n".join(lines) + b"\n", kind


def differences(found: SourceTables, right: SourceTables) -> set[str]:
    """Return which tables differ."""
    return {name for name in ("stays", "hours", "cleaning") if not getattr(found, name).equals(getattr(right, name))}


@contextlib.contextmanager
def small_tables_read_once() -> Iterator[None]:
    """Let the reader read a small table once for each content of its file, and join the same three tables once.

    Each damage is read by the reader itself; the tables beside it were read before.
    """
    tables: dict[tuple[str, bytes], pl.DataFrame] = {}
    joined: dict[tuple[int, ...], tuple[Stays, tuple[pl.DataFrame, ...]]] = {}
    read_table = files._small_table

    def small_table(file: TableFile) -> pl.DataFrame:
        content = (file.path.name, file.path.read_bytes())
        if content not in tables:
            tables[content] = read_table(file)
        return tables[content]

    def stays_of(_: Mimic3Files, *frames: pl.DataFrame) -> Stays:
        key = tuple(map(id, frames))
        if key not in joined:
            joined[key] = mimic3.stays_of(*frames), frames  # held, so that no other frame gets their ids
        return joined[key][0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_small_table", small_table)
        patch.setattr(Mimic3Files, "stays_of", stays_of)
        yield


def try_damages(seeds: range, tmp_path: Path, context: RunContext, each: int = 25) -> Counter[str]:
    """Damage one table of a hospital of each seed, ``each`` times anew; return how often each end came.

    The tables that stay as they are keep what was read of them, so that a damage costs little more than its own table.
    """
    ends: Counter[str] = Counter()
    for seed in seeds:
        with small_tables_read_once():
            ends += damages_of(seed, tmp_path, context, each)
    return ends


def damages_of(seed: int, tmp_path: Path, context: RunContext, each: int) -> Counter[str]:
    """Return the ends of the damages of one hospital."""
    ends: Counter[str] = Counter()
    rng = np.random.default_rng(seed)
    folder = hospital(rng).write(tmp_path / str(seed))
    right = read(folder, context)
    assert right.warnings == ()
    for number in range(each):
        path = folder / f"{rng.choice(TABLES)}.csv"
        before = path.read_bytes()
        after, kind = damaged(before, rng)
        changed = path.with_suffix(".csv.gz") if rng.random() < 0.5 else path
        path.unlink()
        if changed == path:
            path.write_bytes(after)
        elif kind == "cut file":
            whole = gzip.compress(before, 1)
            changed.write_bytes(whole[: int(rng.integers(len(whole)))])
        else:
            changed.write_bytes(gzip.compress(after, 1))
        try:
            found = read(folder, context)
        except SourceError:
            ends["error"] += 1
        else:
            # A row that comes twice is counted, and its value is taken once.
            told = {"cleaning"} if kind == "repeat" else set()
            wrong = set() if found.warnings else differences(found, right) - told
            assert not wrong, f"seed {seed}, damage {number}: {kind} in {changed.name} changed {wrong} silently"
            ends["warning" if found.warnings else "right"] += 1
        changed.unlink()
        path.write_bytes(before)
    return ends


def test_damage_is_harmless_or_an_error(tmp_path: Path, context: RunContext) -> None:
    ends = try_damages(range(1), tmp_path, context)
    assert ends["error"] > 10
    assert ends["right"] > 5


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_each_of_ten_thousand_damages_is_harmless_or_an_error(part: int, tmp_path: Path, context: RunContext) -> None:
    ends = try_damages(range(1_000 + 100 * part, 1_100 + 100 * part), tmp_path, context)
    assert ends.total() == 2_500
    assert ends["error"] > 1_500
    assert ends["right"] > 700
    assert ends["warning"] > 0


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_two_stray_quotes_in_a_column_that_is_not_read(ending: str, tmp_path: Path, context: RunContext) -> None:
    folder = Hospital(charts=[chart(hour, 211, 80 + hour) for hour in range(9)]).write(tmp_path)
    path = folder / "CHARTEVENTS.csv"
    lines = path.read_text().splitlines()
    for row in (3, 6):
        fields = lines[row].split(",")
        fields[8] = '"' + fields[8]
        lines[row] = ",".join(fields)
    content = ("\n".join(lines) + "\n").encode()
    path.unlink()
    (folder / f"CHARTEVENTS.{ending}").write_bytes(gzip.compress(content) if ending == "csv.gz" else content)
    with pytest.raises(SourceError, match=rf"CHARTEVENTS.{ending}: line 4 has a quote"):
        read(folder, context)


def test_a_row_cut_in_the_middle_is_named(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital(charts=[chart(hour, 211, 126) for hour in range(9)]).write(tmp_path)
    path = folder / "CHARTEVENTS.csv"
    lines = path.read_text().splitlines()
    lines[5] = ",".join(lines[5].split(",")[:9]) + ",12"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(SourceError, match="line 6 has 10 fields where the header has 15"):
        read(folder, context)


def test_gzip_members_one_after_the_other_are_one_table(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital(charts=[chart(hour, 211, 80 + hour) for hour in range(9)]).write(tmp_path)
    right = read(folder, context)
    path = folder / "CHARTEVENTS.csv"
    content = path.read_bytes()
    path.unlink()
    middle = len(content) // 2
    packed = gzip.compress(content[:middle]) + gzip.compress(content[middle:])
    path.with_suffix(".csv.gz").write_bytes(packed)
    assert not differences(read(folder, context), right)


def test_a_known_release_that_lacks_rows_is_told(tmp_path: Path, context: RunContext) -> None:
    written = Hospital(patients=[[7, number, "F", "2090-01-01 00:00:00", None, 0] for number in range(1, 101)])
    warnings = read(written.write(tmp_path), context).warnings
    assert [text.split(",")[0] for text in warnings if text.startswith("CHARTEVENTS")] == [
        "CHARTEVENTS has 1 rows instead of 758355"
    ]


def test_other_tables_are_of_no_release(tmp_path: Path, context: RunContext) -> None:
    assert read(Hospital().write(tmp_path), context).warnings == ()


def test_warnings_are_stored_with_the_tables(tmp_path: Path, context: RunContext) -> None:
    tables = dataclasses.replace(read(Hospital().write(tmp_path), context), warnings=("one", "two"))
    (tmp_path / "tables").mkdir()
    tables.write(tmp_path / "tables")
    assert SourceTables.read(tmp_path / "tables").warnings == ("one", "two")


def test_a_blank_line_between_rows_is_an_error(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital(charts=[chart(hour, 211, 80) for hour in range(9)]).write(tmp_path)
    path = folder / "CHARTEVENTS.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], "", *lines[4:]]) + "\n")
    with pytest.raises(SourceError, match="line 5 has 1 fields"):
        read(folder, context)
    path.write_text("\n".join(lines) + "\n\n\n")
    assert read(folder, context).hours.height == 10


@pytest.mark.data
def test_half_of_the_demos_chart_events_is_told(data_folder: Path, tmp_path: Path, context: RunContext) -> None:
    for path in (data_folder / "mimic-iii-demo-1.4").glob("*.csv.gz"):
        (tmp_path / path.name).symlink_to(path)
    cut = tmp_path / "CHARTEVENTS.csv.gz"
    lines = gzip.decompress(cut.read_bytes()).splitlines(keepends=True)
    cut.unlink()
    cut.write_bytes(gzip.compress(b"".join(lines[: len(lines) // 2]), 1))
    (warning,) = read(tmp_path, context).warnings
    assert warning.startswith(f"CHARTEVENTS has {len(lines) // 2 - 1} rows instead of 758355, which MIMIC-III Clinical")
