"""The train stage: who is fitted on what, who is scored by whom, and that nothing else gets in."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from icudl.artifacts import GridDataset, TrainingResult
from icudl.errors import StageError
from icudl.execution.context import RunContext, SilentProgress, seed_for
from icudl.execution.pool.executor import ProcessExecutor
from icudl.execution.serial import SerialExecutor
from icudl.models.build import load_model
from icudl.models.options import LstmOptions, LstmSummaryOptions, SummaryOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.stages.train import train
from icudl.training import members
from icudl.training.members import divide
from icudl.training.options import TrainingOptions
from icudl.training.scores.evaluation import score_predictions
from icudl.training.scores.metrics import score
from training_grids import make_grid

MODEL = LstmOptions(hidden_size=4, fc_size=4)
QUICK = TrainingOptions(max_epochs=2, bootstrap_samples=20, learning_rate=0.02)
NETWORK_ONLY = dataclasses.replace(QUICK, baselines=False)


def _run(grid: GridDataset, context, training=NETWORK_ONLY, inputs=None, model=MODEL) -> TrainingResult:
    return train(grid, inputs or InputOptions(), model, training, context)


def _files(result: TrainingResult, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    result.write(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def grid() -> GridDataset:
    return make_grid()


@pytest.fixture(scope="module")
def trained(grid, tmp_path_factory) -> TrainingResult:
    """What the stage makes of the grid, for the tests that only read it."""
    scratch = tmp_path_factory.mktemp("trained")
    return _run(
        grid,
        RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=7),
    )


def test_each_stay_of_a_named_split_is_predicted_exactly_once_per_model(grid, context):
    """Defect 1 of the original: it scored the balanced training set."""
    predictions = _run(grid, context, QUICK).predictions
    for model in ("lstm", "logistic_regression", "boosted_trees"):
        for split, expected in (("out-of-fold", ~grid.is_test), ("test", grid.is_test)):
            part = predictions.filter(model=model, split=split)
            assert part["stay_id"].to_list() == sorted(grid.stay_ids[expected].tolist())
            known = pl.DataFrame({"stay_id": grid.stay_ids, "truth": grid.labels, "own_fold": grid.folds})
            joined = part.join(known, on="stay_id")
            assert joined["label"].to_list() == joined["truth"].to_list()
            assert joined["fold"].to_list() == joined["own_fold"].to_list()
            members_of = joined["fold"].map_elements(
                lambda fold: "final" if fold < 0 else f"fold-{fold}", return_dtype=pl.String
            )
            assert joined["member"].to_list() == members_of.to_list()


def test_metrics_are_those_of_the_predictions(trained):
    part = trained.predictions.filter(split="out-of-fold")
    row = trained.metrics.filter(split="out-of-fold", subgroup="all", metric="auroc").row(0, named=True)
    assert row["value"] == score("auroc", part["label"].to_numpy(), part["probability"].to_numpy())
    assert (row["stays"], row["deaths"]) == (len(part), part["label"].sum())
    assert row["low"] <= row["value"] <= row["high"]
    assert {"sex=F", "icu_type=CCU", "age_years=40-64"} <= set(trained.metrics["subgroup"])


def test_no_member_touches_the_stays_it_scores(grid):
    for fold in (-1, 0, 1, 2):
        division = divide(grid, fold, 0.2, seed=1)
        groups = [set(grid.patient_ids[rows]) for rows in (division.fit, division.valid, division.scored)]
        assert not groups[0] & groups[1]
        assert not (groups[0] | groups[1]) & groups[2]
        assert not grid.is_test[np.r_[division.fit, division.valid]].any()
        assert sorted(np.r_[division.fit, division.valid, division.scored]) == sorted(
            np.flatnonzero(~grid.is_test) if fold >= 0 else range(len(grid.labels))
        )


@pytest.mark.parametrize(
    ("model", "training"),
    [
        (MODEL, NETWORK_ONLY),
        pytest.param(
            LstmSummaryOptions(hidden_size=4, fc_size=4),
            dataclasses.replace(NETWORK_ONLY, teacher="boosted_trees", ema_decay=0.9),
            marks=pytest.mark.slow,  # seven seconds of trees
        ),
        (
            SummaryOptions(),
            dataclasses.replace(NETWORK_ONLY, teacher="logistic_regression", fit_again=True),
        ),
    ],
    ids=["plain", "summaries and teacher", "fitted again"],
)
def test_the_scored_stays_change_neither_weights_nor_threshold(grid, context, tmp_path, model, training):
    """Scaler, quantiles, teacher, early stopping and threshold never see them: their labels and values are replaced."""
    first = _run(grid, context, training, model=model)
    for member, scored in (("fold-1", grid.folds == 1), ("final", grid.is_test)):
        labels, values = grid.labels.copy(), grid.values.copy()
        labels[scored] = 1 - labels[scored]
        values[scored] = values[scored] * 3 + 50
        scratch = tmp_path / f"scratch-{member}"
        scratch.mkdir()
        changed_grid = dataclasses.replace(grid, labels=labels, values=values)
        changed = _run(changed_grid, dataclasses.replace(context, scratch=scratch), training, model=model)
        before, after = first.checkpoints[member], changed.checkpoints[member]
        assert before.threshold == after.threshold
        assert {k: v.tobytes() for k, v in before.weights.items()} == {k: v.tobytes() for k, v in after.weights.items()}
        assert before.scaler.lower.tobytes() == after.scaler.lower.tobytes()


def test_shuffled_labels_score_a_half(context):
    grid = make_grid(400, seed=3, n_folds=2)
    rng = np.random.default_rng(0)
    result = _run(
        dataclasses.replace(grid, labels=rng.permutation(grid.labels)),
        context,
        dataclasses.replace(QUICK, max_epochs=4, bootstrap_samples=100),
    )
    rows = result.metrics.filter(split="out-of-fold", subgroup="all", metric="auroc")
    assert len(rows) == 3
    for row in rows.iter_rows(named=True):
        assert row["low"] - 0.03 < 0.5 < row["high"] + 0.03, row["model"]


def test_every_model_finds_the_signal(context):
    grid = make_grid(300, seed=3, n_folds=2, signal=2.0)
    result = _run(grid, context, dataclasses.replace(QUICK, max_epochs=12))
    rows = result.metrics.filter(split="out-of-fold", subgroup="all", metric="auroc")
    assert dict(rows.select("model", pl.col("value") > 0.85).iter_rows()) == {
        "lstm": True,
        "logistic_regression": True,
        "boosted_trees": True,
    }


@pytest.mark.slow  # a fit is killed in tests/unit/training/test_training_loop.py
def test_a_killed_stage_ends_with_the_same_files(grid, context, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    straight = _files(_run(grid, dataclasses.replace(context, scratch=other), QUICK), tmp_path / "straight")
    keep = members.keep

    class KilledError(Exception):
        pass

    def die_after_two(folder, finished):
        if folder.name == "fold-1":
            raise KilledError
        keep(folder, finished)

    monkeypatch.setattr(members, "keep", die_after_two)
    with pytest.raises(KilledError):
        _run(grid, context, QUICK)
    assert (context.scratch / "fold-0").is_dir()
    assert (context.scratch / "fold-1.0.safetensors").is_file()
    (context.scratch / ".fold-1.partial").mkdir()
    monkeypatch.setattr(members, "keep", keep)
    assert _files(_run(grid, context, QUICK), tmp_path / "resumed") == straight


def test_finished_members_are_not_fitted_again(grid, context, monkeypatch):
    first = _run(grid, context)
    monkeypatch.setattr(members, "fit", None)
    assert _run(grid, context).predictions.equals(first.predictions)


class Elsewhere(SerialExecutor):
    """Runs jobs as a machine does that shares no folder with this one, and goes away after some of them."""

    def __init__(self, scratch: Path, jobs: int) -> None:
        super().__init__()
        self.scratch, self.left = scratch, jobs
        self.done: list[object] = []

    def run(self, task, jobs, *, shared, on_result, tick=None):
        def run_or_leave(shared, job, tick):
            if len(self.done) == self.left:
                raise ConnectionError
            self.done.append(job)
            return task(shared, job, tick)

        elsewhere = dataclasses.replace(shared, scratch=self.scratch)
        super().run(run_or_leave, jobs, shared=elsewhere, on_result=on_result, tick=tick)


def test_what_another_machine_finished_is_not_fitted_again(grid, context, tmp_path):
    straight = _files(_run(grid, context, QUICK), tmp_path / "straight")
    here = dataclasses.replace(context, scratch=tmp_path / "here")
    first, second = Elsewhere(tmp_path / "first", 2), Elsewhere(tmp_path / "second", 99)
    with pytest.raises(ConnectionError):
        _run(grid, dataclasses.replace(here, executor=first), QUICK)
    resumed = _run(grid, dataclasses.replace(here, executor=second), QUICK)
    assert _files(resumed, tmp_path / "resumed") == straight
    assert len(first.done) == 2
    assert not set(first.done) & set(second.done)
    assert second.done


@pytest.mark.exhaustive  # tests/faults/runs/test_clusters.py compares whole studies
def test_processes_give_the_same_files_as_one(grid, context, tmp_path):
    serial = _files(_run(grid, context, QUICK), tmp_path / "serial")
    shutil.rmtree(context.scratch)
    context.scratch.mkdir()
    parallel = dataclasses.replace(context, executor=ProcessExecutor(2))
    assert _files(_run(grid, parallel, QUICK), tmp_path / "parallel") == serial


def test_the_artifact_survives_its_files(trained, tmp_path):
    files = _files(trained, tmp_path / "first")
    assert _files(TrainingResult.read(tmp_path / "first"), tmp_path / "second") == files


def test_event_files_are_written_beside_the_artifact(grid, context, tmp_path):
    pytest.importorskip("tensorboard")
    _run(grid, dataclasses.replace(context, logs=tmp_path / "logs"))
    assert len(list((tmp_path / "logs" / "fold-0").glob("events.out.tfevents*"))) == 1


def test_without_test_stays_there_are_only_out_of_fold_scores(context):
    result = _run(make_grid(80, test_share=0.0), context)
    assert set(result.predictions["split"]) == {"out-of-fold"}
    assert set(result.checkpoints) == {"final", "fold-0", "fold-1", "fold-2"}


def test_a_fold_of_one_class_is_scored_where_scores_exist(context):
    grid = make_grid(120)
    labels = grid.labels.copy()
    labels[grid.folds == 0] = 0
    result = _run(dataclasses.replace(grid, labels=labels), context)
    assert len(result.predictions.filter(fold=0)) == (grid.folds == 0).sum()
    row = result.metrics.filter(split="out-of-fold", subgroup="all", metric="auroc").row(0, named=True)
    assert row["value"] is not None


def test_no_death_at_all_is_an_error(context):
    grid = make_grid(60)
    with pytest.raises(StageError, match="hold 0 deaths"):
        _run(dataclasses.replace(grid, labels=np.zeros_like(grid.labels)), context)


def test_a_variable_missing_for_everybody_and_one_hour_stays_are_survived(context):
    grid = make_grid(60, n_hours=1)
    values = grid.values.copy()
    values[:, :, 1] = np.nan
    inputs = InputOptions(channels=("value", "observed", "hours_since"), statics=("age_years",))
    result = _run(dataclasses.replace(grid, values=values), context, QUICK, inputs)
    assert result.predictions["probability"].is_finite().all()


def test_evaluation_refuses_stays_it_does_not_know(grid, trained, context):
    predictions = trained.predictions
    with pytest.raises(StageError, match="stays predicted by lstm are not in the data set"):
        score_predictions(predictions, grid.stays.head(5), 10, context.seed)


def test_the_seed_of_the_context_decides(grid, trained, context, tmp_path):
    other = dataclasses.replace(context, seed=seed_for(context.seed, "other"), scratch=tmp_path / "second")
    other.scratch.mkdir()
    assert not _run(grid, other).predictions.equals(trained.predictions)


def test_an_ensemble_is_one_checkpoint_with_the_mean_of_the_logits(grid, context):
    model = dataclasses.replace(MODEL, ensemble_size=3)
    uncalibrated = dataclasses.replace(NETWORK_ONLY, calibration="none")
    result = train(grid, InputOptions(), model, uncalibrated, context)
    assert set(result.checkpoints) == {"final", "fold-0", "fold-1", "fold-2"}
    assert set(result.history.select("member", "network").iter_rows()) == {
        (str(member), network) for member in result.checkpoints for network in range(3)
    }
    ensemble = load_model(result.checkpoints["fold-0"], "cpu")
    features, lengths = torch.randn(4, 6, 3), torch.tensor([6, 1, 3, 6])
    single = [network(features, lengths) for network in ensemble.networks]
    assert not torch.allclose(single[0], single[1])
    assert torch.allclose(ensemble(features, lengths), sum(single) / 3, atol=1e-6)


def test_the_first_network_of_an_ensemble_is_the_single_one(grid, context, tmp_path):
    alone = _run(grid, context, dataclasses.replace(NETWORK_ONLY, calibration="none"))
    scratch = tmp_path / "ensemble"
    scratch.mkdir()
    model = dataclasses.replace(MODEL, ensemble_size=2)
    options = dataclasses.replace(NETWORK_ONLY, calibration="none")
    pair = train(grid, InputOptions(), model, options, dataclasses.replace(context, scratch=scratch))
    weights = pair.checkpoints["final"].weights
    for name, array in alone.checkpoints["final"].weights.items():
        assert array.tobytes() == weights[f"networks.0.{name}"].tobytes()
