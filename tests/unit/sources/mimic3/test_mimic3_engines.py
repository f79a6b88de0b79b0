"""CSV, CSV.gz, Parquet and PostgreSQL give the same source tables and the same grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mimic3_tables import read
from test_mimic3_files import assert_identical
from test_mimic3_postgres import read_database

from icudl.artifacts import GridDataset, SourceTables
from icudl.execution.context import RunContext, SilentProgress
from icudl.preprocessing.cohort import CohortOptions
from icudl.preprocessing.splits import SplitOptions
from icudl.sources.mimic3.load import load_release
from icudl.sources.synthetic.source import write_hospital
from icudl.stages.preprocess import preprocess


def grid_of(tables: SourceTables, context: RunContext) -> GridDataset:
    return preprocess(tables, CohortOptions(), SplitOptions(folds=2), context)


def assert_same_grid(one: GridDataset, other: GridDataset) -> None:
    for name in ("values", "counts", "lengths", "labels", "statics", "is_test", "folds"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert one.stays.equals(other.stays)
    assert one.flow.equals(other.flow)


def test_synthetic_hospital_from_every_engine(
    tmp_path: Path,
    context: RunContext,
    database: str,
    schema: str,
) -> None:
    folders = {}
    for file_format in ("csv", "csv.gz", "parquet"):
        folders[file_format] = tmp_path / file_format
        write_hospital(folders[file_format], 120, 5, file_format=file_format)
    reference = read(folders["csv"], context)
    grid = grid_of(reference, context)
    assert np.isfinite(grid.values).any(axis=(0, 1)).all()
    load_release(folders["csv.gz"], database, schema, SilentProgress())
    others = [read(folders[name], context) for name in ("csv.gz", "parquet")]
    others.append(read_database(database, schema, context))
    for tables in others:
        assert_identical(reference, tables)
        assert_same_grid(grid, grid_of(tables, context))


@pytest.mark.data
def test_demo_from_every_engine(
    tmp_path: Path,
    context: RunContext,
    database: str,
    schema: str,
    data_folder: Path,
) -> None:
    folder = data_folder / "mimic-iii-demo-1.4"
    loaded = load_release(folder, database, schema, SilentProgress())
    assert loaded.release == "MIMIC-III Clinical Database Demo v1.4"
    assert loaded.rows["chartevents"] == 758_355
    reference = read(folder, context)
    tables = read_database(database, schema, context)
    assert_identical(reference, tables)
    assert_same_grid(grid_of(reference, context), grid_of(tables, context))
