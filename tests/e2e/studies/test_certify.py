"""Proofs through the command line: what they say, where they stand, and that they are checked."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from command_line import icudl

pytestmark = pytest.mark.slow

STUDY = """
[data.main]
source = "synthetic"
patients = 110
[window]
hours = 6
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
[attacks.one_value]
attack = "sweep"
threat_model = "measured"
max_stays = 3
on = ["lstm", "main"]
[analysis]
bootstrap_samples = 10
importance_stays = 0
[execution]
executor = "serial"
"""
CERTIFY = """
[certify]
max_stays = 3
misclassified = true
near = true
on = ["lstm"]
"""


def test_proofs_are_a_stage_of_the_study(tmp_path: Path) -> None:
    file, store = tmp_path / "study.toml", tmp_path / "runs"
    file.write_text(STUDY, "utf-8")
    common = ("--config", file, "--store", store)
    refused = icudl("certify", *common, check=False)
    assert refused.returncode == 2
    assert "no table [certify]" in refused.stderr

    file.write_text(STUDY + CERTIFY, "utf-8")
    done = icudl("run", *common)
    assert "Can one wrong charted value flip a prediction?" in done.stderr
    assert "Stays proven against errors of several values" in done.stderr
    assert "Fewest wrong values that flip a prediction, from both sides" in done.stderr
    assert "contradict" not in done.stderr
    listed = icudl("list", *common).stdout
    assert "certify/lstm" in listed
    assert "of 3 stays" in listed
    assert "5 of its intervals hold for the second program" in icudl("verify", "certify/lstm", *common).stdout
    (page,) = (store / "report").glob("*/index.html")
    text = page.read_text("utf-8")
    assert "What one wrong value cannot do" in text
    assert "One value: searched and proved" in text
    assert "from both sides" in text
    assert "contradict each other" not in text
    assert '"provedThreat":"measured"' in text.replace(" ", "")

    # The sweep tries points of the ranges that the proof decides.
    (proofs,) = (path for path in (store / "certify").glob("*") if pl.read_parquet(path / "stays.parquet").height == 3)
    assert set(pl.read_parquet(proofs / "values.parquet")["verdict"]) <= {"proven", "flips", "undecided"}


def test_records_read_in_parts_are_proven_and_confirmed(tmp_path: Path) -> None:
    file, store = tmp_path / "study.toml", tmp_path / "runs"
    in_parts = """
[models.voted]
model = "summary"
parts = 3
[certify]
split = "test"
max_stays = 6
misclassified = true
near = true
on = ["voted"]
"""
    file.write_text(STUDY.replace('on = ["lstm", "main"]', 'on = ["voted", "main"]') + in_parts, "utf-8")
    common = ("--config", file, "--store", store)
    refused = icudl("certify", *common, "--set", "certify.threat_model=grid", check=False)
    assert refused.returncode == 2
    assert "'summary' reads no filled-in record" in refused.stderr
    done = icudl("run", *common)
    assert "Can one wrong charted value flip a prediction?" in done.stderr
    assert "contradict" not in done.stderr
    assert "20 of its intervals hold" in icudl("verify", "certify/voted", *common, "--pieces", "20").stdout
    (table,) = (store / "certify").glob("*/values.parquet")
    values = pl.read_parquet(table)
    assert values.filter(verdict="proven", boxes=0).height > values.height / 2
