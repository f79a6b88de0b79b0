"""Proofs through the command line: what they say, where they stand, and that they are checked."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from command_line import icudl

STUDY = """
[data.main]
source = "synthetic"
patients = 200
[data.elsewhere]
source = "synthetic"
patients = 60
seed = 7
role = "external"
[window]
hours = 8
[variables]
use = ["potassium", "heartrate"]
[split]
folds = 2
[training]
max_epochs = 1
bootstrap_samples = 10
baselines = false
[models.lstm]
hidden_size = 4
fc_size = 3
[models.tcn]
hidden_size = 4
fc_size = 3
[attacks.one_value]
attack = "sweep"
threat_model = "measured"
max_stays = 6
on = ["lstm", "main"]
[analysis]
bootstrap_samples = 10
importance_stays = 0
[execution]
executor = "serial"
"""
CERTIFY = """
[certify]
max_stays = 6
misclassified = true
on = ["lstm"]
"""


def test_proofs_are_a_stage_of_the_study(tmp_path: Path) -> None:
    file, store = tmp_path / "study.toml", tmp_path / "runs"
    file.write_text(STUDY, "utf-8")
    common = ("--config", file, "--store", store)
    refused = icudl("certify", *common, check=False)
    assert refused.returncode == 2
    assert "no table [certify]" in refused.stderr
    icudl("run", *common)
    planned = json.loads(icudl("run", "--dry-run", "--json", *common).stdout)
    assert all(step["done"] for step in planned)

    file.write_text(STUDY + CERTIFY, "utf-8")
    done = icudl("run", *common)
    assert "Can one wrong charted value flip a prediction?" in done.stderr
    after = json.loads(icudl("run", "--dry-run", "--json", *common).stdout)
    assert {step["name"] for step in after} - {step["name"] for step in planned} == {
        "certify/lstm",
        "certify/lstm/elsewhere",
    }
    listed = icudl("list", *common).stdout
    assert "certify/lstm" in listed
    assert "of 6 stays" in listed
    assert "proven" in icudl("show", "certify/lstm", *common).stdout
    assert "sound" in icudl("verify", "certify/lstm", *common).stdout
    page = max((store / "report").glob("*/report.html"), key=lambda path: path.stat().st_mtime).read_text("utf-8")
    assert "What one wrong value cannot do" in page or "what one wrong value cannot do" in page

    # The sweep tries points of the ranges that the proof decides.
    (proofs,) = (path for path in (store / "certify").glob("*") if pl.read_parquet(path / "stays.parquet").height == 6)
    assert set(pl.read_parquet(proofs / "values.parquet")["verdict"]) <= {"proven", "flips", "undecided"}
