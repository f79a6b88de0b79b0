"""An artifact that is read is the one that was written, and the same value has the same bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from drawn_artifacts import ARTIFACTS, assert_same, checkpoints, frames, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icudl.artifacts import (
    CLEANING_SCHEMA,
    HISTORY_SCHEMA,
    HOURS_SCHEMA,
    STAYS_SCHEMA,
    Checkpoint,
    GridDataset,
    SourceTables,
    network_histories,
)
from training_grids import make_grid

FEW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("kind", ARTIFACTS)
@given(data=st.data())
@FEW
def test_what_is_read_is_what_was_written(kind: str, data: st.DataObject) -> None:
    artifact = data.draw(ARTIFACTS[kind])
    with tempfile.TemporaryDirectory() as name:
        first = written(artifact.write, Path(name) / "first")
        again = type(artifact).read(Path(name) / "first")
        # First the bytes: a table that was not asked for is written from its file, one that was from memory.
        assert written(again.write, Path(name) / "unread") == first
        assert_same(artifact, again)
        assert written(again.write, Path(name) / "compared") == first


@given(checkpoint=checkpoints())
@FEW
def test_a_checkpoint_is_read_by_the_text_of_its_member(checkpoint: Checkpoint) -> None:
    with tempfile.TemporaryDirectory() as name:
        checkpoint.write(Path(name))
        assert_same(checkpoint, Checkpoint.read_member(Path(name), str(checkpoint.member)))


def test_the_large_arrays_of_a_grid_that_was_read_cannot_be_written_to(tmp_path: Path) -> None:
    make_grid(12).write(tmp_path)
    again = GridDataset.read(tmp_path)
    for array in (again.values, again.counts):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


@given(
    hours=frames(HOURS_SCHEMA, nulls=False),
    seed=st.integers(0, 2**32 - 1),
)
@FEW
def test_tables_of_a_source_are_in_order_however_their_rows_come(hours: pl.DataFrame, seed: int) -> None:
    keys = ["stay_id", "hour", "variable"]
    hours = hours.unique(keys)
    order = np.random.default_rng(seed).permutation(hours.height)
    tables = SourceTables(
        stays=pl.DataFrame({"stay_id": [3, 1, 2]}).pipe(_with_nulls),
        hours=hours[order],
        cleaning=pl.DataFrame(
            [("ph", "b", 1), ("bun", "z", 2), ("ph", "a", 3)], schema=dict(CLEANING_SCHEMA), orient="row"
        ),
        variables=(),
        window_hours=1,
        population="made up",
    )
    assert tables.stays["stay_id"].to_list() == [1, 2, 3]
    assert tables.hours.equals(hours.sort(keys))
    assert tables.cleaning["rows"].to_list() == [2, 3, 1]


def _with_nulls(known: pl.DataFrame) -> pl.DataFrame:
    columns = [
        pl.lit(None, dtype).alias(name) if name not in known.columns else pl.col(name).cast(dtype)
        for name, dtype in STAYS_SCHEMA.items()
    ]
    return known.select(columns)


def test_each_network_has_its_history_the_final_member_first() -> None:
    rows = [
        ("fold-10", 0, 2, 0.1),
        ("fold-2", 1, 1, 0.2),
        ("fold-2", 0, 1, 0.3),
        ("fold-10", 0, 1, 0.4),
        ("final", 0, 1, 0.5),
    ]
    columns = {"member": pl.String, "network": pl.Int16, "epoch": pl.Int32, "train_loss": pl.Float64}
    history = pl.DataFrame(rows, schema=columns, orient="row")
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in HISTORY_SCHEMA.items() if name not in columns]
    found = network_histories(history.with_columns(missing))
    assert {name: part["train_loss"].to_list() for name, part in found.items()} == {
        "final": [0.5],
        "fold-2, network 0": [0.3],
        "fold-2, network 1": [0.2],
        "fold-10": [0.4, 0.1],
    }
    assert list(found) == ["final", "fold-2, network 0", "fold-2, network 1", "fold-10"]
