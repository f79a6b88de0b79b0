"""The tune stage: resumption, sharing, and what a search may look at."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from icudl.artifacts import TuningResult
from icudl.attacks.options import ProximalOptions, SweepOptions
from icudl.errors import ConfigError
from icudl.execution.pool.executor import ProcessExecutor
from icudl.models.options import LstmOptions, SummaryOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.search import attack_trial, model_trial
from icudl.search.options import AttackTuningOptions, ModelTuningOptions
from icudl.stages.train import train
from icudl.stages.tune import tune_attack, tune_model
from icudl.training.options import TrainingOptions
from icudl.training.pretraining.options import PretrainOptions
from icudl.training.robust.options import RobustOptions
from training_grids import make_grid

MODEL = LstmOptions(hidden_size=4, fc_size=4)
TRAINING = TrainingOptions(max_epochs=3, baselines=False, bootstrap_samples=10)
SPACE = {"model.fc_size": {"low": 2, "high": 9}, "training.learning_rate": {"low": 1e-4, "high": 0.3, "log": True}}
TUNING = ModelTuningOptions(trials=5, startup_trials=2, batch=2, folds=2, space=SPACE)


def _tune(grid, context, tuning=TUNING, training=TRAINING):
    return tune_model(grid, InputOptions(), MODEL, training, tuning, context)


@pytest.fixture(scope="module")
def grid():
    return make_grid(60)


def _fresh(context, tmp_path, name):
    scratch = tmp_path / name
    scratch.mkdir()
    return dataclasses.replace(context, scratch=scratch)


def test_the_search_learns_and_its_artifact_survives_its_files(grid, context, tmp_path):
    result = _tune(grid, context)
    assert len(result.trials) == 5
    assert result.best_value == result.trials.filter(state="complete")["value"].max()
    assert set(result.best) == set(SPACE)
    folder = tmp_path / "artifact"
    folder.mkdir()
    result.write(folder)
    assert TuningResult.read(folder).trials.equals(result.trials)


@pytest.mark.parametrize(
    "other",
    [{"pretrain": PretrainOptions(epochs=2, learning_rate=0.05)}, {"robust": RobustOptions(value_dropout=0.5)}],
)
def test_trials_of_another_training_are_a_study_of_their_own(grid, context, tmp_path, other):
    """Their outcomes lie beside those of the usual training, and none is taken for the other."""
    tuning, here = dataclasses.replace(TUNING, trials=2), _fresh(context, tmp_path, "shared")
    usual = _tune(grid, here, tuning)
    nothing = {name: type(options)() for name, options in other.items()}
    changed, again = (
        tune_model(grid, InputOptions(), MODEL, TRAINING, tuning, here, **tables) for tables in (other, nothing)
    )
    assert usual.trials["value"].to_list() != changed.trials["value"].to_list()
    assert usual.trials.equals(again.trials)
    assert len({path.parent for path in here.scratch.rglob("*.json")}) >= 2


def test_test_stays_change_nothing(grid, context, tmp_path):
    labels, values = grid.labels.copy(), grid.values.copy()
    labels[grid.is_test] = 1 - labels[grid.is_test]
    values[grid.is_test] += 9
    changed = dataclasses.replace(grid, labels=labels, values=values)
    first = _tune(grid, context)
    assert _tune(changed, _fresh(context, tmp_path, "other")).trials.equals(first.trials)


def test_a_search_killed_inside_a_trial_ends_with_the_same_trials(grid, context, tmp_path, monkeypatch):
    straight = _tune(grid, _fresh(context, tmp_path, "straight"))
    fit = model_trial.train_model

    class KilledError(Exception):
        pass

    calls = []

    def die(*args, on_epoch, **named):
        def told(network, epoch):
            calls.append(epoch)
            if len(calls) == 14:
                raise KilledError
            on_epoch(network, epoch)

        return fit(*args, on_epoch=told, **named)

    monkeypatch.setattr(model_trial, "train_model", die)
    with pytest.raises(KilledError):
        _tune(grid, context)
    assert list(context.scratch.glob("*/trial-*-fold-*.safetensors"))
    monkeypatch.setattr(model_trial, "train_model", fit)
    assert _tune(grid, context).trials.equals(straight.trials)
    assert not list(context.scratch.glob("*/trial-*.safetensors"))


def test_a_storage_is_continued_with_more_trials(grid, context, tmp_path, monkeypatch):
    shared = dataclasses.replace(TUNING, storage=str(tmp_path / "study"), trials=3)
    short = _tune(grid, context, shared)
    fit, snapshots = model_trial.train_model, []

    def noted(*args, **named):
        snapshots.append(named["snapshot"].name)
        return fit(*args, **named)

    monkeypatch.setattr(model_trial, "train_model", noted)
    longer = _tune(grid, _fresh(context, tmp_path, "later"), dataclasses.replace(shared, trials=5))
    assert {name.partition("-fold")[0] for name in snapshots} == {"trial-3", "trial-4"}
    assert longer.trials.head(3).equals(short.trials)


def test_studies_that_differ_do_not_share_trials(grid, context):
    _tune(grid, context, dataclasses.replace(TUNING, trials=1))
    _tune(grid, context, dataclasses.replace(TUNING, trials=1, objective="brier"))
    _tune(grid, context, dataclasses.replace(TUNING, trials=1), dataclasses.replace(TRAINING, max_epochs=2))
    assert len(list(context.scratch.iterdir())) == 3


@pytest.mark.exhaustive  # tests/faults/runs/test_clusters.py compares whole studies with searches
def test_processes_find_the_same_trials(grid, context, tmp_path):
    serial = _tune(grid, _fresh(context, tmp_path, "serial"))
    parallel = _tune(grid, dataclasses.replace(context, executor=ProcessExecutor(2)))
    assert parallel.trials.equals(serial.trials)


def test_a_setting_that_diverges_is_a_failed_trial(grid, context, monkeypatch):
    wild = {"training.learning_rate": {"choices": [1e-3, 10.0]}, "training.gradient_clip": {"choices": [0.0]}}
    values = np.where(np.isnan(grid.values), np.nan, grid.values).astype(np.float32)
    training = dataclasses.replace(TRAINING, optimizer="sgd", max_epochs=2)

    def diverge(*args, **named):
        raise model_trial.DivergenceError("diverged")

    real = model_trial.train_model
    monkeypatch.setattr(
        model_trial,
        "train_model",
        lambda plan, *a, **n: (diverge if plan.training.learning_rate > 1 else real)(plan, *a, **n),
    )
    tuning = dataclasses.replace(TUNING, space=wild, sampler="random", trials=6, pruner="none")
    result = _tune(dataclasses.replace(grid, values=values), context, tuning, training)
    assert set(result.trials["state"]) == {"complete", "failed"}
    assert result.best["training.learning_rate"] == 1e-3


def test_no_trials_is_an_error(grid, context):
    with pytest.raises(ConfigError, match=r"tune_model\.trials is 0"):
        _tune(grid, context, dataclasses.replace(TUNING, trials=0))


def test_the_attack_is_tuned_on_stays_that_are_not_test_stays_and_resumed(context, tmp_path, monkeypatch):
    grid = make_grid(60, ragged=False)
    training = train(grid, InputOptions(), MODEL, dataclasses.replace(TRAINING, learning_rate=0.03), context)
    tuning = AttackTuningOptions(
        trials=3,
        stays=12,
        objective="smallest_l0",
        storage=str(tmp_path / "study"),
        startup_trials=1,
        space={"attack.lambda_1": {"low": 1e-3, "high": 0.1, "log": True}, "attack.kappa": {"low": 0.0, "high": 0.2}},
    )
    attack = ProximalOptions(iterations=15, refine=False)
    first = tune_attack(grid, training, attack, tuning, _fresh(context, tmp_path, "a"))
    assert len(first.trials) == 3
    assert first.best_value > 0
    values = grid.values.copy()
    values[grid.is_test] += 5
    changed = dataclasses.replace(grid, values=values)
    elsewhere = dataclasses.replace(tuning, storage=str(tmp_path / "another study"))
    second = tune_attack(changed, training, attack, elsewhere, _fresh(context, tmp_path, "b"))
    assert second.trials.equals(first.trials)
    assert second.best == first.best
    runs = []
    run = attack_trial.run_attack
    monkeypatch.setattr(attack_trial, "run_attack", lambda *given: runs.append(1) or run(*given))
    longer = dataclasses.replace(tuning, trials=4)
    resumed = tune_attack(grid, training, attack, longer, _fresh(context, tmp_path, "c"))
    assert len(runs) == 1
    assert resumed.trials.head(3).equals(first.trials)


def test_without_a_space_the_options_of_the_attack_itself_vary(context, tmp_path):
    grid = make_grid(30, ragged=False)
    training = train(grid, InputOptions(), MODEL, TRAINING, context)
    attack, tuning = SweepOptions(), AttackTuningOptions(trials=1, stays=4, objective="smallest_l0")
    left = tune_attack(grid, training, attack, tuning, _fresh(context, tmp_path, "left"))
    assert set(left.best) == set(SweepOptions.SPACE)
    said = dataclasses.replace(tuning, space=dict(SweepOptions.SPACE))
    assert tune_attack(grid, training, attack, said, _fresh(context, tmp_path, "said")).trials.equals(left.trials)


def test_a_database_keeps_the_trials_for_every_machine(grid, context, tmp_path, database, monkeypatch):
    shared = dataclasses.replace(TUNING, storage=database, trials=3)
    first = _tune(grid, context, shared)
    monkeypatch.setattr(model_trial, "train_model", None)
    assert _tune(grid, _fresh(context, tmp_path, "elsewhere"), shared).trials.equals(first.trials)


@pytest.mark.parametrize("model", [MODEL, SummaryOptions()], ids=["lstm", "summary"])
def test_without_a_space_of_its_own_a_search_varies_what_the_model_names(grid, context, model):
    tuning = dataclasses.replace(TUNING, space={}, trials=1)
    result = tune_model(grid, InputOptions(), model, TRAINING, tuning, context)
    assert set(result.best) == set(model.SPACE)
