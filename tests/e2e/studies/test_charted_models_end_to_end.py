"""Boosted trees and logistic regression beside a network, through the command line: from data to one report."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from command_line import icudl
from two_hospitals import TWO_HOSPITALS

# Slow: a study of three models and three attacks, whose stages the unit tests run one by one; test_table runs another.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("charted")]

STUDY = (
    TWO_HOSPITALS
    + """
[models.trees]
model = "boosted_trees"
trees = 20
leaves = 6
[models.logistic]
model = "logistic_regression"
[models.gru]
hidden_size = 6
fc_size = 4
[attacks.one_value]
attack = "sweep"
threat_model = "measured"
sweep_points = 5
max_stays = 10
[attacks.decided]
attack = "exact_value"
threat_model = "measured"
max_stays = 10
on = ["trees", "logistic", "main"]
[attacks.fewest]
attack = "greedy"
threat_model = "measured"
max_stays = 10
[analysis]
bootstrap_samples = 10
importance_stays = 4
"""
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("charted")
    (folder / "study.toml").write_text(STUDY, "utf-8")
    icudl("run", "--config", folder / "study.toml", "--store", folder / "runs")
    return folder


def on(study: Path, *words: str | Path) -> str:
    return icudl(*words, "--store", study / "runs").stdout


def test_every_model_is_scored_and_attacked_side_by_side(study: Path) -> None:
    results = json.loads(on(study, "list", "--json"))
    names = {each["name"] for each in results}
    for model in ("trees", "logistic", "gru"):
        assert {f"train/{model}", f"score/{model}/elsewhere", f"attack/{model}/fewest/elsewhere"} <= names
        assert {f"attack/{model}/one_value", f"analyse/{model}/one_value"} <= names
        assert (f"attack/{model}/decided" in names) == (model != "gru")
    page = next((study / "runs" / "report").glob("*/index.html")).read_text("utf-8")
    for words in ("trees", "logistic", "gru", "one_value", "decided", "fewest"):
        assert words in page


def test_nothing_in_the_store_is_pickled(study: Path) -> None:
    kept = {path.suffix for folder in (study / "runs" / "train").glob("*/checkpoints") for path in folder.iterdir()}
    assert kept == {".json", ".safetensors"}
    assert not [path for path in (study / "runs").rglob("*") if path.suffix in {".pkl", ".joblib", ".pickle"}]


def test_predict_and_evaluate_take_trees_like_any_model(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "risks.parquet"
    on(study, "predict", "train/trees", "preprocess/elsewhere", "--out", out)
    table = pl.read_parquet(out)
    stages = [pl.read_parquet(path) for path in (study / "runs" / "score").glob("*/predictions.parquet")]
    (scored,) = [each for each in stages if each["model"][0] == "boosted_trees"]
    joined = table.join(scored, on="stay_id", suffix="_stage")
    assert len(joined) == len(table) > 20
    assert joined["probability"].to_list() == joined["probability_stage"].to_list()
    words = ("evaluate", "train/trees", "preprocess", "--member", "folds", "--against", "train/gru", "--json")
    found = json.loads(on(study, *words))
    assert {row["metric"] for row in found["differences"]} >= {"auroc", "auprc"}


def test_what_only_networks_can_do_is_said_in_one_sentence(study: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    done = icudl(
        "export", "train/trees", "--onnx", tmp_path / "trees.onnx", "--store", study / "runs", check=False
    )  # fmt: skip
    assert done.returncode != 0
    assert "The model 'boosted_trees' is no torch network" in done.stderr
    assert "Traceback" not in done.stderr
