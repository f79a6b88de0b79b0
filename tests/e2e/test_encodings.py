"""Terminals and pipes that cannot show every character: no command ends with an encoding error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_results import reference

LATIN = (pytest.param("latin-1", marks=pytest.mark.slow), "cp1252")


def icudl_in(encoding: str, *words: str | Path) -> tuple[str, str]:
    """Run a command whose streams have an encoding; return both, decoded by it."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from icudl.cli import main; sys.exit(main())", *map(str, words)],
        capture_output=True, timeout=240, check=False, env=os.environ | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert done.returncode == 0, err
    assert "Traceback" not in err
    return out, err


@pytest.mark.parametrize("encoding", LATIN)
def test_the_doctor_and_the_status_of_a_new_store(encoding: str, tmp_path: Path) -> None:
    out, _ = icudl_in(encoding, "doctor", "--store", tmp_path / "runs")
    assert "v Python" in out  # for a check mark
    assert "extract" in icudl_in(encoding, "status", "--store", tmp_path / "runs", "--set", "source.patients=50")[0]


def test_results_are_listed_shown_and_scored(small_study: Path) -> None:
    train, data = reference(small_study, "train"), reference(small_study, "preprocess")
    for words in (("list",), ("status",), ("show", train)):
        assert icudl_in("latin-1", *words, "--store", small_study)[0].strip()
    table, said = icudl_in("cp1252", "evaluate", train, data, "--store", small_study)
    assert "auroc" in table
    # Rules are drawn with signs that every encoding has.
    assert "---" in table
    assert "?" not in table
    assert "stays of preprocess" in said
    told = json.loads(icudl_in("latin-1", "evaluate", train, data, "--store", small_study, "--json")[0])
    assert told["scores"]


def test_json_keeps_what_the_encoding_lacks(tmp_path: Path) -> None:
    name = "Studie Ω"
    setting = f"source.path={json.dumps(str(tmp_path / name))}"
    out, _ = icudl_in("latin-1", "config", "show", "--json", "--set", "source.name=mimic3", "--set", setting)
    assert name in json.dumps(json.loads(out), ensure_ascii=False)
