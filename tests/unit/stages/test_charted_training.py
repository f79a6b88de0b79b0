"""Trees and logistic regression as models of the train stage: who is fitted on what, calibration, folds, searches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from icudl.artifacts import FINAL, GridDataset, TrainingResult
from icudl.execution.context import RunContext
from icudl.models.build import load_charted
from icudl.models.options import BoostedTreesOptions, LogisticOptions, ModelOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.search.options import ModelTuningOptions
from icudl.stages.train import train
from icudl.stages.tune import tune_model
from icudl.training.data import clinical_stays
from icudl.training.options import TrainingOptions
from icudl.training.scores.metrics import choose_threshold
from icudl.training.scores.scoring import risks
from training_grids import make_grid

TREES = BoostedTreesOptions(trees=25, leaves=6, stays_per_leaf=5)
MODELS = [TREES, LogisticOptions()]
TRAINING = TrainingOptions(bootstrap_samples=20)
INPUTS = InputOptions(statics=("age_years",))


@pytest.fixture(scope="module")
def grid() -> GridDataset:
    return make_grid(160)


def run(
    grid: GridDataset, context: RunContext, model: ModelOptions, scratch: Path | None = None, **options: object
) -> TrainingResult:
    if scratch is not None:
        scratch.mkdir()
        context = dataclasses.replace(context, scratch=scratch)
    return train(grid, INPUTS, model, dataclasses.replace(TRAINING, **options), context)


@pytest.mark.parametrize("model", MODELS, ids=lambda each: each.name)
def test_each_stay_is_predicted_once_by_a_member_that_was_not_fitted_on_it(grid, context, model) -> None:
    result = run(grid, context, model)
    assert set(result.predictions["model"]) == {model.name}, "a model of charted values has no baselines beside it"
    assert list(result.checkpoints) == ["final", "fold-0", "fold-1", "fold-2"]
    assert result.history.is_empty()
    for split, expected in (("out-of-fold", ~grid.is_test), ("test", grid.is_test)):
        part = result.predictions.filter(split=split)
        assert part["stay_id"].to_list() == sorted(grid.stay_ids[expected].tolist())
    for text, checkpoint in result.checkpoints.items():
        own = grid.is_test if checkpoint.member == FINAL else grid.folds == checkpoint.member.fold
        rows = np.flatnonzero(own)
        scored = result.predictions.filter(member=text).sort("stay_id")["probability"].to_numpy()
        assert np.array_equal(scored, risks(checkpoint, grid, rows, "cpu"))
    value = result.metrics.filter(split="out-of-fold", subgroup="all", metric="auroc")["value"][0]
    assert value > 0.75


@pytest.mark.parametrize("model", MODELS, ids=lambda each: each.name)
def test_the_scored_stays_change_neither_arrays_nor_threshold(grid, context, tmp_path, model) -> None:
    first = run(grid, context, model, fit_again=True)
    for member, scored in (("fold-1", grid.folds == 1), ("final", grid.is_test)):
        labels, values = grid.labels.copy(), grid.values.copy()
        labels[scored] = 1 - labels[scored]
        values[scored] = values[scored] * 3 + 50
        other = dataclasses.replace(grid, labels=labels, values=values)
        changed = run(other, context, model, tmp_path / member, fit_again=True)
        before, after = first.checkpoints[member], changed.checkpoints[member]
        assert before.threshold == after.threshold
        assert {k: v.tobytes() for k, v in before.weights.items()} == {k: v.tobytes() for k, v in after.weights.items()}
        assert before.scaler.upper.tobytes() == after.scaler.upper.tobytes()


@pytest.mark.parametrize("method", ["none", "temperature", "platt", "isotonic"])
def test_calibration_keeps_the_order_of_the_risks(grid, context, tmp_path, method) -> None:
    plain = run(grid, context, TREES, tmp_path / "plain", calibration="none")
    result = run(grid, context, TREES, tmp_path / "calibrated", calibration=method)
    checkpoint, before = result.checkpoints["final"], plain.checkpoints["final"]
    assert (checkpoint.curve is not None) == (method == "isotonic")
    rows = np.arange(len(grid.labels))
    risk, raw = (risks(each, grid, rows, "cpu") for each in (checkpoint, before))
    assert ((risk > 0) & (risk < 1)).all() or method == "isotonic"
    assert (np.diff(risk[np.argsort(raw, kind="stable")]) >= -1e-12).all()
    if method != "isotonic":
        stays = clinical_stays(grid, rows, INPUTS)
        logits = load_charted(checkpoint).logits(stays)
        assert 1 / (1 + np.exp(-logits)) == pytest.approx(risk, abs=1e-12)
        scale = 1.0 if method == "none" else np.ptp(logits) / np.ptp(load_charted(before).logits(stays))
        assert scale > 0
        assert (scale != 1.0) == (method != "none")


@pytest.mark.parametrize("model", MODELS, ids=lambda each: each.name)
@pytest.mark.parametrize("calibration", ["platt", "isotonic"])
def test_the_models_of_all_folds_as_one(grid, context, tmp_path, model, calibration) -> None:
    result = run(grid, context, model, final="folds", calibration=calibration)
    final = result.checkpoints["final"]
    stays = clinical_stays(grid, np.flatnonzero(grid.is_test), INPUTS)
    folds = [load_charted(result.checkpoints[f"fold-{fold}"]).logits(stays) for fold in range(3)]
    assert load_charted(final).logits(stays) == pytest.approx(np.mean(folds, axis=0), abs=1e-12)
    out_of_fold = result.predictions.filter(split="out-of-fold")
    if calibration == "platt":
        labels, risk = out_of_fold["label"].to_numpy(), out_of_fold["probability"].to_numpy()
        assert final.threshold == pytest.approx(choose_threshold(labels, risk, "f1"), abs=1e-12)
    folder = tmp_path / "written"
    folder.mkdir()
    result.write(folder)
    again = TrainingResult.read(folder).checkpoints["final"]
    rows = np.flatnonzero(grid.is_test)
    assert np.array_equal(risks(again, grid, rows, "cpu"), risks(final, grid, rows, "cpu"))


def test_fitting_again_uses_the_validation_stays_too_and_keeps_the_choices(grid, context, tmp_path) -> None:
    once = run(grid, context, TREES, tmp_path / "once").checkpoints["fold-0"]
    twice = run(grid, context, TREES, tmp_path / "twice", fit_again=True).checkpoints["fold-0"]
    assert once.threshold == twice.threshold
    assert once.scaler.fitted_on < twice.scaler.fitted_on == int((~grid.is_test & (grid.folds != 0)).sum())
    assert not np.array_equal(once.weights["value"], twice.weights["value"])


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_trees(grid, context, tmp_path) -> None:
    first, second = (run(grid, context, TREES, tmp_path / name) for name in ("first", "second"))
    third = run(grid, dataclasses.replace(context, seed=context.seed + 1), TREES, tmp_path / "third")
    arrays = [result.checkpoints["final"].weights for result in (first, second, third)]
    assert arrays[0].keys() == arrays[1].keys()
    assert all(arrays[0][name].tobytes() == arrays[1][name].tobytes() for name in arrays[0])
    assert arrays[0]["value"].tobytes() != arrays[2]["value"].tobytes()
    assert first.predictions.equals(second.predictions)


def test_options_are_searched_without_epochs(grid, context) -> None:
    tuning = ModelTuningOptions(trials=3, folds=2, space={"model.leaves": {"low": 2, "high": 8}})
    found = tune_model(grid, INPUTS, TREES, TRAINING, tuning, context)
    assert found.trials["state"].to_list() == ["complete"] * 3
    assert found.best_value == pytest.approx(float(found.trials["value"].max()))
    assert found.trials.filter(pl.col("value") > 0.6).height == 3
