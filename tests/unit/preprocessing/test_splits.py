"""Division by patient."""

from __future__ import annotations

import numpy as np
import pytest

from icudl.errors import ConfigError, StageError
from icudl.preprocessing.splits import SplitOptions, split_patients


def _split(patients, labels, sets=None, seed=0, **options):
    sets = ("",) * len(patients) if sets is None else sets
    return split_patients(
        np.asarray(patients), np.asarray(labels), tuple(sets), SplitOptions(**options), np.random.default_rng(seed)
    )


def test_one_stay_per_patient_is_divided_exactly():
    labels = np.repeat([1, 0], [20, 180])
    is_test, folds = _split(np.arange(200), labels, test_fraction=0.2, folds=4)
    assert (is_test.sum(), labels[is_test].sum()) == (40, 4)
    assert [int((folds == fold).sum()) for fold in range(4)] == [40] * 4
    assert [int(labels[folds == fold].sum()) for fold in range(4)] == [4] * 4
    assert (folds[is_test] == -1).all()
    assert (folds[~is_test] >= 0).all()


def test_many_stays_of_few_patients_do_not_pile_up_in_one_fold():
    stays_of = [12, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3]
    patients = np.repeat(np.arange(16), stays_of)
    labels = (patients % 4 == 1).astype(int)
    _, folds = _split(patients, labels, test_fraction=0.0, folds=2)
    sizes = [int((folds == fold).sum()) for fold in range(2)]
    assert max(sizes) - min(sizes) <= 1


def test_the_seed_decides():
    labels = np.arange(100) % 5 == 0
    first, again, other = (_split(np.arange(100), labels, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_the_demo_s_size_can_be_divided():
    labels = np.repeat([1, 0], [26, 45])
    is_test, folds = _split(np.arange(71), labels)
    assert sorted(int(labels[folds == fold].sum()) for fold in range(5)) == [4, 4, 4, 4, 5]
    assert labels[is_test].sum() == 5


def test_test_sets_are_held_out_whole_with_every_stay_of_their_patients():
    sets = ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    patients = list(range(10, 20)) + list(range(20, 30)) + list(range(30, 40))
    patients[0] = 35  # also has a stay in set c
    labels = [0, 1] * 15
    for order in (np.arange(30), np.arange(30)[::-1]):
        ordered = (np.asarray(column)[order].tolist() for column in (patients, labels, sets))
        is_test, folds = _split(*ordered, test_sets=("c",), folds=2)
        assert sorted(order[is_test].tolist()) == [0, *range(20, 30)]
        assert set(folds[~is_test]) == {0, 1}


@pytest.mark.parametrize(("patients", "labels", "options", "message"), [
    (range(6), [1, 1, 1, 0, 0, 0], {"folds": 5, "test_fraction": 0.0}, "patients who died; 3 are left.*at most 3"),
    (range(7), [1, 1, 0, 0, 0, 0, 0], {"folds": 3, "test_fraction": 0.0}, "patients who died; 2 are left.*at most 2"),
    (range(9), [1] * 8 + [0], {"folds": 2, "test_fraction": 0.0}, "who survived; 1 are left.*more data"),
    (range(9), [0] * 9, {"folds": 2}, "who died; 0 are left"),
    ([1, 1, 1, 2, 3], [1, 1, 1, 0, 0], {"folds": 2, "test_fraction": 0.0}, "who died; 1 are left"),
])  # fmt: skip
def test_too_little_to_divide_is_said(patients, labels, options, message):
    with pytest.raises(StageError, match=message):
        _split(list(patients), labels, **options)


def test_unknown_or_one_sided_test_sets_are_refused():
    sets = ["set-a"] * 8 + ["set-b"] * 2
    labels = [0, 1] * 4 + [0, 0]
    with pytest.raises(ConfigError, match=r"'set-c'.*Did you mean 'set-[ab]'"):
        _split(range(10), labels, sets, test_sets=("set-c",), folds=2)
    with pytest.raises(StageError, match="number 2 with 0 deaths"):
        _split(range(10), labels, sets, test_sets=("set-b",), folds=2)


def test_as_many_folds_as_patients_who_died_are_enough():
    labels = [1, 1, 1, 0, 0, 0, 0]
    assert set(_split(range(7), labels, test_fraction=0.0, folds=3)[1].tolist()) == {0, 1, 2}
    with pytest.raises(StageError, match="who died; 3 are left"):
        _split(range(7), labels, test_fraction=0.0, folds=4)
