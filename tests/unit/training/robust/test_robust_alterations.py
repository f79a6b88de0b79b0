"""Records altered at random: only charted cells, only plausible numbers, and as often as the options say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icudl.preprocessing.mistakes import NEIGHBOURS
from icudl.training.robust.alterations import altered, with_mistakes
from icudl.training.robust.options import RobustOptions
from icudl.variables import STUDY_VARIABLES, Variable

LOW = np.array([variable.low for variable in STUDY_VARIABLES])
HIGH = np.array([variable.high for variable in STUDY_VARIABLES])
PLACE = {variable.name: index for index, variable in enumerate(STUDY_VARIABLES)}


def _records(seed: int, n_stays: int = 4, n_hours: int = 6):
    """Draw plausible records of which some hours are not charted, and how many entries stand behind each mean."""
    rng = np.random.default_rng(seed)
    shape = (n_stays, n_hours, len(STUDY_VARIABLES))
    values = np.round(LOW + rng.random(shape) * (HIGH - LOW), 1).clip(LOW, HIGH).astype(np.float32)
    counts = rng.integers(1, 4, shape).astype(np.uint16)
    gaps = rng.random(shape) < 0.4
    values[gaps], counts[gaps] = np.nan, 0
    return values, counts


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), rate=st.floats(0.01, 1.0))
def test_a_wrong_entry_stays_plausible_and_charted(seed, rate):
    values, counts = _records(seed)
    before = values.copy()
    changed = with_mistakes(values, counts, STUDY_VARIABLES, rate, np.random.default_rng(seed))
    assert np.array_equal(values, before, equal_nan=True)
    assert np.array_equal(np.isnan(changed), np.isnan(values))
    # One of k entries moves the mean by a k-th of what lies between it and the ends of the plausible range.
    entries = np.maximum(counts, 1)
    least, most = values + (LOW - values) / entries, values + (HIGH - values) / entries
    charted = ~np.isnan(values)
    slack = 1e-5 * np.abs(values) + 1e-5
    assert (changed >= least - slack)[charted].all()
    assert (changed <= most + slack)[charted].all()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), value=st.floats(0.0, 0.9), variable=st.floats(0.0, 0.9))
def test_dropout_takes_values_away_and_changes_none(seed, value, variable):
    values, counts = _records(seed)
    options = RobustOptions(value_dropout=value, variable_dropout=variable)
    kept = altered(values, counts, STUDY_VARIABLES, options, np.random.default_rng(seed))
    still = ~np.isnan(kept)
    assert np.array_equal(kept[still], values[still])
    assert not (still & np.isnan(values)).any()


def test_rates_are_those_of_the_options():
    values, counts = _records(0, n_stays=400)
    charted = ~np.isnan(values)
    counts[charted] = 1
    rng = np.random.default_rng(1)
    kept = altered(values, counts, STUDY_VARIABLES, RobustOptions(value_dropout=0.3), rng)
    assert np.isnan(kept[charted]).mean() == pytest.approx(0.3, abs=0.01)
    kept = altered(values, counts, STUDY_VARIABLES, RobustOptions(variable_dropout=0.2), rng)
    gone = np.isnan(kept).all(axis=1) & charted.any(axis=1)
    assert gone.mean() == pytest.approx(0.2, abs=0.02)
    assert np.array_equal(~np.isnan(kept), charted & ~gone[:, None])
    some = with_mistakes(values, counts, STUDY_VARIABLES, 0.1, rng)
    every = with_mistakes(values, counts, STUDY_VARIABLES, 1.0, rng)
    able = (every != values)[charted].mean()
    assert (some != values)[charted].mean() == pytest.approx(0.1 * able, abs=0.02)


def test_an_hour_with_more_entries_is_wrong_more_often_and_by_less():
    values = np.full((3000, 1, 1), 140.0, np.float32)
    sodium = (STUDY_VARIABLES[PLACE["sodium"]],)
    one, three = (np.full(values.shape, k, np.uint16) for k in (1, 3))
    changed = with_mistakes(values, three, sodium, 0.1, np.random.default_rng(0))
    assert (changed != 140).mean() == pytest.approx(1 - 0.9**3, abs=0.02)
    sizes = {float(value) for value in np.unique(changed)}
    alone = {float(value) for value in np.unique(with_mistakes(values, one, sodium, 0.1, np.random.default_rng(0)))}
    # 140 reads 104, the only mistake that stays plausible.
    assert alone == {140.0, 104.0}
    assert sizes == {140.0, 128.0}


def test_exchanged_fields_exchange_both_values():
    names = NEIGHBOURS[0]
    pair = tuple(STUDY_VARIABLES[PLACE[name]] for name in names)
    # No other mistake keeps these plausible in ranges that hold nothing but the two values.
    pair = tuple(
        Variable(name=each.name, label=each.label, unit=each.unit, low=70.5, high=88.5, group=each.group)
        for each in pair
    )
    values = np.array([[[88.0, 71.0]]] * 200, np.float32)
    changed = with_mistakes(values, np.ones(values.shape, np.uint16), pair, 0.5, np.random.default_rng(0))
    rows = {tuple(row) for row in changed[:, 0].tolist()}
    assert rows == {(88.0, 71.0), (71.0, 88.0)}


def test_the_same_stream_gives_the_same_records():
    values, counts = _records(3)
    options = RobustOptions(error_rate=0.3, value_dropout=0.2, variable_dropout=0.1)
    once, again, other = (
        altered(values, counts, STUDY_VARIABLES, options, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert once.tobytes() == again.tobytes()
    assert once.tobytes() != other.tobytes()
