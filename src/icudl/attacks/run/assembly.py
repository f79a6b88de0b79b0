"""From the files of finished shards to an ``AttackResult``, without holding more than some thousand stays."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import AttackResult, GridDataset
from icudl.artifacts.stored import TableFile, TableFiles, join_tables, write_table
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.division import Part
from icudl.attacks.run.outcome import ShardArrays
from icudl.attacks.run.shard_file import read_shard
from icudl.attacks.run.tables import assemble

BLOCK_STAYS = 2048
"""Stays put together at a time; more of them go through files."""


def assemble_files(
    paths: Sequence[Path], parts: Sequence[Part], grid: GridDataset, options: AttackOptions, folder: Path
) -> AttackResult:
    """Put the results of all shards together, sorted by stay.

    The tables of few stays are made in memory. Those of many are written block after block, in the order of the stays,
    and joined; both ways give the same bytes.

    Args:
        paths: File of each shard.
        parts: Stays of each shard.
        grid: Data set of the stays.
        options: Of the attack.
        folder: Where to keep the tables of many stays; emptied first.
    """
    rows = np.concatenate([part.rows for part in parts])
    if len(rows) <= BLOCK_STAYS:
        return assemble([read_shard(path) for path in paths], grid, options)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    owners = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    order = np.argsort(grid.stay_ids[rows])
    written: dict[str, list[Path]] = {}
    for start in range(0, len(order), BLOCK_STAYS):
        block = order[start : start + BLOCK_STAYS]
        touched = [_only(read_shard(paths[owner]), rows[block]) for owner in np.unique(owners[block])]
        for name, table in _tables(assemble(touched, grid, options)).items():
            path = folder / f"{name}-{start}.parquet"
            write_table(path, table)
            written.setdefault(name, []).append(path)
    return _result(_join(written, folder), grid, options)


def _only(arrays: ShardArrays, rows: npt.NDArray[np.int64]) -> ShardArrays:
    """Return the entries of a shard that belong to the stays at ``rows``."""
    kept: dict[str, npt.NDArray[np.bool_]] = {}
    chosen: ShardArrays = {}
    for name, array in arrays.items():
        table = name.rpartition(".")[0]
        if table not in kept:
            kept[table] = np.isin(arrays[f"{table}.row"], rows)
        chosen[name] = array[kept[table]]
    return chosen


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
