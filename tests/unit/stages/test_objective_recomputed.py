"""What a search reports of a trial equals what others make of the same setting, trained or attacked anew."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as peer

from icudl.artifacts import AttackResult, GridDataset, TrainingResult, TuningResult
from icudl.attacks.options import ProximalOptions
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.models.options import LstmOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.search.options import AttackTuningOptions, ModelTuningOptions
from icudl.stages.attack import attack
from icudl.stages.train import train
from icudl.stages.tune import tune_attack, tune_model
from icudl.training.options import TrainingOptions
from training_grids import make_grid

MODEL = LstmOptions(hidden_size=4, fc_size=4)
TRAINING = TrainingOptions(max_epochs=3, baselines=False, bootstrap_samples=10, learning_rate=0.02)
MODEL_SPACE = {
    "model.hidden_size": {"choices": [3, 5]},
    "training.learning_rate": {"low": 3e-3, "high": 0.1, "log": True},
    "inputs.imputation": {"choices": ["linear", "forward"]},
}
PEERS = {
    "auroc": lambda labels, risks, decided: peer.roc_auc_score(labels, risks),
    "auprc": lambda labels, risks, decided: peer.average_precision_score(labels, risks),
    "brier": lambda labels, risks, decided: peer.brier_score_loss(labels, risks),
    "log_loss": lambda labels, risks, decided: peer.log_loss(labels, risks),
    "accuracy": lambda labels, risks, decided: peer.accuracy_score(labels, decided),
    "f1": lambda labels, risks, decided: peer.f1_score(labels, decided),
}


@pytest.fixture(scope="module")
def grid() -> GridDataset:
    return make_grid(90)


def context_in(folder: Path) -> RunContext:
    """The context of the tests, with a folder that lasts longer than one of them."""
    return RunContext(
        executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=folder, seed=7
    )  # fmt: skip


def parameters_of(result: TuningResult) -> list[tuple[str, float]]:
    """Setting and value of every finished trial, as the artifact tells them."""
    finished = result.trials.filter(pl.col("state") == "complete")
    return finished.select("parameters", "value").rows()


@pytest.fixture(scope="module")
def trained_with(grid: GridDataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TrainingResult]:
    """Trains with the setting of a trial; whatever the objective, a search begins with the same settings."""

    @functools.cache
    def trained_with(parameters: str) -> TrainingResult:
        chosen = json.loads(parameters)
        return train(
            grid,
            InputOptions(imputation=chosen["inputs.imputation"]),
            dataclasses.replace(MODEL, hidden_size=chosen["model.hidden_size"]),
            dataclasses.replace(TRAINING, learning_rate=chosen["training.learning_rate"]),
            context_in(tmp_path_factory.mktemp("train")),
        )

    return trained_with


@pytest.mark.parametrize(
    "objective",
    # One that ranks, one that reads risks; a search each.
    [pytest.param(name, marks=[] if name in {"auroc", "log_loss"} else [pytest.mark.slow]) for name in PEERS],
)
def test_the_value_of_a_trial_is_the_mean_over_left_out_folds(
    objective: str, grid: GridDataset, trained_with: Callable[[str], TrainingResult], context: RunContext
) -> None:
    """The folds are trained again by the train stage, and scored by scikit-learn from the predictions it writes."""
    tuning = ModelTuningOptions(
        trials=3, startup_trials=3, folds=grid.n_folds, space=MODEL_SPACE, objective=objective, pruner="none"
    )
    result = tune_model(grid, InputOptions(), MODEL, TRAINING, tuning, context)
    trials = parameters_of(result)
    assert len(trials) == 3
    assert len({value for _, value in trials}) > 1
    for parameters, value in trials:
        trained = trained_with(parameters)
        scores = []
        for fold in range(grid.n_folds):
            left_out = trained.predictions.filter(pl.col("member") == f"fold-{fold}", pl.col("split") == "out-of-fold")
            ours = (grid.folds == fold) & ~grid.is_test
            assert sorted(left_out["stay_id"]) == sorted(grid.stay_ids[ours])
            label_of = dict(zip(grid.stay_ids.tolist(), grid.labels.tolist(), strict=True))
            labels = np.array([label_of[stay] for stay in left_out["stay_id"].to_list()])
            risks = left_out["probability"].to_numpy()
            scores.append(PEERS[objective](labels, risks, risks >= left_out["threshold"].to_numpy()))
        assert value == pytest.approx(sum(scores) / len(scores), rel=1e-9)
    best = max if objective not in {"brier", "log_loss"} else min
    assert result.best_value == best(value for _, value in trials)


@pytest.fixture(scope="module")
def trained(grid: GridDataset, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """A training whose network the attack trials attack."""
    return train(grid, InputOptions(), MODEL, TRAINING, context_in(tmp_path_factory.mktemp("train")))


ATTACK = ProximalOptions(iterations=30, attack_misclassified=True, split="out-of-fold", max_stays=12)


@pytest.fixture(scope="module")
def attacked_with(
    grid: GridDataset, trained: TrainingResult, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], AttackResult]:
    """Attacks with the setting of a trial."""

    @functools.cache
    def attacked_with(parameters: str) -> AttackResult:
        setting = dataclasses.replace(ATTACK, lambda_1=json.loads(parameters)["attack.lambda_1"])
        return attack(grid, trained, setting, context_in(tmp_path_factory.mktemp("attack")))

    return attacked_with


@pytest.mark.parametrize(
    "objective",
    [
        "sparse_small",
        # A search each; what an objective is worth is read from made-up examples in tests/unit/search.
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("sparsity", "sparse_small_max", "max_num_nonzero_perts")
        ),
    ],
)
def test_the_value_of_an_attack_trial_is_a_sum_over_its_examples(
    objective: str,
    grid: GridDataset,
    trained: TrainingResult,
    attacked_with: Callable[[str], AttackResult],
    context: RunContext,
) -> None:
    """The stays are attacked again by the attack stage, and the score is computed from the changed cells it writes."""
    space = {"attack.lambda_1": {"low": 1e-4, "high": 0.3, "log": True}}
    tuning = AttackTuningOptions(trials=2, startup_trials=2, stays=12, n_critical=5, objective=objective, space=space)
    result = tune_attack(grid, trained, ATTACK, tuning, context)
    found_any = False
    for parameters, value in parameters_of(result):
        attacked = attacked_with(parameters)
        total = 0.0
        cells = attacked.perturbations.filter(pl.col("example") == "best")
        for stay in cells["stay_id"].unique().to_list():
            changes = np.abs(cells.filter(pl.col("stay_id") == stay)["change"].to_numpy().astype(np.float64))
            length = int(grid.lengths[grid.stay_ids == stay][0])
            sparsity = 1 - len(changes) / (length * len(grid.variables))
            total += {
                "sparsity": sparsity,
                "sparse_small": sparsity / changes.sum(),
                "sparse_small_max": sparsity / changes.max(),
                "max_num_nonzero_perts": float(len(changes) <= 5),
            }[objective]
        found_any = found_any or total > 0
        assert value == pytest.approx(total, rel=1e-5)
    assert found_any
