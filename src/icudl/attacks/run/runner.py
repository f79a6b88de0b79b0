"""The attack on many stays, in shards: each stay through a model that was not fitted on it, resumable after a kill."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from icudl.artifacts import AttackResult, Checkpoint, GridDataset
from icudl.attacks.options import AttackOptions
from icudl.attacks.pace import shard_size
from icudl.attacks.run.assembly import assemble_files
from icudl.attacks.run.resuming import parts_of, readers_of, run_shards
from icudl.attacks.run.shards import ShardData, attack_shard, reads_charted
from icudl.errors import StageError
from icudl.execution.context import RunContext


def run_attack(
    checkpoints: Mapping[str, Checkpoint],
    grid: GridDataset,
    rows: npt.NDArray[np.int64],
    options: AttackOptions,
    context: RunContext,
) -> AttackResult:
    """Attack the stays at ``rows``.

    Each finished shard is kept as a file in ``context.scratch``. A run that was killed continues with the other shards
    and ends with the same result. Shards depend on batch size and kind of device alone, so the result depends on no
    executor and no number of workers. Memory never holds the data or the results of all stays: where ``grid`` is mapped
    from its file, it hardly grows with the number of stays.

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
    on_cpu = any(reads_charted(checkpoint) for checkpoint in checkpoints.values())
    size = shard_size(options.batch_size, "cpu" if on_cpu else context.device)
    parts = parts_of(checkpoints, grid, rows, options, size=size)
    readers = readers_of(parts, checkpoints)
    _require_same_variables(readers, grid)
    data = ShardData(readers, options, context.device)
    paths = run_shards(
        attack_shard, data, parts, readers, grid, options, context,
        label=f"attack ({options.name})", ending=".safetensors",
    )  # fmt: skip
    return assemble_files(paths, parts, grid, options, context.scratch / "tables")


def _require_same_variables(checkpoints: Mapping[str, Checkpoint], grid: GridDataset) -> None:
    for member, checkpoint in checkpoints.items():
        if checkpoint.variables != grid.variables:
            raise StageError(
                f"The checkpoint {member!r} was fitted on other variables than the data set has. "
                "Train on this data set first."
            )
