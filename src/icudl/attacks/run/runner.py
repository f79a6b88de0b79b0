"""The attack on many stays, in shards: each stay through a model that was not fitted on it, resumable after a kill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from icudl.artifacts import AttackResult, Checkpoint, GridDataset
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.assembly import assemble_files
from icudl.attacks.run.outcome import ShardOutcome
from icudl.attacks.run.shards import Part, ShardData, ShardJobs, attack_shard, divide
from icudl.errors import StageError
from icudl.execution.context import RunContext
from icudl.preprocessing.scaling import InputOptions, static_columns


def run_attack(
    checkpoints: Mapping[str, Checkpoint],
    grid: GridDataset,
    rows: npt.NDArray[np.int64],
    options: AttackOptions,
    context: RunContext,
) -> AttackResult:
    """Attack the stays at ``rows``.

    Each finished shard is kept as a file in ``context.scratch``. A run that was killed continues with the other shards
    and ends with the same result. Shards depend on the batch size alone, so the result depends on neither executor nor
    number of workers. Memory never holds the data or the results of all stays: where ``grid`` is mapped from its file,
    it hardly grows with the number of stays.

    Args:
        checkpoints: ``"final"`` for test stays and ``"fold-k"`` for the stays of fold k, those that ``rows`` needs.
        grid: The data set; the checkpoints were fitted on parts of it.
        rows: (M,) positions of stays in ``grid``.
        options: Attack and threat model.
        context: Executor, device, progress, scratch folder, seed.

    Raises:
        StageError: ``rows`` is empty, a checkpoint is missing, or a checkpoint belongs to another data set.
        AttackError: The attack needs a gradient, and the model is not differentiable.
        ConfigError: The options are not those of the attack that they name.
    """
    if len(rows) == 0:
        raise StageError("No stay is left to attack. Choose another attack.split, or more stays.")
    parts = divide(grid, np.sort(rows), options.batch_size)
    members = sorted({part.member for part in parts})
    _require_members(checkpoints, grid, members)
    statics = {member: static_columns(grid, InputOptions.from_dict(checkpoints[member].inputs)) for member in members}
    data = ShardData({member: checkpoints[member] for member in members}, options, context.device)
    paths = [_shard_path(context, options, grid, part) for part in parts]
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    jobs = ShardJobs(grid, [parts[index] for index in missing], statics, context.seed)

    def keep(position: int, outcome: ShardOutcome) -> None:
        outcome.write(paths[missing[position]])

    with context.progress.task(f"attack ({options.name})", total=len(rows), unit="stays") as bar:
        bar.advance(len(rows) - sum(len(parts[index].rows) for index in missing))
        context.executor.run(attack_shard, jobs, shared=data, on_result=keep, tick=bar.advance)
    return assemble_files(paths, parts, grid, options, context.scratch / "tables")


def _require_members(checkpoints: Mapping[str, Checkpoint], grid: GridDataset, members: Sequence[str]) -> None:
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


def _shard_path(context: RunContext, options: AttackOptions, grid: GridDataset, part: Part) -> Path:
    """Return a shard's file, whose name tells it from every other shard in the stage's scratch folder."""
    what = [options.to_dict(), context.seed, part.member, grid.stay_ids[part.rows].tolist()]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]
    return context.scratch / f"attack-{digest}.safetensors"
