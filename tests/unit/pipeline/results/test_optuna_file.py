"""A search as a file of Optuna: every trial is there, and the best one is the best one."""

from __future__ import annotations

import json

import optuna
import polars as pl
import pytest

from icudl.artifacts import TRIALS_SCHEMA, Direction, Objective, TuningResult
from icudl.pipeline.results.optuna import write_optuna


@pytest.mark.filterwarnings("default")
def test_trials_are_read_back_by_optuna(tmp_path):
    settings = [
        {"model.hidden_size": 8, "training.learning_rate": 1e-4, "model.readout": "mean"},
        {"model.hidden_size": 64, "training.learning_rate": 1e-1, "model.readout": "last"},
        {"model.hidden_size": 16, "training.learning_rate": 1e-2},
        {"model.hidden_size": 16, "training.learning_rate": 1e-3, "model.readout": "last"},
    ]
    states = [("complete", 0.7, 5), ("failed", None, 0), ("pruned", 0.6, 2), ("complete", 0.8, 5)]
    rows = [
        (number, state, value, json.dumps(setting), None, steps)
        for number, (setting, (state, value, steps)) in enumerate(zip(settings, states, strict=True))
    ]
    result = TuningResult(
        trials=pl.DataFrame(rows, dict(TRIALS_SCHEMA), orient="row"),
        best=settings[3],
        best_trial=3,
        best_value=0.8,
        objective=Objective("auroc", Direction.MAXIMIZE),
    )
    file = tmp_path / "trials.log"
    assert write_optuna(result, file, "tune-model/abc") == 4
    assert write_optuna(result, file, "tune-model/abc") == 4
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    study = optuna.load_study(study_name="tune-model/abc", storage=storage)
    assert study.best_trial.user_attrs == {"trial": 3, "chosen": True}
    assert study.best_params == {
        "model.hidden_size": 16.0, "training.learning_rate": 1e-3, "model.readout": json.dumps("last"),
    }  # fmt: skip
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "PRUNED", "COMPLETE"]
    assert study.trials[2].intermediate_values == {2: 0.6}
    assert list(tmp_path.iterdir()) == [file]
