"""The changes of examples, read in blocks of stays, because the table of an attack may be larger than memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.conditions import ExampleSet
from icudl.artifacts import AttackResult
from icudl.artifacts.files.stored import ROW_GROUP


@dataclasses.dataclass(frozen=True, eq=False)
class Changes:
    """All changes of some stays of an example set, K of them, sorted by stay, hour, variable.

    Attributes:
        row: (K,) which of the set's stays each change belongs to.
        hour: (K,).
        variable: (K,) index.
        change: (K,) signed, in unit coordinates.
        clinical: (K,) signed, in the variable's unit.
    """

    row: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    variable: npt.NDArray[np.int64]
    change: npt.NDArray[np.float64]
    clinical: npt.NDArray[np.float64]

    def part(self, first: int, end: int) -> Changes:
        """Return the changes at the places from ``first`` up to, and without, ``end``."""
        return Changes(**{name: array[first:end] for name, array in vars(self).items()})


def count_changes(attack: AttackResult) -> int:
    """Return the number of changes in all examples."""
    return int(attack.ask("perturbations", lambda table: table.select(pl.len())).item())


def read_changes(
    attack: AttackResult, sets: Sequence[ExampleSet], most: int = ROW_GROUP
) -> Iterator[tuple[int, list[Changes]]]:
    """Yield for each block the number of changes read and the changes of each set; blocks follow the order of stays.

    Args:
        attack: Holds the examples. Attacks write them in the order of the stays; a table in another order is sorted
            first, which reads all of it into memory.
        sets: The example sets to read.
        most: Most changes read at a time; a single stay with more is read whole.
    """
    ids = [each.stays["stay_id"].to_numpy() for each in sets]
    for block in _blocks(attack, most):
        stay, example = block["stay_id"].to_numpy(), block["example"]
        yield (
            block.height,
            [
                _of_set(block, stay, (example == each.example).to_numpy(), own)
                for each, own in zip(sets, ids, strict=True)
            ],
        )


def _blocks(attack: AttackResult, most: int) -> Iterator[pl.DataFrame]:
    """Yield all changes, sorted by stay; no stay is in two blocks."""
    in_order = attack.ask("perturbations", lambda table: table.select((pl.col("stay_id").diff() >= 0).all())).item()
    table = None if in_order else attack.perturbations.sort("stay_id")
    total, left = count_changes(attack), None
    for start in range(0, total, most):
        if table is None:
            block = attack.ask("perturbations", lambda table, start=start: table.slice(start, most))  # type: ignore[misc]
        else:
            block = table.slice(start, most)
        if left is not None:
            block = pl.concat([left, block])
        whole = block.height if start + most >= total else int(block["stay_id"].search_sorted(block["stay_id"][-1]))
        left = block.slice(whole)
        if whole:
            yield block.head(whole)


def _of_set(
    block: pl.DataFrame, stay: npt.NDArray[np.int64], is_example: npt.NDArray[np.bool_], ids: npt.NDArray[np.int64]
) -> Changes:
    row = np.searchsorted(ids, stay)
    row[row == len(ids)] = 0
    kept = np.flatnonzero(is_example & (ids[row] == stay)) if len(ids) else np.empty(0, np.int64)
    row = row[kept]
    hour, variable = (block[name].to_numpy()[kept].astype(np.int64) for name in ("hour", "variable"))
    order = np.lexsort((variable, hour, row))
    after, before = (block[f"{name}_clinical"].to_numpy()[kept].astype(np.float64) for name in ("after", "before"))
    return Changes(
        row=row[order],
        hour=hour[order],
        variable=variable[order],
        change=block["change"].to_numpy()[kept].astype(np.float64)[order],
        clinical=(after - before)[order],
    )
