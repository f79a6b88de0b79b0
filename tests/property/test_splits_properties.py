"""What must hold of every division into test stays and folds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from icudl.preprocessing.splits import SplitOptions, split_patients


@st.composite
def cohorts(draw):
    """Patients with one to six stays, enough of either outcome."""
    n_died, n_survived = draw(st.integers(8, 20)), draw(st.integers(8, 60))
    stays_of = draw(st.lists(st.integers(1, 6), min_size=n_died + n_survived, max_size=n_died + n_survived))
    ids = np.array(draw(st.permutations(range(1000, 1000 + n_died + n_survived))))
    patients = np.repeat(ids, stays_of)
    last = np.cumsum(stays_of) - 1  # a patient dies in the last stay
    labels = np.zeros(patients.size, np.int8)
    labels[last[:n_died]] = 1
    return patients, labels


@given(
    cohort=cohorts(), folds=st.integers(2, 5), fraction=st.sampled_from([0.0, 0.1, 0.25]), seed=st.integers(0, 2**32)
)
def test_invariants(cohort, folds, fraction, seed):
    patients, labels = cohort
    options = SplitOptions(folds=folds, test_fraction=fraction)
    sets = ("",) * patients.size
    is_test, fold = split_patients(patients, labels, sets, options, np.random.default_rng(seed))
    # Every stay exactly once, every patient on one side.
    assert np.array_equal(fold == -1, is_test)
    assert set(fold[~is_test]) == set(range(folds))
    for patient in np.unique(patients):
        assert np.unique(fold[patients == patient]).size == 1
    # Each part has its share of patients of either outcome, to within the largest patient.
    died = np.array([labels[patients == patient].any() for patient in np.unique(patients)])
    side = np.array([fold[patients == patient][0] for patient in np.unique(patients)])
    for outcome in (True, False):
        of_outcome = side[died == outcome]
        drawn = int((of_outcome == -1).sum())
        assert drawn == (max(1, round(fraction * of_outcome.size)) if fraction else 0)
        stays = [
            int(np.isin(patients, np.unique(patients)[(died == outcome) & (side == k)]).sum()) for k in range(folds)
        ]
        assert max(stays) - min(stays) <= 6
    # The order of the stays does not matter.
    order = np.random.default_rng(0).permutation(patients.size)
    again = split_patients(patients[order], labels[order], sets, options, np.random.default_rng(seed))
    assert np.array_equal(again[0], is_test[order])
    assert np.array_equal(again[1], fold[order])
