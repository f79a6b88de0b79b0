"""From the outcomes of finished shards to the tables of an ``AttackResult``, some thousand stays at a time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from icudl.artifacts import ATTACKED_SCHEMA, PERTURBATIONS_SCHEMA, AttackResult, GridDataset, Schema
from icudl.artifacts.files.stored import TableFile, TableFiles, join_tables, write_table
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.outcome import STATUSES, CellColumns, FurtherTable, ShardOutcome, StayColumns
from icudl.attacks.run.shards import Part, unseen_member

EXAMPLES = ("first", "best")

BLOCK_STAYS = 2048
"""Stays that are put together in memory; more of them go through files."""


def assemble_files(
    paths: Sequence[Path], parts: Sequence[Part], grid: GridDataset, options: AttackOptions, folder: Path
) -> AttackResult:
    """Put the outcomes of all shards together, sorted by stay.

    The tables of few stays are made in memory. Those of many are written block after block, in the order of the stays,
    and joined. Both ways give the same bytes.

    Args:
        paths: The file of each shard.
        parts: The stays of each shard.
        grid: Data set of the stays.
        options: Options of the attack.
        folder: Where to keep the tables of many stays; emptied first.
    """
    rows = np.concatenate([part.rows for part in parts])
    if len(rows) <= BLOCK_STAYS:
        return assemble([ShardOutcome.read(path) for path in paths], grid, options)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    owners = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    order = np.argsort(grid.stay_ids[rows])
    written: dict[str, list[Path]] = {}
    for start in range(0, len(order), BLOCK_STAYS):
        block = order[start : start + BLOCK_STAYS]
        touched = [ShardOutcome.read(paths[owner]).of_stays(rows[block]) for owner in np.unique(owners[block])]
        for name, table in _tables(assemble(touched, grid, options)).items():
            path = folder / f"{name}-{start}.parquet"
            write_table(path, table)
            written.setdefault(name, []).append(path)
    return _result(_join(written, folder), grid, options)


def _tables(result: AttackResult) -> dict[str, pl.DataFrame]:
    curves = {f"curve-{name}": table for name, table in result.curves.items()}
    return {"stays": result.stays, "perturbations": result.perturbations, **curves}


def _join(written: Mapping[str, Sequence[Path]], folder: Path) -> dict[str, TableFile]:
    files: dict[str, TableFile] = {}
    for name, blocks in written.items():
        files[name] = TableFile(folder / f"{name}.parquet")
        join_tables(blocks, files[name].path)
        for block in blocks:
            block.unlink()
    return files


def _result(files: Mapping[str, TableFile], grid: GridDataset, options: AttackOptions) -> AttackResult:
    curves = {name.removeprefix("curve-"): file for name, file in files.items() if name.startswith("curve-")}
    return AttackResult(
        stays=files["stays"],
        perturbations=files["perturbations"],
        curves=TableFiles(curves),
        variables=grid.variables,
        n_hours=grid.values.shape[1],
        threat_model=options.threat_model,
        options=options.to_dict(),
    )


def assemble(parts: Sequence[ShardOutcome], grid: GridDataset, options: AttackOptions) -> AttackResult:
    """Put the outcomes of all shards together in memory.

    Args:
        parts: Outcome of each shard; its rows are positions in ``grid``.
        grid: Data set of the stays.
        options: Options of the attack.
    """
    whole = ShardOutcome.joined(parts)
    return AttackResult(
        stays=_stays_table(whole.stays, grid),
        perturbations=_cells_table(whole.cells, grid),
        curves={name: _further_table(whole.tables[name], grid) for name in sorted(whole.tables)},
        variables=grid.variables,
        n_hours=grid.values.shape[1],
        threat_model=options.threat_model,
        options=options.to_dict(),
    )


def _further_table(table: FurtherTable, grid: GridDataset) -> pl.DataFrame:
    """Return a table of the attack's own, with ``stay_id`` in place of the row."""
    frame = pl.DataFrame({"stay_id": grid.stay_ids[table.row], **table.columns})
    return frame.sort("stay_id", maintain_order=True)


def _stays_table(columns: StayColumns, grid: GridDataset) -> pl.DataFrame:
    rows = columns.row
    frame = pl.DataFrame(
        columns.arrays()
        | {
            "stay_id": grid.stay_ids[rows],
            "label": grid.labels[rows],
            "member": [unseen_member(grid, int(row)) for row in rows],
            "split": ["test" if grid.is_test[row] else "out-of-fold" for row in rows],
            "length": grid.lengths[rows],
            "status": [STATUSES[code].value for code in columns.status],
        }
    )
    iterations = [f"{example}_iteration" for example in EXAMPLES]
    frame = frame.with_columns(
        pl.when(pl.col(name) >= 0).then(pl.col(name)).otherwise(None).alias(name) for name in iterations
    ).with_columns(pl.col(pl.Float64).fill_nan(None))
    return _conform(frame, ATTACKED_SCHEMA).sort("stay_id")


def _cells_table(columns: CellColumns, grid: GridDataset) -> pl.DataFrame:
    frame = pl.DataFrame(
        columns.arrays()
        | {
            "stay_id": grid.stay_ids[columns.row],
            "example": pl.Series([EXAMPLES[code] for code in columns.example], dtype=pl.String),
        }
    )
    return _conform(frame, PERTURBATIONS_SCHEMA).sort("stay_id", "example", "hour", "variable")


def _conform(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
