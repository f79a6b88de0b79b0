"""An attack on many stays: in blocks, through files, from a mapped data set; the bytes are those of one in memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from attack_cases import attack_and_die_once, make_case
from icudl.artifacts import AttackResult, GridDataset
from icudl.artifacts.files.stored import ROW_GROUP, TableFile, forget_pages, join_tables, map_arrays, write_table
from icudl.attacks.options import AttackOptions, GreedyOptions, ProjectedGradientOptions, SweepOptions
from icudl.attacks.run import assembly, runner
from icudl.errors import StoreError
from icudl.execution.base import JOBS_AHEAD
from icudl.execution.context import RunContext
from icudl.execution.pool.executor import ProcessExecutor
from icudl.stages.attack import attack

SMALL = GreedyOptions(iterations=20, batch_size=7)


def written(result: AttackResult, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    result.write(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    "options",
    [SMALL, ProjectedGradientOptions(iterations=3, batch_size=7), SweepOptions(batch_size=7)],
    ids=lambda options: options.name,
)
@pytest.mark.parametrize("shuffled", [pytest.param(False, marks=pytest.mark.slow), True], ids=["sorted", "shuffled"])
def test_blocks_give_the_same_bytes(
    options: AttackOptions, shuffled: bool, context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, training = make_case(40, wrong=3)
    if shuffled:
        ids = np.random.default_rng(0).permutation(grid.stay_ids)
        grid = dataclasses.replace(grid, stays=grid.stays.with_columns(pl.Series("stay_id", ids)))
    whole = written(attack(grid, training, options, context), tmp_path / "whole")
    monkeypatch.setattr(assembly, "BLOCK_STAYS", 9)
    (context.scratch / "tables").mkdir()
    (context.scratch / "tables" / "stays-0.parquet").write_bytes(b"left by a run that was killed")
    result = attack(grid, training, options, context)
    assert isinstance(vars(result)["perturbations"], TableFile)
    assert written(result, tmp_path / "blocks") == whole
    assert sorted(path.name for path in (context.scratch / "tables").iterdir()) == sorted(
        name for name in whole if name.endswith(".parquet")
    )
    assert result.stays["stay_id"].is_sorted()
    again = AttackResult.read(tmp_path / "blocks")
    assert again.perturbations.equals(result.perturbations)
    assert again.ask("stays", lambda stays: stays.select(pl.len())).item() == 40


@pytest.mark.slow  # three workers import torch; the contract of executors loses a worker of plain jobs
def test_a_lost_worker_costs_its_shards_and_no_others(
    context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, training = make_case(40, wrong=3)
    expected = written(attack(grid, training, SMALL, context), tmp_path / "expected")
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    monkeypatch.setenv("ICUDL_TEST_LEDGER", str(ledger))
    monkeypatch.setattr(runner, "attack_shard", attack_and_die_once)
    pooled = dataclasses.replace(context, scratch=tmp_path / "pooled", executor=ProcessExecutor(2))
    pooled.scratch.mkdir()
    monkeypatch.setattr(assembly, "BLOCK_STAYS", 9)
    assert written(attack(grid, training, SMALL, pooled), tmp_path / "found") == expected
    n_shards = len(list(pooled.scratch.glob("attack-*.safetensors")))
    begun = [path.read_text("utf-8").count("begun") for path in ledger.glob("shard-*")]
    assert len(begun) == n_shards
    assert sorted(begun)[-1] == 2
    assert sum(begun) <= n_shards + 2 * JOBS_AHEAD, "finished shards were computed again"


def test_a_table_of_several_row_groups_is_the_same_piece_by_piece(tmp_path: Path) -> None:
    n_rows = 2 * ROW_GROUP + 5
    rng = np.random.default_rng(1)
    table = pl.DataFrame(
        {
            "key": np.arange(n_rows),
            "value": rng.random(n_rows),
            "word": ["a", "b", None, "d", "e"] * (n_rows // 5) + ["x"] * (n_rows % 5),
        }
    )
    write_table(tmp_path / "whole.parquet", table)
    parts = []
    for start in range(0, n_rows, 50_001):
        parts.append(tmp_path / f"{start}.parquet")
        write_table(parts[-1], table[start : start + 50_001])
    join_tables(parts, tmp_path / "joined.parquet")
    assert (tmp_path / "joined.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_mapped_data_set_equals_the_one_in_memory(context: RunContext, tmp_path: Path) -> None:
    grid, training = make_case(30)
    grid.write(tmp_path)
    mapped = GridDataset.read(tmp_path)
    for field in dataclasses.fields(GridDataset):
        before, after = getattr(grid, field.name), getattr(mapped, field.name)
        if isinstance(before, np.ndarray):
            assert after.dtype == before.dtype
            np.testing.assert_array_equal(after, before)
            assert after.flags.writeable == (field.name not in {"values", "counts"})
    other = dataclasses.replace(context, scratch=tmp_path / "scratch")
    expected = written(attack(grid, training, SMALL, context), tmp_path / "expected")
    assert written(attack(mapped, training, SMALL, other), tmp_path / "found") == expected
    forget_pages(mapped.values)
    np.testing.assert_array_equal(mapped.values, grid.values)


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 64, (4).to_bytes(8, "little") + b"nope"])
def test_what_is_no_safetensors_file(content: bytes, tmp_path: Path) -> None:
    make_case(12)[0].write(tmp_path)
    (tmp_path / "grid.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r".") as caught:
        map_arrays(tmp_path / "grid.safetensors")
    assert caught.value.args
    with pytest.raises(StoreError, match="cannot be read as safetensors"):
        GridDataset.read(tmp_path)


def test_what_is_no_table(context: RunContext, tmp_path: Path) -> None:
    attack(*make_case(12), SMALL, context).write(tmp_path)
    (tmp_path / "stays.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="cannot be read as Parquet"):
        AttackResult.read(tmp_path)
