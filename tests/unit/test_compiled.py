"""Libraries in C: made once, kept, and left out where they cannot be made."""

import shutil
from pathlib import Path

import pytest

from icudl.compiled import compiled_library

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    path = tmp_path / "twice.c"
    path.write_text("int twice(int number) { return 2 * number; }\n", encoding="utf-8")
    return path


@needs_compiler
def test_made_once_and_again_for_another_source_or_processor(source: Path, tmp_path: Path) -> None:
    made = tmp_path / "cache" / "icudl" / "compiled"
    for count, native in ((1, False), (1, False), (2, True), (2, True)):
        library = compiled_library(source, ("-O2",), for_this_processor=native)
        assert library is not None
        assert library.twice(21) == 42
        assert len(list(made.iterdir())) == count
    source.write_text("int twice(int number) { return 3 * number; }\n", encoding="utf-8")
    library = compiled_library(source, ("-O2",))
    assert library is not None
    assert library.twice(21) == 63


@pytest.mark.parametrize("why", ["no compiler", "broken source", "cache is a file"])
def test_left_out(why: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "no compiler":
        monkeypatch.setenv("CC", "none")
    elif why == "broken source":
        source.write_text("int twice(", encoding="utf-8")
    else:
        (tmp_path / "cache").write_text("", encoding="utf-8")
    assert compiled_library(source, ("-O2",)) is None
    assert compiled_library(source, ("-O2",), for_this_processor=True) is None
