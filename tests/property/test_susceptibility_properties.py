"""What holds for the measures of any set of examples."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from icudl.analysis import measures

SHAPE = (3, 2)


@st.composite
def dense(draw: st.DrawFn) -> np.ndarray:
    n = draw(st.integers(1, 8))
    value = st.one_of(st.just(0.0), st.floats(1e-3, 1.0), st.floats(-1.0, -1e-3))
    cells = draw(st.lists(value, min_size=n * 6, max_size=n * 6))
    return np.array(cells).reshape(n, *SHAPE)


def statistics(changes: np.ndarray, weight: np.ndarray | None = None) -> measures.CellStatistics:
    stay, hour, variable = np.nonzero(changes)
    magnitude = np.abs(changes[stay, hour, variable])
    drawn = None if weight is None else weight[stay]
    tally = measures.CellTally(SHAPE)
    tally.add(hour, variable, magnitude, drawn)
    return tally.statistics(len(changes))


@given(dense())
@settings(max_examples=60, deadline=None)
def test_sparse_measures_equal_the_dense_definitions(changes: np.ndarray) -> None:
    cells, size = statistics(changes), np.abs(changes)
    np.testing.assert_allclose(measures.gmp(cells), size.max(0))
    np.testing.assert_allclose(measures.gap(cells), size.mean(0))
    np.testing.assert_allclose(measures.gpp(cells), (changes != 0).mean(0))
    np.testing.assert_allclose(measures.susceptibility(cells), size.max(0) * (changes != 0).mean(0))
    changed = (changes != 0).any(0)
    mean_of_changed = size.sum(0)[changed] / (changes != 0).sum(0)[changed]
    np.testing.assert_allclose(measures.ganzp(cells)[changed], mean_of_changed)
    assert np.isnan(measures.ganzp(cells)[~changed]).all()
    np.testing.assert_allclose(measures.sensitivity(cells)[changed], (changes != 0).mean(0)[changed] / mean_of_changed)


@given(dense())
@settings(max_examples=60, deadline=None)
def test_average_lies_below_the_maximum_and_factorises(changes: np.ndarray) -> None:
    cells = statistics(changes)
    assert (measures.gap(cells) <= measures.gmp(cells) + 1e-12).all()
    product = measures.gpp(cells) * np.nan_to_num(measures.ganzp(cells))
    np.testing.assert_allclose(measures.gap(cells), product, atol=1e-12)
    np.testing.assert_allclose(measures.susceptibility(cells), measures.gmp(cells) * measures.gpp(cells))
    for axis in (0, 1):
        along = measures.along(cells, axis)
        np.testing.assert_allclose(along["gap"], along["gpp"] * np.nan_to_num(along["ganzp"]), atol=1e-12)


@given(dense(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_of_stays_does_not_matter(changes: np.ndarray, random: object) -> None:
    order = list(range(len(changes)))
    random.shuffle(order)  # type: ignore[attr-defined]
    one, other = statistics(changes), statistics(changes[order])
    for measure in measures.MEASURES.values():
        np.testing.assert_allclose(measure(one), measure(other))


@given(dense(), st.lists(st.integers(0, 3), min_size=8, max_size=8))
@settings(max_examples=40, deadline=None)
def test_weights_equal_repeated_stays(changes: np.ndarray, drawn: list[int]) -> None:
    weight = np.array(drawn[: len(changes)])
    weight[0] += 1
    repeated = statistics(np.repeat(changes, weight, axis=0))
    weighted = statistics(changes, weight)
    np.testing.assert_allclose(weighted.changed, repeated.changed)
    np.testing.assert_allclose(weighted.total, repeated.total)
    np.testing.assert_allclose(weighted.largest, repeated.largest)
