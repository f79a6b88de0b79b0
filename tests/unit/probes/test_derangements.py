"""Derangements: the data are sound, and a deranged record differs from the real one where it should only."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icudl.probes.derangements import COURSES, Change, battery, concerned_cells, deranged
from icudl.sources.physionet2012.parameters import SERIES
from icudl.variables import CATALOGUE, STUDY_NAMES

CHANGE = Change(variable="lactate", normal=1.0, end=10.0)


def test_every_derangement_is_of_a_known_variable_within_its_plausible_range() -> None:
    for each in battery().derangements.values():
        assert each.cited[-4:].isdigit()
        for change in each.changes:
            variable = CATALOGUE[change.variable]
            assert variable.low <= min(change.normal, change.end), each.name
            assert max(change.normal, change.end) <= variable.high, each.name
            assert change.normal != change.end


def test_every_study_variable_has_a_derangement_and_every_other_one_that_lacks_it_a_reason() -> None:
    assert battery().untested(STUDY_NAMES) == ()
    challenge = [name for name in SERIES if name in CATALOGUE]
    assert set(battery().untested(challenge)) <= set(battery().without)


def test_combinations_need_all_of_their_variables() -> None:
    names = {each.name for each in battery().among({"sysbp", "lactate"})}
    assert names == {"sysbp_falls", "lactate_rises", "tissue_hypoperfusion"}
    assert battery().derangements["tissue_hypoperfusion"].paired


@st.composite
def records(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, hours = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    values = rng.uniform(0.5, 5, (n, hours, 2)).astype(np.float32)
    values[rng.random(values.shape) < 0.4] = np.nan
    lengths = rng.integers(1, hours + 1, n)
    values[np.arange(hours) >= lengths[:, None]] = np.nan
    return values, lengths, draw(st.integers(1, 10))


@settings(deadline=None)
@given(records(), st.sampled_from(COURSES), st.floats(0, 1))
def test_only_charted_values_of_the_last_hours_change(
    record: tuple[np.ndarray, np.ndarray, int], course: str, level: float
) -> None:
    values, lengths, hours = record
    before = values.copy()
    after = deranged(values, lengths, CHANGE, 1, level=level, course=course, hours=hours)
    assert np.array_equal(values, before, equal_nan=True)
    assert np.array_equal(np.isnan(after), np.isnan(values))
    assert np.array_equal(after[:, :, 0], values[:, :, 0], equal_nan=True)
    cells = concerned_cells(values, lengths, 1, hours)
    assert np.array_equal(after[:, :, 1][~cells], values[:, :, 1][~cells], equal_nan=True)
    changed = after[:, :, 1][cells]
    assert ((changed >= CHANGE.normal - 1e-5) & (changed <= np.float32(CHANGE.at(level)) + 1e-5)).all()
    if course == "held":
        assert np.allclose(changed, CHANGE.at(level))


def test_a_worsening_is_a_straight_line_to_the_last_hour_of_the_stay() -> None:
    values = np.full((1, 6, 1), 3, np.float32)
    values[0, 5] = np.nan
    change = dataclasses.replace(CHANGE, normal=0.0, end=8.0)
    after = deranged(values, np.array([5]), change, 0, level=0.5, course="worsening", hours=4)
    assert after[0, :5, 0].tolist() == pytest.approx([3, 1, 2, 3, 4])
