"""Window summaries as functions of one charted value: the crossings and turns that an exact search walks through."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icudl.models.charted.one_value import Course, MeanOfPiecewiseModels, PiecewiseModel, break_points, mean_of
from icudl.models.charted.window import SUMMARIES, summarise

NAN = np.nan
GAP = st.just(NAN)
VALUE = st.integers(-12, 12).map(lambda number: number / 4)


def summaries_at(series: np.ndarray, hour: int, x: np.ndarray) -> np.ndarray:
    changed = np.repeat(series[None], len(x), axis=0)
    changed[:, hour] = x
    return summarise(changed[:, :, None], np.full(len(x), len(series)), np.zeros((len(x), 0), np.float32))


@settings(max_examples=200, deadline=None)
@given(
    series=st.lists(GAP | VALUE, min_size=1, max_size=7),
    own=st.integers(0, 6),
    level=st.integers(-10, 10).map(lambda number: number / 3),
)
def test_between_two_crossings_a_summary_stays_on_one_side_of_the_level(
    series: list[float], own: int, level: float
) -> None:
    hour = own % len(series)
    values = np.array(series)
    values[hour] = 0.5
    course = Course.of(values, hour)
    for summary, name in enumerate(SUMMARIES[:-1]):
        found = np.sort(course.crossings(summary, np.array([level])))
        at = summaries_at(values, hour, found)[:, summary]
        assert at == pytest.approx(np.full(len(found), level), abs=1e-6), name
        edges = np.concatenate([[-40.0], found[(found > -40) & (found < 40)], [40.0]])
        for low, high in itertools.pairwise(edges):
            inside = np.linspace(low, high, 12)[1:-1]
            above = summaries_at(values, hour, inside)[:, summary] - level
            # At a corner a summary may touch its level; rounding decides there.
            assert not ((above > 1e-6).any() and (above < -1e-6).any()), (name, low, high)


class Bent:
    """A score that is linear in clipped summaries, with weights that make every kind of piece."""

    def __init__(self, weights: np.ndarray, low: float, high: float) -> None:
        self.weights, self.low, self.high = weights, low, high

    def score(self, columns: np.ndarray) -> np.ndarray:
        return (np.clip(columns, self.low, self.high) * self.weights).sum(axis=1)

    def logits(self, stays: object) -> np.ndarray:
        raise NotImplementedError

    def levels(self, column: int) -> np.ndarray:
        return np.array([self.low, self.high])

    def slopes(self, columns: np.ndarray) -> np.ndarray:
        return np.where((columns > self.low) & (columns < self.high), self.weights, 0.0)


@settings(max_examples=200, deadline=None)
@given(
    series=st.lists(GAP | VALUE, min_size=1, max_size=6),
    own=st.integers(0, 5),
    weights=st.lists(st.integers(-4, 4), min_size=8, max_size=8),
    limits=st.tuples(st.sampled_from([-9.0, -1.0, 0.25]), st.sampled_from([0.5, 1.5, 9.0])),
)
def test_between_two_break_points_a_score_is_monotone(
    series: list[float], own: int, weights: list[int], limits: tuple[float, float]
) -> None:
    hour, values = own % len(series), np.array(series)
    values[hour] = 0.5
    model = Bent(np.array(weights, float), *limits)
    columns = summaries_at(values, hour, np.array([0.5]))[0]
    places, constant = break_points(model, columns, values, 0, hour)
    edges = np.concatenate([[-30.0], places[(places > -30) & (places < 30)], [30.0]])
    for low, high in itertools.pairwise(edges):
        steps = np.diff(model.score(summaries_at(values, hour, np.linspace(low, high, 40))))
        assert (steps > -1e-9).all() or (steps < 1e-9).all(), (low, high, steps)
        if constant:
            assert steps == pytest.approx(np.zeros(39), abs=1e-9)


def test_the_deviation_turns_where_the_others_have_their_mean() -> None:
    model = Bent(np.array([0, 0, 0, 0, 0, 1.0, 0, 0]), -99.0, 99.0)
    values = np.array([1.0, 5.0, NAN, 2.0, 9.0])
    places, constant = break_points(model, summaries_at(values, 1, values[[1]])[0], values, 0, 1)
    assert not constant
    # Least, mean and most of 1, 2 and 9; the other places lie where a summary meets a limit of the model.
    assert places[(places > 0) & (places < 10)] == pytest.approx([1.0, 4.0, 9.0])


def test_a_mean_of_models_breaks_where_any_of_them_does() -> None:
    first, second = Bent(np.ones(8), -1.0, 1.0), Bent(np.full(8, 3.0), 0.0, 2.0)
    both = MeanOfPiecewiseModels([], [first, second])
    assert both.levels(3).tolist() == [-1.0, 0.0, 1.0, 2.0]
    assert both.slopes(np.full((1, 8), 0.5)).tolist() == [[2.0] * 8]
    assert not isinstance(mean_of([]), type(None))
    assert isinstance(first, PiecewiseModel)
