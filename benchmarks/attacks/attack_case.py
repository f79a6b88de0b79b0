"""A synthetic data set and a trained model to attack, made once in a folder: what the benchmarks of attacks share.

48 hours x 19 variables. A latent severity walks at random; variables follow it with random loads, noise and drift; the
risk of death is logistic in the severity at the end and on average, and in a product of two variables. Labs are seen in
12 % of the hours, vital signs in 85 %. The rule is made for attacks, not for realism: the model is a bidirectional
LSTM-128 with the defaults of ``icudl``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import torch

from icudl.artifacts import FLOW_SCHEMA, STAYS_SCHEMA, Checkpoint, GridDataset, TrainingResult
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.threat import StayTensors
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.models.base import SequenceClassifier
from icudl.models.build import load_model
from icudl.models.options import LstmOptions
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, select_statics
from icudl.stages.train import train
from icudl.training.options import TrainingOptions
from icudl.variables import STUDY_VARIABLES

N_STAYS, N_HOURS, N_VARIABLES, N_LABS = 2400, 48, 19, 13


def make_grid() -> GridDataset:
    rng = np.random.default_rng(0)
    shape = (N_STAYS, N_HOURS, N_VARIABLES)
    severity = rng.normal(size=(N_STAYS, 1, 1)) + np.cumsum(rng.normal(size=(N_STAYS, N_HOURS, 1)) * 0.25, axis=1)
    load = rng.normal(size=N_VARIABLES) * (rng.random(N_VARIABLES) < 0.6)
    drift = np.cumsum(rng.normal(size=shape) * 0.3, axis=1)
    values = severity * load + drift + rng.normal(size=shape) * 0.7
    risk = severity[:, -1, 0] + 0.8 * severity.mean(axis=(1, 2))
    risk += 0.15 * values[:, 30:, 0].mean(axis=1) * values[:, 30:, 1].mean(axis=1)
    died = rng.random(N_STAYS) < 1 / (1 + np.exp(2.3 - 1.3 * risk))
    values[rng.random(shape) > np.where(np.arange(N_VARIABLES) < N_LABS, 0.12, 0.85)] = np.nan
    place = rng.permutation(N_STAYS)
    is_test = place < 0.4 * N_STAYS
    unknown = {"admission_id": range(N_STAYS), "source_set": "", "stay_number": 1, "stay_hours": 72.0, "died": died}
    stays = pl.DataFrame({"stay_id": range(N_STAYS), "patient_id": range(N_STAYS), **unknown})
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in STAYS_SCHEMA.items() if name not in stays.columns]
    stays = stays.with_columns(missing).select(pl.col(name).cast(dtype) for name, dtype in STAYS_SCHEMA.items())
    return GridDataset(
        values=values.astype(np.float32),
        counts=np.isfinite(values).astype(np.uint16),
        lengths=np.full(N_STAYS, N_HOURS, np.int16),
        labels=died.astype(np.int8),
        statics=np.zeros((N_STAYS, 0), np.float32),
        static_names=(),
        stays=stays,
        is_test=is_test,
        folds=np.where(is_test, -1, place % 2).astype(np.int8),
        flow=pl.DataFrame(schema=dict(FLOW_SCHEMA)),
        variables=STUDY_VARIABLES,
        population="synthetic",
    )


def load_case(folder: Path, readout: str) -> tuple[GridDataset, TrainingResult]:
    """Read grid and training result from ``folder``; make what is not there yet (about a minute)."""
    grid_folder, training_folder = folder / "grid", folder / f"training-{readout}"
    if not grid_folder.exists():
        write(make_grid(), grid_folder)
    grid = GridDataset.read(grid_folder)
    if not training_folder.exists():
        scratch = folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        context = RunContext(
            executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=1
        )
        training = TrainingOptions(baselines=False, max_epochs=12, bootstrap_samples=10)
        write(train(grid, InputOptions(), LstmOptions(readout=readout), training, context), training_folder)
    return grid, TrainingResult.read(training_folder)


def write(artifact: GridDataset | TrainingResult, folder: Path) -> None:
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    artifact.write(partial)
    partial.rename(folder)


def bind(grid: GridDataset, checkpoint: Checkpoint, n_stays: int) -> tuple[SequenceClassifier, CheckpointTarget]:
    """Bind the final model to correctly classified test stays, half of them deaths (or as many as there are)."""
    inputs = InputOptions.from_dict(checkpoint.inputs)
    rows = np.flatnonzero(grid.is_test)
    statics = select_statics(grid, inputs)[rows]
    prepared = prepare_inputs(checkpoint.scaler, inputs, grid.values[rows], grid.lengths[rows], statics)
    stays = StayTensors.of(prepared, np.arange(len(rows)), "cpu")
    model = load_model(checkpoint, "cpu")
    target = CheckpointTarget.bind(checkpoint, model, stays)
    labels = torch.from_numpy(grid.labels[rows].astype(np.int64))
    right = (target.sign > 0) == (labels == 1)
    deaths = (right & (labels == 1)).nonzero().squeeze(1)[: n_stays // 2]
    survivors = (right & (labels == 0)).nonzero().squeeze(1)[: n_stays - len(deaths)]
    return model, target.select(torch.cat([deaths, survivors]))
