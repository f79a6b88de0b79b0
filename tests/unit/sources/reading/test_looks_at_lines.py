"""The compiled loop and numpy look at the same bytes and say the same, whatever the bytes are."""

from __future__ import annotations

import functools
import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.sources.reading.scanning.by_arrays import look_with_arrays
from icudl.sources.reading.scanning.compiled import compiled_look
from icudl.sources.reading.scanning.rows import Block, BrokenRow, whole_rows
from icudl.sources.reading.scanning.single import fields_of
from icudl.sources.reading.scanning.wanted import Look, Wanted

ITEMS = (1, 42, 226755, 22675512, 220045)
FLAGS = ((), ("-DPORTABLE",))
FIELDS = (
    "",
    "0",
    "42",
    "042",
    "226755",
    "22675512",
    "226755123",
    '"42"',
    '"a,b"',
    '"say ""no"""',
    '"\r"',
    "4 2",
    "x" * 70,
)

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@functools.cache
def compiled(*flags: str) -> Look:
    look = compiled_look(*flags)
    assert look is not None
    return look


@st.composite
def lines(draw: st.DrawFn) -> tuple[bytes, int]:
    """Return whole rows, maybe with some bytes changed, and the number of their fields."""
    n_fields = draw(st.integers(1, 5))
    rows = draw(
        st.lists(st.lists(st.sampled_from(FIELDS), min_size=n_fields, max_size=n_fields), min_size=1, max_size=9)
    )
    ending = draw(st.sampled_from(("\n", "\r\n")))
    text = bytearray("".join(",".join(row) + ending for row in rows).encode())
    for _ in range(draw(st.sampled_from((0, 0, 1, 2)))):
        # Two changes may take the only line away.
        place = draw(st.integers(0, max(len(text) - 1, 0)))
        text[place : place + draw(st.integers(0, 2))] = draw(
            st.sampled_from((b"", b",", b'"', b"\n", b"\r", b"7", b"\xff"))
        )
    return bytes(text.removesuffix(b"\n") + b"\n"), n_fields


@needs_compiler
@pytest.mark.parametrize("flags", FLAGS)
@given(drawn=lines(), data=st.data())
def test_both_say_the_same_of_any_lines(flags: tuple[str, ...], drawn: tuple[bytes, int], data: st.DataObject) -> None:
    text, n_fields = drawn
    column = data.draw(st.none() | st.integers(0, n_fields - 1))
    wanted = None if column is None else Wanted.of(column, ITEMS)
    found = compiled(*flags)(text, n_fields, wanted)
    assert found == look_with_arrays(text, n_fields, wanted)
    if found is not None:
        assert found[0] == text.count(b"\n")
        assert column is not None or found[1] == b""


@pytest.mark.parametrize("look", [look_with_arrays, pytest.param("compiled", marks=needs_compiler)])
@given(drawn=lines())
def test_lines_are_whole_as_the_slow_judge_says(look: Look | str, drawn: tuple[bytes, int]) -> None:
    text, n_fields = drawn
    judged = all(fields_of(line) == n_fields for line in text.split(b"\n")[:-1])
    seen = (compiled() if isinstance(look, str) else look)(text, n_fields, None)
    assert (seen is not None) == judged


@needs_compiler
def test_wanted_lines_are_kept() -> None:
    text = b'1,42,a\n2,43,"b,42"\n3,220045,c\n4,"42",d\n5,42x,e\n6,123456789,f\n7,042,g\n8,,h\n'
    kept = b'1,42,a\n3,220045,c\n4,"42",d\n5,42x,e\n6,123456789,f\n7,042,g\n'
    for look in (look_with_arrays, compiled(), compiled("-DPORTABLE")):
        assert look(text, 3, Wanted.of(1, ITEMS)) == (8, kept)


def read_with(look: Look, path: Path) -> list[Block] | tuple[int, int] | str:
    """Return what a reader gets from a file of four fields: the blocks, the broken row, or the error."""
    try:
        return list(whole_rows(path, 4, Wanted.of(2, ITEMS), look))
    except BrokenRow as row:
        return row.line, row.fields
    except EOFError as error:
        return str(error)


@needs_compiler
def test_damaged_files_end_in_the_same_rows_or_the_same_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    ends = set()
    for number in range(24):
        numbers = rng.choice([7, 42, 226755, 999999], 9_000)
        rows = [f'{row},2101-01-01 00:00:00,{item},"a, ""b"""' for row, item in enumerate(numbers)]
        content = bytearray(("a,b,itemid,c\n" + "\n".join(rows) + "\n" * int(rng.integers(1, 3))).encode())
        for _ in range(int(rng.integers(0, 3))):
            place = int(rng.integers(13, len(content)))
            content[place : place + int(rng.integers(0, 2))] = rng.choice([b",", b'"', b"\n", b"", b"8"])
        path = tmp_path / f"{number}.csv"
        path.write_bytes(content)
        if number % 3 == 0:
            path = path.with_suffix(".csv.gz")
            packed = gzip.compress(content, 1)
            path.write_bytes(packed[: len(packed) - int(rng.integers(0, 2)) * 100])
        found = read_with(compiled(), path)
        assert found == read_with(look_with_arrays, path)
        ends.add(type(found))
    assert ends == {list, tuple, str}


def test_without_a_compiler_there_is_no_loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for compiler in ("none", "false", "/bin/sh -c true"):
        monkeypatch.setenv("CC", compiler)
        assert compiled_look() is None
    assert not list(tmp_path.rglob("*.so"))


@needs_compiler
def test_the_loop_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert compiled_look() is not None
    (made,) = (path for path in tmp_path.rglob("*") if path.is_file())
    before = made.stat().st_mtime_ns
    assert compiled_look() is not None
    assert made.stat().st_mtime_ns == before


@needs_compiler
def test_a_cache_that_cannot_be_written_leaves_the_loop_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert compiled_look() is None
