"""`icudl locate`: from a folder to a configuration that reads it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from command_line import icudl

from icudl.cli import main
from mimic4_tables import busy_hospital


def test_from_a_folder_to_tables(tmp_path: Path) -> None:
    folder = busy_hospital().write(tmp_path / "data" / "mimiciv", ending="csv.gz")
    study = tmp_path / "study.toml"
    done = icudl("locate", folder / "icu", "--write", study)
    assert "MIMIC-IV, version unknown" in done.stdout
    assert "the given path lies within it" in done.stdout
    assert "[source]" not in done.stdout
    assert tomllib.loads(study.read_text("utf-8")) == {"source": {"name": "mimic4", "path": str(folder)}}
    done = icudl("extract", "--config", study, "--store", tmp_path / "runs")
    assert done.stdout.startswith("extract/")


def test_as_json_and_what_goes_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def locate(*words: str | Path) -> tuple[int, str, str]:
        code = main(["locate", *map(str, words)])
        return code, *capsys.readouterr()

    folder = busy_hospital(rows=20).write(tmp_path / "data" / "mimiciv")
    assert "[source]" in locate(folder)[1]
    (found,) = json.loads(locate(tmp_path / "data", "--json")[1])["found"]
    assert (found["source"], found["at"], found["patients"], found["stays"]) == ("mimic4", str(folder), 12, 18)
    assert {table["name"]: table["rows"] for table in found["tables"]}["icustays"] == 18
    assert tomllib.loads(found["toml"])["source"]["path"] == str(folder)

    (tmp_path / "empty").mkdir()
    for words, code, expected in (
        ((tmp_path / "empty",), 4, "MIMIC-III: PATIENTS"),
        ((tmp_path / "nowhere",), 4, "does not exist"),
        (("s3://bucket/data",), 4, "Expected postgresql://"),
        ((folder, "--write", folder / "hosp" / "patients.csv"), 2, "exists already"),
    ):
        found_code, printed, error = locate(*words)
        assert (found_code, printed) == (code, ""), error
        assert expected in error

    (folder / "icu" / "chartevents.csv").unlink()
    code, _, error = locate(folder, "--write", tmp_path / "study.toml")
    assert code == 2
    assert "Nothing was written: MIMIC-IV" in error
    assert "icu/chartevents: nothing can be read without it" in locate(folder)[1]
