"""How the stays of an attack are divided into shards, and how a shard's stays are read when its turn comes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from icudl.artifacts import GridDataset
from icudl.artifacts.stored import forget_pages
from icudl.attacks.run.shard import Shard
from icudl.attacks.run.tables import unseen_member
from icudl.execution.context import seed_for


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Stays attacked at once.

    Attributes:
        member: Checkpoint, not fitted on any of these stays.
        rows: (B,) positions of the stays in the data set.
    """

    member: str
    rows: npt.NDArray[np.int64]


def divide(grid: GridDataset, rows: npt.NDArray[np.int64], batch_size: int) -> list[Part]:
    """Group stays by the member that attacks them, in the order of the data set, ``batch_size`` at a time."""
    codes = np.where(grid.is_test[rows], -1, grid.folds[rows])
    groups = {unseen_member(grid, int(rows[np.argmax(codes == code)])): code for code in np.unique(codes)}
    parts: list[Part] = []
    for member in sorted(groups):
        own = rows[codes == groups[member]]
        parts += [Part(member, own[start : start + batch_size]) for start in range(0, len(own), batch_size)]
    return parts


class ShardJobs(Sequence[Shard]):
    """The shards of an attack, each with the data of its own stays, read when it is asked for.

    Args:
        grid: The data set.
        parts: Its division.
        statics: Columns of the grid's static descriptors by member (each member names its own).
        seed: Root seed of the run.
    """

    def __init__(
        self, grid: GridDataset, parts: Sequence[Part], statics: Mapping[str, Sequence[int]], seed: int
    ) -> None:
        self._grid, self._parts, self._statics, self._seed = grid, parts, statics, seed
        self._stay_ids = grid.stay_ids

    def __len__(self) -> int:
        """How many shards there are."""
        return len(self._parts)

    def __getitem__(self, index: int) -> Shard:  # type: ignore[override]
        """Read a shard; executors ask for one at a time."""
        part, grid = self._parts[index], self._grid
        rows = part.rows
        shard = Shard(
            member=part.member,
            rows=rows,
            values=grid.values[rows],
            counts=grid.counts[rows],
            statics=np.ascontiguousarray(grid.statics[rows][:, list(self._statics[part.member])]),
            lengths=grid.lengths[rows],
            labels=grid.labels[rows],
            # A seed belongs to a stay, so that what is drawn for it depends on no other.
            seeds=np.array([seed_for(self._seed, "attack", stay) for stay in self._stay_ids[rows].tolist()], np.int64),
        )
        # All arrays of a data set are mapped from one file, which is read once: what was copied need not stay.
        forget_pages(grid.values)
        return shard
