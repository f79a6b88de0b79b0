"""The extraction against another implementation, row by row: on a synthetic hospital, and on the MIMIC-III demo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pandas_extraction import hourly_means

from icudl.execution.context import RunContext
from icudl.sources.base import WindowOptions
from icudl.sources.mimic3.files import Mimic3Files
from icudl.sources.mimic3.options import Mimic3Options
from icudl.sources.synthetic.source import write_hospital
from icudl.variables import STUDY_VARIABLES

ROUNDING = 1e-6
"""Values are summed as whole millionths of their unit (docs/decisions/0020)."""


def assert_equal(folder: Path, context: RunContext, *, at_least: int, hours: int = 48) -> None:
    source = Mimic3Files(Mimic3Options(path=str(folder)), seed=0)
    ours = source.extract(STUDY_VARIABLES, WindowOptions(hours=hours), context).hours
    theirs = hourly_means(folder, {variable.name: (variable.low, variable.high) for variable in STUDY_VARIABLES}, hours)
    index = {variable.name: position for position, variable in enumerate(STUDY_VARIABLES)}
    theirs = theirs.assign(variable=theirs["variable"].map(index)).sort_values(["stay_id", "hour", "variable"])
    assert ours.height >= at_least
    for column in ("stay_id", "hour", "variable", "count"):
        assert np.array_equal(ours[column].to_numpy(), theirs[column].to_numpy()), column
    assert np.abs(ours["mean"].to_numpy() - theirs["mean"].to_numpy()).max() <= ROUNDING


@pytest.mark.parametrize("hours", [5, 48])
def test_a_synthetic_hospital(hours: int, tmp_path: Path, context: RunContext) -> None:
    write_hospital(tmp_path / "tables", patients=40, seed=11)
    assert_equal(tmp_path / "tables", context, at_least=1000, hours=hours)


@pytest.mark.data
def test_the_demo(data_folder: Path, context: RunContext) -> None:
    assert_equal(data_folder / "mimic-iii-demo-1.4", context, at_least=28_000)
