"""Does TPE beat random search at an equal number of trials?

    python benchmarks/training/tuning.py [--json FILE]

Both samplers search the same space on the same stays of the synthetic hospital, several times with other seeds: real
trials, each a cross-validation of small networks. Shown is the best score so far, and the difference by seed.
"""

# ruff: noqa: E402 - the allocator must be set before torch is imported

from __future__ import annotations

from icudl.execution.threads import tune_process

tune_process()

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from icudl.artifacts import GridDataset
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.models.options import LstmOptions
from icudl.plugins import load_plugin
from icudl.preprocessing.cohort import CohortOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.preprocessing.splits import SplitOptions
from icudl.search.options import ModelTuningOptions
from icudl.sources.base import WindowOptions
from icudl.sources.synthetic.options import SyntheticOptions
from icudl.stages.preprocess import preprocess
from icudl.stages.tune import tune_model
from icudl.training.options import TrainingOptions
from icudl.variables import STUDY_VARIABLES

SAMPLERS = ("tpe", "random")
SPACE = {
    "model.hidden_size": {"choices": [8, 16, 32]},
    "model.activation": {"choices": ["relu", "tanh"]},
    "model.dropout": {"low": 0.0, "high": 0.5},
    "model.fc_size": {"choices": [16, 32, 64]},
    "model.fc_activation": {"choices": ["relu", "tanh"]},
    "training.optimizer": {"choices": ["adam", "rmsprop", "sgd"]},
    "training.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "training.batch_size": {"choices": [32, 64, 128, 256]},
}
"""The original's space with smaller networks."""


def stays(patients: int, context: RunContext) -> GridDataset:
    """Return the grid of a synthetic hospital."""
    source = load_plugin("icudl.sources", "synthetic")(SyntheticOptions(patients=patients), 2018)
    tables = source.extract(STUDY_VARIABLES, WindowOptions(), context)
    return preprocess(tables, CohortOptions(), SplitOptions(test_fraction=0.0, folds=2), context)


def best_so_far(
    grid: GridDataset, sampler: str, context: RunContext, args: argparse.Namespace
) -> npt.NDArray[np.float64]:
    """Run a study and return the (trials,) best scores."""
    tuning = ModelTuningOptions(
        trials=args.trials, folds=2, objective=args.objective, sampler=sampler, pruner="none",
        startup_trials=args.startup_trials, batch=1, space=SPACE,
    )  # fmt: skip
    training = TrainingOptions(max_epochs=args.epochs, patience=4)
    result = tune_model(grid, InputOptions(), LstmOptions(), training, tuning, context)
    values = result.trials["value"].fill_null(float("-inf")).to_numpy()
    return np.maximum.accumulate(values)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=900)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--startup-trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--objective", default="auroc")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    started = time.process_time()
    curves: dict[str, list[Any]] = {sampler: [] for sampler in SAMPLERS}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(args.seeds):
            context = RunContext(
                executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=Path(scratch), seed=seed
            )
            grid = stays(args.patients, context)
            for sampler in SAMPLERS:
                curves[sampler].append(best_so_far(grid, sampler, context, args).tolist())
    print(f"{len(grid.labels)} stays, {int(grid.labels.sum())} deaths, {time.process_time() - started:.0f} CPU-s")
    print("| trials | TPE | random | TPE minus random | seeds in which TPE is ahead |\n|---|---|---|---|---|")
    steps = sorted({args.startup_trials, args.trials // 2, 3 * args.trials // 4, args.trials})
    for count in steps:
        tpe, random = (np.array(curves[sampler])[:, count - 1] for sampler in SAMPLERS)
        gain = tpe - random
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        print(
            f"| {count} | {tpe.mean():.4f} (sd {tpe.std(ddof=1):.4f}) | {random.mean():.4f} (sd "
            f"{random.std(ddof=1):.4f}) | {gain.mean():+.4f} (standard error {error:.4f}) | {(gain > 0).sum()} of "
            f"{len(gain)} ({(gain == 0).sum()} level) |"
        )
    if args.json:
        args.json.write_text(json.dumps({"settings": {**vars(args), "json": None}, "best": curves}) + "\n", "utf-8")


if __name__ == "__main__":
    main()
