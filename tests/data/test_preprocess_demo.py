"""The preprocess stage on the MIMIC-III demo: the counts of the data set's own account."""

from __future__ import annotations

import shutil

import numpy as np
import polars as pl
import pytest

from icudl.preprocessing.cohort import CohortOptions, select_cohort
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on, prepare_inputs, select_statics
from icudl.preprocessing.splits import SplitOptions
from icudl.sources.base import WindowOptions
from icudl.sources.mimic3.files import Mimic3Files
from icudl.sources.mimic3.options import Mimic3Options
from icudl.stages.preprocess import preprocess
from icudl.variables import STUDY_NAMES, select

pytestmark = pytest.mark.data


@pytest.fixture
def demo(data_folder, context):
    source = Mimic3Files(Mimic3Options(path=str(data_folder / "mimic-iii-demo-1.4")), 0)
    return source.extract(select(STUDY_NAMES), WindowOptions(), context)


def test_the_attrition_table(demo):
    _, flow = select_cohort(demo, CohortOptions())
    assert flow.select("stays", "patients", "deaths").rows()[:2] == [(136, 100, 46), (135, 99, 46)]
    assert flow.select("criterion", "removed", "stays", "deaths").rows()[2:] == [
        ("ICU stay of at least 48 h", 63, 72, 27),
        ("alive at hour 48", 1, 71, 26),
        ("at least 1 hourly value charted in the window", 0, 71, 26),
    ]
    assert flow["patients"][2] == 56
    first, flow = select_cohort(demo, CohortOptions(first_stay_only=True))
    assert (first.height, flow["deaths"][-1]) == (51, 17)


def test_the_grid_and_its_inputs(demo, context):
    grid = preprocess(demo, CohortOptions(), SplitOptions(), context)
    assert grid.values.shape == (71, 48, 19)
    assert np.array_equal(np.isnan(grid.values), grid.counts == 0)
    for j, variable in enumerate(grid.variables):
        measured = grid.values[..., j][grid.counts[..., j] > 0]
        assert measured.size
        assert measured.min() >= np.float32(variable.low)
        assert measured.max() <= np.float32(variable.high)
    row = int(np.flatnonzero(grid.stay_ids == 268282)[0])
    assert not grid.counts[row, :, 13:].any(), "stay 268282 has labs but no charted vitals"
    assert grid.counts[row, :, :13].any()
    assert grid.n_folds == 5
    for fold in range(5):
        assert 0 < grid.labels[grid.folds == fold].sum() < (grid.folds == fold).sum()
    options = InputOptions(channels=("value", "observed", "hours_since"), statics=("age_years", "icu_type=MICU"))
    scaler = fit_scaler_on(grid, ~grid.is_test, options)
    inputs = prepare_inputs(scaler, options, grid.values, grid.lengths, select_statics(grid, options))
    assert np.isfinite(inputs.unit).all()
    assert np.isfinite(inputs.statics).all()


def _scramble_outside_the_windows(folder, target, name):
    """Copy an event table; values charted outside the first 48 h of every ICU stay become nonsense."""
    columns = {"subject_id", "itemid", "charttime", "valuenum", "error"}
    table = pl.read_csv(folder / f"{name}.csv.gz", infer_schema=False)
    events = table.select(column for column in table.columns if column in columns).with_row_index("row")
    stays = pl.read_csv(folder / "ICUSTAYS.csv.gz", infer_schema=False).select("subject_id", "intime")
    moment, start = (pl.col(column).str.to_datetime() for column in ("charttime", "intime"))
    inside = (
        events.join(stays, on="subject_id")
        .filter((moment >= start) & (moment < start + pl.duration(hours=48)))["row"]
        .unique()
    )
    later = ~pl.col("row").is_in(inside.implode())
    changed = events.with_columns(pl.when(later).then(pl.lit("77")).otherwise("valuenum").alias("valuenum"))
    changed.drop("row").write_csv(target / f"{name}.csv")
    return int(events.height - inside.len())


@pytest.mark.slow  # the demo is extracted once more; tests/meta/test_leakage.py asks the same of made-up stays
def test_nothing_charted_after_the_window_reaches_the_grid(demo, data_folder, context, tmp_path):
    folder, target = data_folder / "mimic-iii-demo-1.4", tmp_path / "scrambled"
    target.mkdir()
    for name in ("PATIENTS", "ADMISSIONS", "ICUSTAYS"):
        shutil.copy(folder / f"{name}.csv.gz", target)
    assert _scramble_outside_the_windows(folder, target, "CHARTEVENTS") > 100_000
    assert _scramble_outside_the_windows(folder, target, "LABEVENTS") > 10_000
    source = Mimic3Files(Mimic3Options(path=str(target)), 0)
    scrambled = source.extract(select(STUDY_NAMES), WindowOptions(), context)
    for part, other in ((demo.stays, scrambled.stays), (demo.hours, scrambled.hours)):
        assert part.equals(other)
