"""Damaged MIMIC-III folders: every damage ends in the right tables or in one error, none passes unnoticed."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest
from mimic3_tables import Hospital, chart, lab, read

from icudl.artifacts import SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext

EVENTS = ("CHARTEVENTS", "LABEVENTS")


def hospital(rng: np.random.Generator) -> Hospital:
    """Some rows of read and unread items; comments with commas and quotes among them."""
    charts = [
        chart(round(float(rng.uniform(0, 48)), 1), int(rng.choice([211, 220045, 618])), int(rng.integers(10, 140)))
        for _ in range(int(rng.integers(3, 12)))
    ]
    for hour in rng.integers(0, 48, 3):
        charts.append(chart(int(hour), 9999, None))
        charts[-1][8] = str(rng.choice(['a, "b"', "plain", "x,y"]))
    labs = [lab(int(hour), 50912, 1 + int(hour) / 10) for hour in rng.integers(0, 48, int(rng.integers(2, 6)))]
    return Hospital(charts=charts, labs=labs)


def damaged(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Return a table with one damage, and what it was."""
    kind = str(rng.choice(["cut row", "quote", "two quotes", "field more", "field less", "swap", "encoding", "crlf"]))
    lines = content.rstrip(b"\n").split(b"\n")
    row = int(rng.integers(1, len(lines)))
    line = lines[row]
    place = int(rng.integers(0, len(line)))
    match kind:
        case "cut row":
            lines[row] = line[: max(1, place)]
        case "quote":
            lines[row] = line[:place] + b'"' + line[place:]
        case "two quotes":
            other = int(rng.integers(1, len(lines)))
            lines[row] += b'"'
            lines[other] += b'"'
        case "field more":
            lines[row] = line[:place] + b"," + line[place:]
        case "field less":
            parts = line.split(b",")
            del parts[int(rng.integers(0, len(parts)))]
            lines[row] = b",".join(parts)
        case "swap":
            other = int(rng.integers(1, len(lines)))
            lines[row], lines[other] = lines[other], lines[row]
        case "encoding":
            return content.decode().encode("utf-16"), kind
        case "crlf":
            return content.replace(b"\n", b"\r\n"), kind
    return b"\n".join(lines) + b"\n", kind


def same(one: SourceTables, other: SourceTables) -> bool:
    frames = ("stays", "hours", "cleaning")
    return all(getattr(one, name).equals(getattr(other, name)) for name in frames)


def try_damages(seeds: range, tmp_path: Path, context: RunContext) -> dict[str, int]:
    """Damage a table for each seed; return how often each outcome came."""
    outcomes: dict[str, int] = {}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        folder = tmp_path / str(seed)
        hospital(rng).write(folder)
        right = read(folder, context)
        path = folder / f"{rng.choice(EVENTS)}.csv"
        before = path.read_bytes()
        after, kind = damaged(before, rng)
        if rng.random() < 0.5:
            path.unlink()
            path.with_suffix(".csv.gz").write_bytes(gzip.compress(after))
        else:
            path.write_bytes(after)
        try:
            found = read(folder, context)
        except SourceError:
            outcomes["error"] = outcomes.get("error", 0) + 1
            continue
        assert same(found, right), f"seed {seed}: {kind} changed the tables without a word"
        outcomes["right"] = outcomes.get("right", 0) + 1
    return outcomes


def test_damage_is_harmless_or_an_error(tmp_path: Path, context: RunContext) -> None:
    outcomes = try_damages(range(20), tmp_path, context)
    assert outcomes["error"] > 5
    assert outcomes["right"] > 2


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(1_000, 1_300), marks=pytest.mark.slow, id="300"),
        pytest.param(range(1_300, 11_000), marks=pytest.mark.exhaustive, id="9700"),
    ],
)
def test_much_damage_is_harmless_or_an_error(seeds: range, tmp_path: Path, context: RunContext) -> None:
    assert sum(try_damages(seeds, tmp_path, context).values()) == len(seeds)


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
    assert same(read(folder, context), right)


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
