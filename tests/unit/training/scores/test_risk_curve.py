"""Isotonic calibration: the fit by hand, and that decisions in risks and in logit differences are the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icudl.training.scores.risk_curve import BEYOND, difference_at, fit_curve, risks_at

STAYS = st.lists(st.tuples(st.integers(-40, 40), st.integers(0, 1)), min_size=2, max_size=60)


def _curve(stays):
    places, labels = np.array(stays).T
    return fit_curve(labels, places / 8), labels, places / 8


def test_blocks_are_pooled_by_hand():
    """Deaths at 2 and 4 of four stays: the death at 2 and the survivor at 3 are out of order, and share their mean."""
    curve = fit_curve(np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 3.0, 4.0]))
    low, high = 1 / 4, 3 / 4
    assert curve.tolist() == [[1.0, 2.0, 3.0, 4.0], [low, 0.5, 0.5, high]]
    assert risks_at(curve, np.array([-9.0, 1.5, 2.2, 9.0])).tolist() == [low, 0.375, 0.5, high]
    assert np.isnan(risks_at(curve, np.array([np.nan]))).all()


def test_a_risk_that_all_stays_have_decides_for_all_of_them():
    curve = fit_curve(np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 3.0, 4.0]))
    lowest, highest = curve[1][0], curve[1][-1]
    assert difference_at(curve, lowest) == -BEYOND
    assert difference_at(curve, highest) == 4.0
    assert difference_at(curve, np.nextafter(highest, 1)) == BEYOND


def test_inner_points_of_a_level_piece_are_left_out():
    curve = fit_curve(np.array([0, 0, 0, 0, 1, 1]), np.arange(6.0))
    assert curve[0].tolist() == [0.0, 3.0, 4.0, 5.0]


def test_one_class_has_no_curve():
    assert fit_curve(np.zeros(4, int), np.arange(4.0)) is None


@settings(deadline=None, max_examples=80)
@given(STAYS, st.floats(0.0, 1.0))
def test_deciding_by_risk_is_deciding_by_difference(stays, threshold):
    curve, _, _ = _curve(stays)
    if curve is None:
        return
    assert (np.diff(curve[0]) > 0).all()
    assert (np.diff(curve[1]) >= 0).all()
    assert 0 < curve[1][0] <= curve[1][-1] < 1
    where = difference_at(curve, threshold)
    grid = np.linspace(-6, 6, 97)
    near = np.abs(grid - where) < 1e-9
    assert ((risks_at(curve, grid) >= threshold) == (grid >= where))[~near].all()
    if abs(where) < BEYOND:
        assert risks_at(curve, np.array([where]))[0] == pytest.approx(threshold)


@settings(deadline=None, max_examples=60)
@given(STAYS)
def test_no_other_risks_that_never_fall_fit_better(stays):
    """Least squares among curves that never fall, tried against others; and the risks add up to the targets."""
    curve, labels, places = _curve(stays)
    if curve is None:
        return
    deaths = labels.sum()
    targets = np.where(labels == 1, (deaths + 1) / (deaths + 2), 1 / (len(labels) - deaths + 2))
    risks = risks_at(curve, places)
    assert risks.sum() == pytest.approx(targets.sum())
    loss = ((risks - targets) ** 2).sum()
    unique, where = np.unique(places, return_inverse=True)
    rng = np.random.default_rng(0)
    for _ in range(20):
        moved = np.maximum.accumulate(risks_at(curve, unique) + rng.normal(0, 0.1, len(unique)))[where]
        assert ((moved - targets) ** 2).sum() >= loss - 1e-9
