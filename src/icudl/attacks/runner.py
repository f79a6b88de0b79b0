"""Attacks stays in shards: each through a model that was not fitted on it, resumable, in any number of processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import safetensors.numpy

from icudl.artifacts import ATTACKED_SCHEMA, PERTURBATIONS_SCHEMA, AttackResult, Checkpoint, GridDataset, Schema
from icudl.attacks.options import AttackOptions
from icudl.attacks.shard import STATUSES, Shard, ShardArrays, ShardData, attack_shard
from icudl.errors import StageError
from icudl.execution.base import RunContext, write_atomically
from icudl.preprocessing.scaling import InputOptions, select_statics

EXAMPLES = ("first", "best")
FINAL = "final"


def unseen_member(grid: GridDataset, row: int) -> str:
    """Return the member of a training result that was not fitted on the stay at ``row``."""
    return FINAL if grid.is_test[row] else f"fold-{grid.folds[row]}"


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
    done: dict[int, ShardArrays] = {
        index: dict(safetensors.numpy.load_file(path)) for index, path in enumerate(paths) if path.exists()
    }
    missing = [index for index in range(len(shards)) if index not in done]

    def keep(position: int, arrays: ShardArrays) -> None:
        done[missing[position]] = arrays
        write_atomically(paths[missing[position]], lambda path: safetensors.numpy.save_file(arrays, path))

    with context.progress.task(f"attack ({options.name})", total=len(rows), unit="stays") as bar:
        bar.advance(sum(len(shards[index].rows) for index in done))
        context.executor.map(
            attack_shard, [shards[index] for index in missing], shared=data, tick=bar.advance, on_result=keep
        )
    return _assemble([done[index] for index in range(len(shards))], grid, options)


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


def _assemble(parts: Sequence[ShardArrays], grid: GridDataset, options: AttackOptions) -> AttackResult:
    names = list(dict.fromkeys(name for part in parts for name in part))
    columns = {name: np.concatenate([part[name] for part in parts if name in part]) for name in names}
    return AttackResult(
        stays=_stays_table(_of_kind("stays.", columns), grid),
        perturbations=_cells_table(_of_kind("cells.", columns), grid),
        curves=_further_tables(_of_kind("table.", columns), grid),
        variables=grid.variables,
        n_hours=grid.values.shape[1],
        threat_model=options.threat_model,
        options=options.to_dict(),
    )


def _further_tables(columns: ShardArrays, grid: GridDataset) -> dict[str, pl.DataFrame]:
    """Return the attack's own tables; ``stay_id`` in place of the row, variables and hours as in the other tables."""
    tables: dict[str, pl.DataFrame] = {}
    for name in sorted({key.partition(".")[0] for key in columns}):
        own = _of_kind(f"{name}.", columns)
        rows = own.pop("row").astype(np.int64)
        tables[name] = pl.DataFrame({"stay_id": grid.stay_ids[rows], **own}).sort("stay_id", maintain_order=True)
    return tables


def _of_kind(prefix: str, columns: ShardArrays) -> ShardArrays:
    return {name.removeprefix(prefix): array for name, array in columns.items() if name.startswith(prefix)}


def _stays_table(columns: ShardArrays, grid: GridDataset) -> pl.DataFrame:
    rows = columns.pop("row").astype(np.int64)
    status = columns.pop("status").astype(np.int64)
    frame = pl.DataFrame(
        {
            "stay_id": grid.stay_ids[rows],
            "label": grid.labels[rows],
            "member": [unseen_member(grid, int(row)) for row in rows],
            "split": ["test" if grid.is_test[row] else "out-of-fold" for row in rows],
            "length": grid.lengths[rows],
            "status": [STATUSES[code].value for code in status],
            **columns,
        }
    )
    iterations = [f"{example}_iteration" for example in EXAMPLES]
    frame = frame.with_columns(
        pl.when(pl.col(name) >= 0).then(pl.col(name)).otherwise(None).alias(name) for name in iterations
    ).with_columns(pl.col(pl.Float64).fill_nan(None))
    return _conform(frame, ATTACKED_SCHEMA).sort("stay_id")


def _cells_table(columns: ShardArrays, grid: GridDataset) -> pl.DataFrame:
    rows = columns.pop("row").astype(np.int64)
    codes = columns.pop("example").astype(np.int64)
    frame = pl.DataFrame(
        {
            "stay_id": grid.stay_ids[rows],
            "example": pl.Series([EXAMPLES[code] for code in codes], dtype=pl.String),
            **columns,
        }
    )
    return _conform(frame, PERTURBATIONS_SCHEMA).sort("stay_id", "example", "hour", "variable")


def _conform(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
