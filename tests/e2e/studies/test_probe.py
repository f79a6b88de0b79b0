"""Probes through the command line: what they say, where they stand, and that they are sound."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import icudl

STUDY = """
[data.main]
source = "synthetic"
patients = 130
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
[models.trees]
model = "boosted_trees"
[attacks.one_value]
attack = "greedy"
threat_model = "measured"
max_stays = 4
on = ["lstm", "main"]
[analysis]
bootstrap_samples = 10
importance_stays = 0
[execution]
executor = "serial"
"""
PROBE = """
[probe]
max_stays = 60
draws = 3
"""


@pytest.mark.slow
def test_probes_are_a_stage_of_the_study(tmp_path: Path) -> None:
    file, store = tmp_path / "study.toml", tmp_path / "runs"
    file.write_text(STUDY, "utf-8")
    common = ("--config", file, "--store", store)
    refused = icudl("probe", *common, check=False)
    assert refused.returncode == 2
    assert "no table [probe]" in refused.stderr

    file.write_text(STUDY + PROBE, "utf-8")
    done = icudl("run", *common)
    assert "Does risk rise with derangements" in done.stderr
    assert "Verdicts that errors of entry reverse" in done.stderr
    listed = icudl("list", *common).stdout
    assert "verdicts per 1,000 stays reversed by entry errors" in listed
    assert "probe/trees" in icudl("verify", "probe/trees", *common).stdout
    (page,) = store.glob("report/*/index.html")
    text = page.read_text("utf-8")
    for title in ("Does risk follow a patient who gets worse?", "Wrong verdicts by errors of entry"):
        assert title[1:] in text  # after the name of its model, in lower case
    assert "Heart rate rises" in text

    compared = icudl("compare", "probe/lstm", "probe/trees", *common).stdout
    assert "Verdicts that entry errors reverse, per 1,000 stays" in compared

    # The same study without probes keeps its results.
    file.write_text(STUDY, "utf-8")
    again = icudl("run", *common)
    assert "train/lstm up to date" in again.stderr.replace("  ", " ")
