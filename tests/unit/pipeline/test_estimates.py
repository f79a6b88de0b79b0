"""What a stage will need, and what is said where the machine does not have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from icudl.cli import main
from icudl.pipeline import estimates
from icudl.pipeline.estimates import Need, foreseen, free_disk, need_of, shortages


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


def test_the_disk_of_a_store_that_does_not_exist_yet(tmp_path: Path) -> None:
    disk = free_disk(tmp_path / "not" / "there" / "yet")
    assert disk is not None
    assert disk > 10**6


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
