"""What a stage will need, and what is said where the machine does not have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from icudl.cli import main
from icudl.pipeline import estimates
from icudl.pipeline.estimates import Need, foreseen, free_disk, free_memory, need_of, shortages


def test_needs_grow_with_cells_and_workers() -> None:
    one = need_of("train", 10**9, 1)
    assert 45e9 < one.memory < 55e9
    assert need_of("train", 2 * 10**9, 1).memory > 1.9 * one.memory
    assert need_of("train", 10**9, 4).memory > 3 * one.memory
    assert need_of("attack", 10**9, 4) == need_of("attack", 10**6, 4), "an attack streams"
    assert need_of("preprocess", 10**9, 4).disk == 6 * 10**9
    assert need_of("report", 10**9, 8).memory == need_of("report", 10**9, 1).memory + 8 * 450_000_000, "idle workers"


def test_nothing_is_said_where_all_fits_or_nothing_is_known() -> None:
    need = Need(memory=100, disk=100)
    assert shortages("train", need, 100, 100) == ()
    assert shortages("train", need, None, None) == ()
    assert [text.split()[0] for text in shortages("train", need, 99, 99)] == ["train", "train"]


def test_a_warning_holds_the_estimate_and_what_is_free() -> None:
    (text,) = shortages("train", Need(memory=3 * 2**30, disk=0), 2**30, 0)
    assert text.startswith("train will need about 3.0 GB of memory, 1.0 GB are free.")
    (text,) = shortages("preprocess", Need(memory=0, disk=3 * 2**30), 0, 2**29)
    assert text.startswith("preprocess will write about 3.0 GB, 0.5 GB are free on the disk")


def test_what_is_free_on_this_machine(tmp_path: Path) -> None:
    memory, disk = free_memory(), free_disk(tmp_path / "not" / "there" / "yet")
    assert memory is None or 10**6 < memory < 10**14
    assert disk is not None
    assert disk > 10**6


@pytest.mark.parametrize(
    ("limit", "used", "left"),
    [("1000\n", "400\n", 600), ("max\n", "400\n", None), ("100\n", "400\n", 0), ("", "", None)],
)
def test_the_limit_of_a_container(limit: str, used: str, left: int | None, tmp_path: Path) -> None:
    if limit:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text(used)
    assert estimates._left_in_group(tmp_path) == left


def test_the_limit_of_a_container_in_the_older_control_groups(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("1000\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("300\n")
    assert estimates._left_in_group(tmp_path) == 700


@pytest.mark.parametrize(
    ("statistics", "left"),
    [
        ("anon 100\ninactive_anon 20\nactive_file 50\ninactive_file 250\nunevictable 7\n", 900),
        ("total_inactive_file 250\nworkingset_activate_file 70\n", 600),
        ("inactive_file 500\n", 1000),
        ("inactive_file many\n", 600),
        ("", 600),
    ],
)
def test_files_in_memory_take_nothing_away(statistics: str, left: int, tmp_path: Path) -> None:
    """The kernel drops them where memory is asked for."""
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.stat").write_text(statistics)
    assert estimates._left_in_group(tmp_path) == left


def test_files_in_memory_in_the_older_control_groups(tmp_path: Path) -> None:
    """The groups within count too: their use does."""
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("1000\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("300\n")
    (tmp_path / "memory" / "memory.stat").write_text(
        "inactive_file 1\nactive_file 2\ntotal_inactive_file 30\ntotal_active_file 70\n"
    )
    assert estimates._left_in_group(tmp_path) == 800


def test_extract_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "free_memory", lambda: 1)
    found = foreseen(["extract", "preprocess", "train"], 1000, 1, tmp_path)
    assert {node: len(texts) for node, texts in found.items()} == {"extract": 0, "preprocess": 1, "train": 1}


def test_a_run_warns_and_its_manifest_keeps_the_warning(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(estimates, "free_memory", lambda: 2**20)
    monkeypatch.setattr(estimates, "free_disk", lambda folder: 2**10)
    words = ["preprocess", "--store", str(tmp_path / "runs"), "--workers", "1", "--set", "source.patients=120"]
    assert main([*words, "--set", "split.folds=2"]) == 0
    errors = capsys.readouterr().err
    assert "preprocess will need about 0.4 GB of memory, 0.0 GB are free" in " ".join(errors.split())
    manifest = json.loads(next((tmp_path / "runs").glob("preprocess/*/manifest.json")).read_text("utf-8"))
    assert [text.split(" about")[0] for text in manifest["warnings"]] == [
        "preprocess will need", "preprocess will write",
    ]  # fmt: skip
    assert main([*words, "--set", "split.folds=2"]) == 0
    assert "will need" not in capsys.readouterr().err
