"""Terminals and pipes that cannot show every character: no command ends with an encoding error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import icudl, reference

LATIN = (pytest.param("latin-1", marks=pytest.mark.slow), "cp1252")


InEncoding = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a command whose streams have an encoding, and decodes by it what the command says."""


@pytest.fixture
def icudl_in(monkeypatch: pytest.MonkeyPatch) -> InEncoding:
    def run(encoding: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("PYTHONIOENCODING", encoding)
        return icudl(*words)

    return run


@pytest.mark.parametrize("encoding", LATIN)
def test_the_doctor_and_the_status_of_a_new_store(encoding: str, icudl_in: InEncoding, tmp_path: Path) -> None:
    assert "v Python" in icudl_in(encoding, "doctor", "--store", tmp_path / "runs").stdout  # for a check mark
    words = ("status", "--store", tmp_path / "runs", "--set", "source.patients=50")
    assert "extract" in icudl_in(encoding, *words).stdout


def test_results_are_listed_shown_and_scored(small_study: Path, icudl_in: InEncoding) -> None:
    train, data = reference(small_study, "train"), reference(small_study, "preprocess")
    for words in (("list",), ("status",), ("show", train)):
        assert icudl_in("latin-1", *words, "--store", small_study).stdout.strip()
    done = icudl_in("cp1252", "evaluate", train, data, "--store", small_study)
    table = done.stdout
    assert "auroc" in table
    # Rules are drawn with signs that every encoding has.
    assert "---" in table
    assert "?" not in table
    assert "stays of preprocess" in done.stderr
    told = json.loads(icudl_in("latin-1", "evaluate", train, data, "--store", small_study, "--json").stdout)
    assert told["scores"]


def test_json_keeps_what_the_encoding_lacks(tmp_path: Path) -> None:
    name = "Studie Ω"
    setting = f"source.path={json.dumps(str(tmp_path / name))}"
    code = "import sys; from icudl.cli import main; sys.exit(main())"
    words = ("config", "show", "--json", "--set", "source.name=mimic3", "--set", setting)
    # A process of its own, whose streams Python has made.
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True, check=True, env=os.environ | {"PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert name in json.dumps(json.loads(done.stdout.decode("latin-1")), ensure_ascii=False)
