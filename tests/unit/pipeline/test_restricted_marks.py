"""What was made from anything credentialed is marked, whatever else it was made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from icudl.config.load import load_config
from icudl.pipeline.run import Pipeline
from icudl.sources.synthetic.source import SyntheticSource

TABLE = (
    "execution.executor=serial",
    "data.main.source=synthetic",
    "data.main.patients=120",
    "data.abroad.source=synthetic",
    "data.abroad.patients=60",
    "data.abroad.seed=7",
    "data.abroad.role=external",
    "window.hours=3",
    'variables.use=["potassium","heartrate"]',
    "split.folds=2",
    "model.hidden_size=2",
    "model.fc_size=2",
    "training.max_epochs=1",
    "training.baselines=false",
    "training.bootstrap_samples=10",
)


@pytest.mark.parametrize("credentialed", ["main", "abroad"])
def test_one_credentialed_input_is_enough(credentialed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def restricted(source: SyntheticSource) -> bool:
        return source.population.endswith(" 7") is (credentialed == "abroad")

    monkeypatch.setattr(SyntheticSource, "restricted", property(restricted))
    made = Pipeline(load_config(None, TABLE), tmp_path / "runs").update("score")
    marks = {manifest.name: manifest.restricted for manifest in made}
    assert marks == {
        "extract": credentialed == "main",
        "preprocess": credentialed == "main",
        "train": credentialed == "main",
        "extract/abroad": credentialed == "abroad",
        "preprocess/abroad": credentialed == "abroad",
        "score/abroad": True,
    }
