"""Nothing a model is fitted on may hold the future, a test stay, or a patient of the other side.

Each of these tests fails when the defect it is named after (numbers 6, 7 and 9 of the original study) is put back.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from icudl.artifacts import GridDataset
from icudl.preprocessing.cohort import CohortOptions
from icudl.preprocessing.scaling import FeatureScaler, InputOptions, fit_scaler_on, prepare_inputs, select_statics
from icudl.preprocessing.splits import SplitOptions
from icudl.stages.preprocess import preprocess
from tables_by_hand import stay, tables

WINDOW = 12
ALL = InputOptions(channels=("value", "observed", "hours_since"), statics=("age_years", "weight_kg"))


def _tables(seed=0):
    rng = np.random.default_rng(seed)
    stays = [
        stay(
            k,
            patient_id=k // 2,
            stay_number=1 + k % 2,
            died=k % 6 == 1,
            death_hours=30.0 if k % 6 == 1 else None,
            stay_hours=20.0 + k,
            age_years=20.0 + k,
            weight_kg=None if k % 4 else 50.0 + k,
        )
        for k in range(80)
    ]
    hours = [
        (k, hour, variable, float(rng.normal(80, 10)), int(rng.integers(1, 4)))
        for k in range(80)
        for hour in range(WINDOW)
        for variable in range(2)
        if rng.random() < 0.4
    ]
    return tables(stays, hours, window_hours=WINDOW)


def _inputs_bytes(grid: GridDataset, options: InputOptions = ALL) -> dict[str, bytes]:
    scaler = fit_scaler_on(grid, ~grid.is_test, options)
    inputs = prepare_inputs(scaler, options, grid.values, grid.lengths, select_statics(grid, options))
    arrays = {name: getattr(inputs, name) for name in ("unit", "observed", "hours_since", "statics", "lengths")}
    arrays |= {f"scaler.{name}": getattr(scaler, name) for name in FeatureScaler.ARRAYS}
    arrays |= {name: getattr(grid, name) for name in ("values", "counts", "labels", "is_test", "folds")}
    return {name: array.tobytes() for name, array in arrays.items()}


def test_what_happens_to_a_stay_after_the_window_changes_nothing(context):
    source = _tables()
    later = source.stays.with_columns(
        stay_hours=pl.col("stay_hours") * 3 + 1, death_hours=pl.when(pl.col("died")).then(WINDOW + 0.01)
    )
    changed = tables(later.to_dicts(), source.hours.rows(), window_hours=WINDOW)
    first, second = (preprocess(part, CohortOptions(), SplitOptions(), context) for part in (source, changed))
    assert _inputs_bytes(first) == _inputs_bytes(second)


@pytest.mark.parametrize("method", ["linear", "forward"])
def test_a_longer_window_does_not_change_what_was_filled_in_a_shorter_one(context, method):
    """Cut first, fill afterwards: hours after the cut must not reach back through interpolation."""
    source = _tables()
    cut = WINDOW // 2
    short = tables(source.stays.to_dicts(), [row for row in source.hours.rows() if row[1] < cut], window_hours=cut)
    options, everyone = InputOptions(imputation=method), CohortOptions(min_measured_values=0)
    grid, whole = (preprocess(part, everyone, SplitOptions(), context) for part in (short, source))
    scaler = fit_scaler_on(grid, ~grid.is_test, options)
    none = np.zeros((80, 0), np.float32)
    from_short = prepare_inputs(scaler, options, grid.values, grid.lengths, none)
    from_whole = prepare_inputs(scaler, options, whole.values, np.full(80, cut), none)
    assert np.array_equal(from_short.unit, from_whole.unit[:, :cut])
    assert not from_whole.unit[:, cut:].any()


def test_the_scaler_does_not_see_test_stays(context):
    grid = preprocess(_tables(), CohortOptions(), SplitOptions(), context)
    values, statics = grid.values.copy(), grid.statics.copy()
    values[grid.is_test] = values[grid.is_test] * 50 + 1000
    statics[grid.is_test] = 1e6
    changed = GridDataset(**{**vars(grid), "values": values, "statics": statics})
    for scaling in ("minmax", "standard"):
        options = InputOptions(scaling=scaling, statics=ALL.statics)
        before, after = (fit_scaler_on(part, ~grid.is_test, options) for part in (grid, changed))
        for name in FeatureScaler.ARRAYS:
            assert np.array_equal(getattr(before, name), getattr(after, name)), name


def test_the_scaler_of_a_fold_does_not_see_its_validation_stays(context):
    grid = preprocess(_tables(), CohortOptions(), SplitOptions(), context)
    for fold in range(grid.n_folds):
        training = ~grid.is_test & (grid.folds != fold)
        values = np.where(training[:, None, None], grid.values, np.float32(-7777))
        changed = GridDataset(**{**vars(grid), "values": values})
        before, after = (fit_scaler_on(part, training, ALL) for part in (grid, changed))
        assert all(np.array_equal(getattr(before, name), getattr(after, name)) for name in FeatureScaler.ARRAYS)


def test_a_stay_is_prepared_alike_whoever_lies_beside_it(context):
    grid = preprocess(_tables(), CohortOptions(), SplitOptions(), context)
    scaler = fit_scaler_on(grid, ~grid.is_test, ALL)
    statics = select_statics(grid, ALL)
    together = prepare_inputs(scaler, ALL, grid.values, grid.lengths, statics)
    for k in (0, 7, 79):
        alone = prepare_inputs(scaler, ALL, grid.values[k : k + 1], grid.lengths[k : k + 1], statics[k : k + 1])
        assert np.array_equal(alone.unit[0], together.unit[k])
        assert np.array_equal(alone.statics[0], together.statics[k])


def test_no_patient_lies_on_two_sides(context):
    for seed in range(5):
        grid = preprocess(_tables(seed), CohortOptions(), SplitOptions(test_fraction=0.3, folds=3), context)
        sides = pl.DataFrame({"patient": grid.patient_ids, "side": grid.folds})
        assert sides.group_by("patient").agg(pl.col("side").n_unique())["side"].max() == 1
        assert sides.height > sides["patient"].n_unique(), "every patient has one stay: the test shows nothing"
