"""Robust training and pretraining through the command line: in the manifest where asked for, and nowhere else."""

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
fit_again = true
[models.usual]
model = "lstm_summary"
hidden_size = 4
fc_size = 3
[models.careful]
model = "lstm_summary"
hidden_size = 4
fc_size = 3
[models.careful.robust]
error_rate = 0.1
variable_dropout = 0.1
adversarial_share = 0.5
consistency = 0.5
[models.pretrained]
model = "lstm_summary"
hidden_size = 4
fc_size = 3
ensemble_size = 2
[models.pretrained.pretrain]
epochs = 2
encoder_rate = 0.5
"""


def _trained(store: Path, name: str) -> dict:
    """The manifest of a training."""
    found = (json.loads(path.read_text("utf-8")) for path in store.glob("train/*/manifest.json"))
    (manifest,) = (each for each in found if each["name"] == name)
    return manifest


def _weights(store: Path, manifest: dict) -> dict[str, str]:
    """Hashes of the files of weights of a training."""
    folder = store / "train" / manifest["id"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.safetensors")}


@pytest.mark.slow
def test_another_training_is_its_own_result(tmp_path: Path) -> None:
    file, store, other = tmp_path / "study.toml", tmp_path / "runs", tmp_path / "other"
    file.write_text(STUDY, "utf-8")
    icudl("train", "--config", file, "--store", store, "--set", "execution.executor=serial")
    icudl("train", "--config", file, "--store", other, "--set", "execution.workers=2")
    made = usual, careful, pretrained = [
        _trained(store, f"train/{name}") for name in ("usual", "careful", "pretrained")
    ]
    told = [[table in each["options"] for table in ("robust", "pretrain")] for each in made]
    assert told == [[False, False], [True, False], [False, True]]
    assert careful["options"]["robust"]["adversarial_share"] == 0.5
    assert pretrained["options"]["pretrain"]["epochs"] == 2
    assert _weights(store, usual) not in (_weights(store, careful), _weights(store, pretrained))
    # Two processes give the bytes of one.
    for manifest in made:
        assert _weights(other, manifest) == _weights(store, manifest) != {}
