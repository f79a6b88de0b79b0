"""Attacks stays in shards: each through a model that was not fitted on it, resumable, in any number of processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from icudl.artifacts import AttackResult, Checkpoint, GridDataset
from icudl.attacks.options import AttackOptions
from icudl.attacks.outcome import ShardArrays
from icudl.attacks.shard import Shard, ShardData, attack_shard
from icudl.attacks.shard_file import read_shard, write_shard
from icudl.attacks.tables import assemble, unseen_member
from icudl.errors import StageError
from icudl.execution.base import RunContext
from icudl.preprocessing.scaling import InputOptions, select_statics


def run_attack(
    checkpoints: Mapping[str, Checkpoint],
    grid: GridDataset,
    rows: npt.NDArray[np.int64],
    options: AttackOptions,
    context: RunContext,
) -> AttackResult:
    """Attack the stays at ``rows``.

    Finished shards are kept in ``context.scratch``; a run that was killed goes on from them and ends with the same
    result. Shards depend on the batch size alone, so the result depends on neither executor nor number of workers.

    Args:
        checkpoints: ``"final"`` for test stays and ``"fold-k"`` for the stays of fold k, as far as ``rows`` needs them.
        grid: The data set the checkpoints were fitted on part of.
        rows: (M,) positions of stays in ``grid``.
        options: Attack and threat model.
        context: Executor, device, progress, scratch folder, seed.

    Raises:
        StageError: No stay is given, a checkpoint is missing, or one belongs to another data set.
        AttackError: The model is not differentiable.
    """
    if len(rows) == 0:
        raise StageError("There is no stay to attack. Choose another attack.split, or more stays.")
    shards = make_shards(grid, np.sort(rows), options.batch_size)
    data = _shard_data(checkpoints, grid, sorted({shard.member for shard in shards}), rows, options, context)
    paths = [_shard_path(context, data, grid, shard) for shard in shards]
    done = {index: read_shard(path) for index, path in enumerate(paths) if path.exists()}
    missing = [index for index in range(len(shards)) if index not in done]

    def keep(position: int, arrays: ShardArrays) -> None:
        done[missing[position]] = arrays
        write_shard(paths[missing[position]], arrays)

    with context.progress.task(f"attack ({options.name})", total=len(rows), unit="stays") as bar:
        bar.advance(sum(len(shards[index].rows) for index in done))
        context.executor.map(
            attack_shard, [shards[index] for index in missing], shared=data, tick=bar.advance, on_result=keep
        )
    return assemble([done[index] for index in range(len(shards))], grid, options)


def make_shards(grid: GridDataset, rows: npt.NDArray[np.int64], batch_size: int) -> list[Shard]:
    """Group stays by the member that attacks them, in the order of the data set, ``batch_size`` at a time."""
    members = [unseen_member(grid, int(row)) for row in rows]
    shards: list[Shard] = []
    for member in sorted(set(members)):
        own = rows[[name == member for name in members]]
        shards += [Shard(member, own[start : start + batch_size]) for start in range(0, len(own), batch_size)]
    return shards


def _shard_data(
    checkpoints: Mapping[str, Checkpoint],
    grid: GridDataset,
    members: Sequence[str],
    rows: npt.NDArray[np.int64],
    options: AttackOptions,
    context: RunContext,
) -> ShardData:
    for member in members:
        if member not in checkpoints:
            raise StageError(
                f"The training result has no member {member!r}, which alone may attack some of the stays; it has "
                f"{', '.join(checkpoints)}. Train all folds, or attack the test stays only (attack.split = 'test')."
            )
        if checkpoints[member].variables != grid.variables:
            raise StageError(
                f"The checkpoint {member!r} was fitted on other variables than the data set has. "
                "Train on this data set first."
            )
    inputs = {member: InputOptions.from_dict(checkpoints[member].inputs) for member in members}
    seeds, stay_ids = np.zeros(len(grid.labels), np.int64), grid.stay_ids
    for row in rows:
        seeds[row] = context.seed_for("attack", int(stay_ids[row]))
    return ShardData(
        checkpoints={member: checkpoints[member] for member in members},
        options=options,
        values=grid.values,
        counts=grid.counts,
        statics={member: select_statics(grid, inputs[member]) for member in members},
        lengths=grid.lengths,
        labels=grid.labels,
        seeds=seeds,
        device=context.device,
    )


def _shard_path(context: RunContext, data: ShardData, grid: GridDataset, shard: Shard) -> Path:
    """Name a shard's file after all that tells it from the other shards of one stage's scratch folder."""
    what = [data.options.to_dict(), context.seed, shard.member, grid.stay_ids[shard.rows].tolist()]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]
    return context.scratch / f"attack-{digest}.safetensors"
