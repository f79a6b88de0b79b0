"""Long tables to arrays."""

from __future__ import annotations

import numpy as np
import pytest

from icudl.errors import StageError
from icudl.preprocessing.grid import densify, window_lengths
from tables_by_hand import stay, tables


def test_every_cell_lands_where_it_belongs():
    hours = [(5, 0, 1, 2.5, 3), (5, 3, 0, 90.0, 70_000), (2, 3, 1, 7.0, 1)]
    source = tables([stay(2), stay(3), stay(5)], hours, window_hours=4)
    stays = source.stays[[2, 0, 1]]
    values, counts = densify(source, stays)
    expected = np.full((3, 4, 2), np.nan, np.float32)
    expected[0, 0, 1], expected[0, 3, 0], expected[1, 3, 1] = 2.5, 90.0, 7.0
    np.testing.assert_array_equal(values, expected)
    assert values.dtype == np.float32
    assert counts.dtype == np.uint16
    assert (counts[0, 0, 1], counts[0, 3, 0], counts[1, 3, 1], counts.sum(dtype=int)) == (3, 65535, 1, 65539)


def test_stays_left_out_and_hours_after_the_stay_are_dropped():
    hours = [(1, 1, 0, 80.0, 1), (1, 2, 0, 99.0, 1), (2, 0, 0, 70.0, 1)]
    source = tables([stay(1, stay_hours=1.5), stay(2)], hours, window_hours=4)
    values, counts = densify(source, source.stays[:1])
    assert np.flatnonzero(~np.isnan(values)).tolist() == [2]
    assert counts.sum() == 1


@pytest.mark.parametrize(
    ("stay_hours", "length"),
    [
        *[(0.0, 1), (0.2, 1), (1.0, 1), (30.0, 30), (30.4, 31), (48.0, 48), (500.0, 48)],
        *[(None, 1), (np.nan, 1), (-np.inf, 1), (np.inf, 48)],
    ],
)
def test_an_hour_that_was_begun_counts(stay_hours, length):
    assert window_lengths(tables([stay(1, stay_hours=stay_hours)]).stays, 48).tolist() == [length]


@pytest.mark.parametrize(("hours", "message"), [
    ([(1, 48, 0, 80.0, 1)], "value in hour 48. Expected hours 0 to 47"),
    ([(1, -1, 0, 80.0, 1)], "value in hour -1"),
    ([(1, 0, 2, 80.0, 1)], "variable 2. Expected 0 to 1"),
    ([(1, 0, 0, 80.0, 1), (1, 0, 0, 81.0, 1)], "twice"),
    ([(1, 0, 0, float("nan"), 1)], "without a mean"),
    ([(1, 0, 0, None, 1)], "without a mean"),
])  # fmt: skip
def test_hours_not_as_declared_are_refused(hours, message):
    source = tables([stay(1)], hours)
    with pytest.raises(StageError, match=message):
        densify(source, source.stays)


def test_a_stay_of_unknown_length_counts_one_hour() -> None:
    stays = tables([stay(1, stay_hours=None), stay(2, stay_hours=0.0), stay(3, stay_hours=2.5)]).stays
    assert window_lengths(stays, 48).tolist() == [1, 1, 3]
