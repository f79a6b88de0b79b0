"""From the arrays of finished shards to the tables of an ``AttackResult``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from icudl.artifacts import ATTACKED_SCHEMA, FINAL, PERTURBATIONS_SCHEMA, AttackResult, GridDataset, Member, Schema
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.outcome import STATUSES, ShardArrays

EXAMPLES = ("first", "best")


def unseen_member(grid: GridDataset, row: int) -> str:
    """Return the text of the member that was not fitted on the stay at ``row``."""
    return str(FINAL if grid.is_test[row] else Member.of_fold(grid.folds[row]))


def assemble(parts: Sequence[ShardArrays], grid: GridDataset, options: AttackOptions) -> AttackResult:
    """Put the arrays of all shards together.

    Args:
        parts: What ``attacks.run.outcome.attack_stays`` gave for each shard; ``row`` counts the stays of ``grid``.
        grid: Data set of the stays.
        options: Of the attack.
    """
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
