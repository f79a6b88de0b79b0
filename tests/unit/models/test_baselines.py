"""Window summaries worked out by hand; baselines."""

from __future__ import annotations

import numpy as np
import pytest

from icudl.errors import PluginError
from icudl.models.baselines import BASELINES, fit_baseline
from icudl.models.charted.logistic import ClippedScores
from icudl.models.charted.window import SUMMARIES, summarise

NAN = np.nan


def test_summaries_by_hand():
    values = np.array([[[NAN, 1.0], [2.0, NAN], [NAN, NAN], [8.0, NAN], [99.0, 99.0]]], np.float32)
    row = summarise(values, np.array([4]), np.array([[70.0]], np.float32))[0]
    # Variable 0 is charted at hours 1 and 3: slope (8 - 2) / 2, deviation sqrt(18). The fifth hour is beyond the stay.
    assert row[:8] == pytest.approx([2, 8, 2, 8, 5, np.sqrt(18), 3, 2])
    assert row[8:16] == pytest.approx([1, 1, 1, 1, 1, 0, 0, 1])
    assert row[16:].tolist() == [70.0]


def test_a_variable_never_measured_has_only_a_count():
    row = summarise(np.full((1, 3, 1), NAN, np.float32), np.array([3]), np.zeros((1, 0), np.float32))[0]
    assert np.isnan(row[:-1]).all()
    assert row[-1] == 0
    assert len(row) == len(SUMMARIES)


def test_slope_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    series = rng.normal(size=12).astype(np.float32)
    series[[2, 7]] = NAN
    row = summarise(series[None, :, None], np.array([12]), np.zeros((1, 0), np.float32))[0]
    known = ~np.isnan(series)
    assert row[6] == pytest.approx(np.polyfit(np.arange(12)[known], series[known].astype(float), 1)[0])


def test_standard_scores_come_from_the_fitted_rows_only():
    scores = ClippedScores.of(np.array([[0.0, NAN], [10.0, NAN], [20.0, NAN]]))
    assert scores.transform(np.array([[1000.0, 5.0], [NAN, NAN]])).tolist() == [
        [pytest.approx(scores.transform(np.array([[19.8, 0.0]]))[0, 0]), 0.0],
        [0.0, 0.0],
    ]


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_learn_repeat_themselves_and_ignore_the_global_random_state(name):
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(200, 6))
    labels = (columns[:, 0] + 0.3 * rng.normal(size=200) > 0).astype(np.int8)
    columns[rng.random(columns.shape) < 0.1] = NAN
    state = np.random.get_state()[1].tobytes()  # noqa: NPY002 - the point is that it is not used
    first, second = (fit_baseline(name, columns, labels, 2**62 + 1).predict_proba(columns) for _ in range(2))
    assert np.array_equal(first, second)
    assert state == np.random.get_state()[1].tobytes()  # noqa: NPY002
    assert first[labels == 1, 1].mean() > first[labels == 0, 1].mean() + 0.1
    assert first.sum(axis=1) == pytest.approx(np.ones(200))


def test_an_unknown_baseline_is_named():
    with pytest.raises(PluginError, match=r"'boosted_tree'.*Did you mean 'boosted_trees'"):
        fit_baseline("boosted_tree", np.zeros((2, 1)), np.array([0, 1]), 0)
