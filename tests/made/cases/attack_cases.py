"""Checkpoints with random weights, and data sets whose labels they get right, for tests of attacks."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import numpy as np
import torch

from icudl.artifacts import FINAL, Checkpoint, GridDataset, Member, TrainingResult
from icudl.attacks.run.outcome import ShardOutcome
from icudl.attacks.run.shards import Shard, ShardData, attack_shard
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.threat import StayTensors, grid_cells
from icudl.attacks.target.verification import score
from icudl.execution.base import Tick
from icudl.models.build import build_model, load_model
from icudl.models.options import LstmOptions, ModelOptions
from icudl.preprocessing.features import n_features
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on, prepare_inputs, select_statics
from icudl.training.data import stays_of
from training_grids import make_grid

MODEL = LstmOptions(hidden_size=5, fc_size=4)


def make_checkpoint(
    grid: GridDataset,
    member: str,
    model: ModelOptions = MODEL,
    inputs: InputOptions | None = None,
    threshold: float = 0.5,
) -> Checkpoint:
    """A model with large random weights, centred so that about half of the stays are called deaths."""
    inputs = inputs or InputOptions()
    rows = np.flatnonzero(~grid.is_test)
    torch.manual_seed(sum(map(ord, member)))
    network = build_model(model, n_features(inputs, len(grid.variables)))
    scaler = fit_scaler_on(grid, rows, inputs)
    stays = stays_of(grid, rows, scaler, inputs)
    network.prepare(stays.features, stays.lengths, stays.columns)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.5)
    weights = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
    checkpoint = Checkpoint(
        member=Member.parse(member),
        model=model.to_dict(),
        inputs=inputs.to_dict(),
        variables=grid.variables,
        static_names=inputs.statics,
        n_hours=grid.values.shape[1],
        scaler=scaler,
        threshold=threshold,
        weights=weights,
    )
    differences = decisions(grid, checkpoint)[1]
    weights["head.out.bias"][0] += np.median(differences) - np.log(threshold / (1 - threshold))
    return checkpoint


def decisions(grid: GridDataset, checkpoint: Checkpoint) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool says death, and (N,) logit differences, by the library's module."""
    inputs = InputOptions.from_dict(checkpoint.inputs)
    prepared = prepare_inputs(checkpoint.scaler, inputs, grid.values, grid.lengths, select_statics(grid, inputs))
    stays = StayTensors.of(prepared, np.arange(len(grid.labels)), "cpu")
    model = load_model(checkpoint, "cpu")
    target = CheckpointTarget.bind(checkpoint, model, stays, grid_cells(stays))
    scores = score(model, target, target.values)
    return scores.says_death.numpy(), scores.difference.numpy()


def make_case(
    n_stays: int = 40,
    *,
    wrong: int = 3,
    threshold: float = 0.5,
    inputs: InputOptions | None = None,
    **grid_options: int,
) -> tuple[GridDataset, TrainingResult]:
    """A data set of which the unseen members classify all but ``wrong`` stays correctly."""
    grid = make_grid(n_stays, **grid_options)
    members = [str(member) for member in (FINAL, *map(Member, range(grid.n_folds)))]
    checkpoints = {name: make_checkpoint(grid, name, inputs=inputs, threshold=threshold) for name in members}
    labels = np.zeros(n_stays, np.int8)
    for checkpoint in checkpoints.values():
        own = grid.is_test if checkpoint.member == FINAL else grid.folds == checkpoint.member.fold
        labels[own] = decisions(grid, checkpoint)[0][own]
    labels[:wrong] = 1 - labels[:wrong]
    none = grid.flow
    training = TrainingResult(checkpoints=checkpoints, history=none, predictions=none, metrics=none)
    return dataclasses.replace(grid, labels=labels), training


def attack_and_die_once(data: ShardData, shard: Shard, tick: Tick) -> ShardOutcome:
    """Attack a shard in a worker process that leaves a note of it; the first to be asked for the third kills itself."""
    ledger = Path(os.environ["ICUDL_TEST_LEDGER"])
    with (ledger / f"shard-{shard.member}-{shard.rows[0]}").open("a", encoding="utf-8") as notes:
        notes.write("begun\n")
    if len(list(ledger.glob("shard-*"))) == 3:
        try:
            (ledger / "died").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return attack_shard(data, shard, tick)
