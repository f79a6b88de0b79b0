"""Robust training through the command line: in the manifest where it is asked for, and nowhere else."""

from __future__ import annotations

import hashlib
import json
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
max_epochs = 2
bootstrap_samples = 10
baselines = false
[models.usual]
model = "lstm_summary"
hidden_size = 4
fc_size = 3
"""
CAREFUL = """
[models.careful]
model = "lstm_summary"
hidden_size = 4
fc_size = 3
[models.careful.robust]
error_rate = 0.1
variable_dropout = 0.1
adversarial_share = 0.5
consistency = 0.5
"""


def _trained(store: Path, name: str) -> dict[str, dict]:
    """The manifests of trainings by name."""
    found = (json.loads(path.read_text("utf-8")) for path in store.glob("train/*/manifest.json"))
    return {manifest["name"]: manifest for manifest in found if manifest["name"] == name}


def _weights(store: Path, name: str) -> dict[str, str]:
    """Hashes of the weights of a training, by file."""
    (manifest,) = _trained(store, name).values()
    folder = store / "train" / manifest["id"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.safetensors"))}


@pytest.mark.slow
def test_a_robust_training_is_its_own_result(tmp_path: Path) -> None:
    file, store, other = tmp_path / "study.toml", tmp_path / "runs", tmp_path / "other"
    file.write_text(STUDY, "utf-8")
    icudl("train", "--config", file, "--store", other, "--set", "execution.executor=serial")
    file.write_text(STUDY + CAREFUL, "utf-8")
    icudl("train", "--config", file, "--store", store, "--set", "execution.executor=serial")
    icudl("train", "--config", file, "--store", other, "--set", "execution.workers=2")
    (usual,), (careful,) = (_trained(store, f"train/{name}").values() for name in ("usual", "careful"))
    assert "robust" not in usual["options"]
    assert careful["options"]["robust"]["adversarial_share"] == 0.5
    # The usual training was there already, and two processes give the bytes of one.
    assert set(_weights(other, "train/usual")) == set(_weights(store, "train/usual")) != set()
    assert usual["id"] == _trained(other, "train/usual")["train/usual"]["id"]
    assert _weights(store, "train/careful") == _weights(other, "train/careful")
    assert _weights(store, "train/careful") != _weights(store, "train/usual")
