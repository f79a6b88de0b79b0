"""The analyse stage: the same bytes each time, tables that can be read back, and a clear error for a wrong pair."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from susceptibility_cases import random_attack
from training_cases import empty_training

from icudl.analysis.options import AnalysisOptions
from icudl.artifacts import FLOW_SCHEMA, STAYS_SCHEMA, GridDataset, SusceptibilityResult
from icudl.errors import StageError
from icudl.execution.context import RunContext
from icudl.stages.analyse import analyse
from icudl.variables import STUDY_VARIABLES

HOURS, VARIABLES = 6, 3


def grid(hours: int = HOURS) -> GridDataset:
    return GridDataset(
        values=np.zeros((0, hours, VARIABLES), np.float32),
        counts=np.zeros((0, hours, VARIABLES), np.uint16),
        lengths=np.zeros(0, np.int16),
        labels=np.zeros(0, np.int8),
        statics=np.zeros((0, 0), np.float32),
        static_names=(),
        stays=pl.DataFrame(schema=STAYS_SCHEMA),
        is_test=np.zeros(0, bool),
        folds=np.zeros(0, np.int8),
        flow=pl.DataFrame(schema=FLOW_SCHEMA),
        variables=STUDY_VARIABLES[:VARIABLES],
        population="synthetic",
    )


def attack():
    return random_attack(np.random.default_rng(5), 50, HOURS, VARIABLES)


def written(result: SusceptibilityResult, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    result.write(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_same_inputs_give_the_same_bytes_and_another_seed_other_intervals(context: RunContext, tmp_path: Path):
    options = AnalysisOptions(bootstrap_samples=30, importance_stays=0)
    one = analyse(grid(), empty_training(), attack(), options, context)
    two = analyse(grid(), empty_training(), attack(), options, context)
    assert written(one, tmp_path / "one") == written(two, tmp_path / "two")
    other = analyse(grid(), empty_training(), attack(), options, dataclasses.replace(context, seed=8))
    assert not one.tables["variables"].equals(other.tables["variables"])
    assert one.tables["cells"].equals(other.tables["cells"])


def test_order_of_the_rows_of_the_attack_does_not_matter(context: RunContext):
    given = attack()
    shuffled = dataclasses.replace(
        given,
        stays=given.stays.sample(fraction=1, shuffle=True, seed=1),
        perturbations=given.perturbations.sample(fraction=1, shuffle=True, seed=2),
    )
    options = AnalysisOptions(bootstrap_samples=10, importance_stays=0)
    one = analyse(grid(), empty_training(), given, options, context)
    two = analyse(grid(), empty_training(), shuffled, options, context)
    for name, table in one.tables.items():
        assert table.equals(two.tables[name]), name


def test_tables_survive_writing_and_reading(context: RunContext, tmp_path: Path):
    options = AnalysisOptions(bootstrap_samples=10, importance_stays=0)
    result = analyse(grid(), empty_training(), attack(), options, context)
    written(result, tmp_path / "kept")
    again = SusceptibilityResult.read(tmp_path / "kept")
    assert again.tables.keys() == result.tables.keys()
    assert all(again.tables[name].equals(table) for name, table in result.tables.items())


def test_an_attack_on_another_grid_is_refused(context: RunContext):
    with pytest.raises(StageError, match="6 hours x 3 variables, the grid 4 x 3"):
        analyse(grid(4), empty_training(), attack(), AnalysisOptions(), context)
