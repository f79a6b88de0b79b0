"""Work on many stays, shard by shard: a run that was killed goes on with the shards it has not finished."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Checkpoint, GridDataset
from icudl.attacks.run.shards import Part, Shard, ShardJobs, divide
from icudl.errors import StageError
from icudl.execution.base import Tick
from icudl.execution.context import RunContext
from icudl.preprocessing.scaling import InputOptions, static_columns


class Finished(Protocol):
    """What came of a shard."""

    def write(self, path: Path) -> None:
        """Write it; the file at ``path`` appears last, and whole or not at all."""


class ShardOptions(Protocol):
    """Options of work that is done in shards.

    Attributes:
        table: Where they stand in the configuration.
    """

    table: ClassVar[str]

    @property
    def batch_size(self) -> int:
        """The most stays of a shard."""

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON."""


Shared = TypeVar("Shared")


def parts_of(
    checkpoints: Mapping[str, Checkpoint],
    grid: GridDataset,
    rows: npt.NDArray[np.int64],
    options: ShardOptions,
    *,
    size: int = 0,
) -> list[Part]:
    """Divide stays into shards, each read by the one member that has not met its stays.

    Args:
        checkpoints: ``"final"`` for test stays and ``"fold-k"`` for the stays of fold k, those that ``rows`` needs.
        grid: The data set.
        rows: (M,) positions of stays in ``grid``.
        options: Size of a shard.
        size: Of a shard, where it is another one.

    Raises:
        StageError: ``rows`` is empty, or a checkpoint is missing.
    """
    if len(rows) == 0:
        raise StageError(f"No stay is left. Choose another {options.table}.split, or more stays.")
    parts = divide(grid, np.sort(rows), size or options.batch_size)
    for member in sorted({part.member for part in parts}):
        if member not in checkpoints:
            raise StageError(
                f"The training result has no member {member!r}, which alone has not met some of the stays; it has "
                f"{', '.join(checkpoints)}. Train all folds, or take the test stays only "
                f"({options.table}.split = 'test')."
            )
    return parts


def readers_of(parts: Sequence[Part], checkpoints: Mapping[str, Checkpoint]) -> dict[str, Checkpoint]:
    """Return the checkpoints that read the stays, by member, sorted."""
    return {member: checkpoints[member] for member in sorted({part.member for part in parts})}


def run_shards(
    task: Callable[[Shared, Shard, Tick], Finished],
    shared: Shared,
    parts: Sequence[Part],
    checkpoints: Mapping[str, Checkpoint],
    grid: GridDataset,
    options: ShardOptions,
    context: RunContext,
    *,
    label: str,
    ending: str,
) -> list[Path]:
    """Do what no earlier run has finished, and return the file of each shard, in the order of ``parts``.

    Args:
        task: Works on one shard; given ``shared``, the shard and what counts its stays.
        shared: The data that all shards share.
        parts: The stays of each shard.
        checkpoints: Those that read the stays (``readers_of``).
        grid: The data set.
        options: A shard that was finished under other options is not taken.
        context: Executor, progress, scratch folder, seed.
        label: What the progress is called.
        ending: Of the files' names.
    """
    paths = [_path(context, options, grid, part, ending) for part in parts]
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    statics = {
        member: static_columns(grid, InputOptions.from_dict(checkpoint.inputs))
        for member, checkpoint in checkpoints.items()
    }
    jobs = ShardJobs(grid, [parts[index] for index in missing], statics, context.seed)

    def keep(position: int, outcome: Finished) -> None:
        outcome.write(paths[missing[position]])

    total = sum(len(part.rows) for part in parts)
    with context.progress.task(label, total=total, unit="stays") as bar:
        bar.advance(total - sum(len(parts[index].rows) for index in missing))
        context.executor.run(task, jobs, shared=shared, on_result=keep, tick=bar.advance)
    return paths


def _path(context: RunContext, options: ShardOptions, grid: GridDataset, part: Part, ending: str) -> Path:
    """Return a shard's file, whose name tells it from every other shard in the stage's scratch folder."""
    what = [options.to_dict(), context.seed, part.member, grid.stay_ids[part.rows].tolist()]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]
    return context.scratch / f"{options.table}-{digest}{ending}"
