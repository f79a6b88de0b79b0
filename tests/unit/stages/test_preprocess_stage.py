"""The stage as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from icudl.artifacts import GridDataset
from icudl.errors import StageError
from icudl.preprocessing.cohort import CohortOptions
from icudl.preprocessing.splits import Role, SplitOptions
from icudl.stages.preprocess import preprocess, static_descriptors
from tables_by_hand import stay, tables


def _stays():
    return [stay(k, died=k % 3 == 0, stay_hours=40.0 + k) for k in range(1, 31)]


def test_the_grid_holds_what_the_tables_say(context):
    grid = preprocess(tables(_stays()), CohortOptions(min_stay_hours=41), SplitOptions(folds=3), context)
    assert grid.values.shape == (30, 48, 2)
    assert grid.lengths.tolist() == [min(48, 40 + k) for k in range(1, 31)]
    assert grid.labels.tolist() == [int(k % 3 == 0) for k in range(1, 31)]
    assert (grid.values[:, 0, 0] == 80).all()
    assert np.isnan(grid.values).sum() == 30 * 48 * 2 - 30
    assert grid.stay_ids.tolist() == list(range(1, 31))
    assert grid.n_folds == 3
    assert grid.flow["stays"].to_list()[-1] == 30


def test_the_same_inputs_give_the_same_bytes(context, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        preprocess(tables(_stays()), CohortOptions(), SplitOptions(), context).write(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == ["flow.parquet", "grid.json", "grid.safetensors", "stays.parquet"]
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    again = GridDataset.read(tmp_path / "first")
    assert again.static_names == ("age_years", "sex_male", "height_cm", "weight_kg")


def test_every_stay_of_an_external_data_set_is_held_out(context):
    unreachable = SplitOptions(folds=100, test_sets=("no such set",))
    external = preprocess(tables(_stays()), CohortOptions(), unreachable, context, role="external")
    main = preprocess(tables(_stays()), CohortOptions(), SplitOptions(folds=3), context)
    assert external.is_test.all()
    assert external.is_test.shape == main.is_test.shape
    assert (external.folds == -1).all()
    assert external.folds.dtype == main.folds.dtype
    np.testing.assert_array_equal(external.values, main.values)
    assert external.flow.equals(main.flow)


def test_an_external_data_set_may_hold_survivors_only(context):
    stays = [stay(k) for k in range(1, 4)]
    assert preprocess(tables(stays), CohortOptions(), SplitOptions(), context, Role.EXTERNAL).labels.sum() == 0
    with pytest.raises(StageError):
        preprocess(tables(stays), CohortOptions(), SplitOptions(), context, Role.MAIN)


def test_the_grid_says_whose_patients_it_holds(context):
    found = tables(_stays())
    for role in Role:
        assert preprocess(found, CohortOptions(), SplitOptions(), context, role).population == found.population


def test_static_descriptors():
    stays = [
        stay(1, age_years=70.5, sex="M", icu_type="MICU", height_cm=170.0),
        stay(2, age_years=None, sex="F", icu_type="CCU", weight_kg=61.5),
        stay(3, sex=None),
    ]
    values, names = static_descriptors(tables(stays).stays)
    assert names == ("age_years", "sex_male", "height_cm", "weight_kg", "icu_type=CCU", "icu_type=MICU")
    nan = np.nan
    np.testing.assert_array_equal(
        values, np.array([[70.5, 1, 170, nan, 0, 1], [nan, 0, nan, 61.5, 1, 0], [60, nan, nan, nan, nan, nan]], "f4")
    )
