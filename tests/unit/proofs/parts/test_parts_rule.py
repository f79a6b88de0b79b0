"""The vote of the parts: the least score that one value leaves, by hand, for numbers drawn at random, and changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from icudl.artifacts import FeatureScaler
from icudl.models.charted.parts import limited
from icudl.preprocessing.charted import straight_clinical
from icudl.preprocessing.scaling import to_unit
from icudl.proofs.parts.readings import rounding_of_units
from icudl.proofs.parts.rule import Ends, Others

NONE = Ends.unknown(1)


def others_of(scores: list[float], part: int, limit: float, slack: float = 0.0) -> Others:
    return Others.of(torch.tensor(scores).double()[:, None], torch.tensor([part]), torch.tensor([0]), limit, slack)


def sign(number: float) -> torch.Tensor:
    return torch.tensor([number], dtype=torch.float64)


def ends(left: float, right: float) -> Ends:
    return Ends(sign(left), sign(right))


def test_two_parts_outvote_a_value_in_the_third() -> None:
    """The scores of the others are 1 and 2, so that the middle lies between them and the score .5 beyond at most."""
    others, which = others_of([1.0, 5.0, 2.0], 1, 0.5, slack=0.125), torch.tensor([0])
    assert others.outvoted(which, sign(1), 0.0).tolist() == [1 - 0.5 - 0.125]
    assert others.outvoted(which, sign(-1), 3.0).tolist() == [3 - 2.5 - 0.125]
    five = others_of([4.0, 1.0, 3.0, -8.0, 2.0], 3, 0.5)
    assert five.outvoted(which, sign(1), 0.0).tolist() == [1.5]
    assert five.outvoted(which, sign(-1), 4.0).tolist() == [0.5]


def test_bounds_of_both_readings_are_held_as_the_scores_are() -> None:
    others, which = others_of([1.0, 5.0, 2.0], 1, 0.5), torch.tensor([0])
    # The whole record, from 1.2 to 1.4, lies within .5 of any middle.
    assert [end.tolist() for end in others.lead(which, sign(1), 0.0, ends(1.2, 1.4), NONE)] == [[1.2], [1.4]]
    # A part above 2 leaves 2 in the middle: the whole record is lifted to 1.5, or held at 2.5.
    assert others.lead(which, sign(1), 0.0, ends(-9, -9), ends(7, 9)).worst.tolist() == [1.5]
    assert others.lead(which, sign(1), 0.0, ends(9, 9), ends(7, 9)).worst.tolist() == [2.5]
    assert others.lead(which, sign(1), 0.0, ends(9, 9), NONE).worst.tolist() == [1.5]


Rule = Callable[[Others], Others]
CHANGED: dict[str, Rule] = {
    "the middle score in place of the one below it": lambda others: dataclasses.replace(others, low=others.high),
    "no limit": lambda others: dataclasses.replace(others, limit=0.0),
}
numbers = st.floats(-4, 4, width=32)


def worst_fault(data: st.DataObject, change: Rule) -> float:
    """By how much a bound lies above the score of a record, at the worst of some points of a piece."""
    parts = data.draw(st.sampled_from([3, 5, 7]))
    scores = np.array(data.draw(st.lists(numbers, min_size=parts, max_size=parts)))
    part, limit = data.draw(st.integers(0, parts - 1)), data.draw(st.sampled_from([0.0, 0.25, 3.0]))
    way, shift = data.draw(st.sampled_from([1.0, -1.0])), data.draw(numbers)
    rows = [[data.draw(numbers) for _ in range(2)] for _ in range(2)]
    given_ends = [ends(*row) if data.draw(st.booleans()) else NONE for row in rows]
    found = change(others_of(scores.tolist(), part, limit)).lead(torch.tensor([0]), sign(way), shift, *given_ends)
    worst = -np.inf
    for place in np.linspace(0, 1, 11):
        above = [
            row[0] * (1 - place) + row[1] * place if bound is not NONE else -50.0
            for row, bound in zip(rows, given_ends, strict=True)
        ]
        moved = scores.copy()
        whole, moved[part] = (shift + way * each for each in above)
        score = limited(np.array([whole]), moved[:, None], limit)[0]
        bound = float(found.left) * (1 - place) + float(found.right) * place
        worst = max(worst, bound - way * (score - shift))
    return worst


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_score_lies_below_its_bound(data: st.DataObject) -> None:
    assert worst_fault(data, lambda others: others) <= 1e-9


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_changed_rule_is_noticed(change: Rule) -> None:
    @settings(max_examples=300, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        assert worst_fault(data, change) <= 1e-9

    with pytest.raises(AssertionError):
        holds()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_bound_of_what_is_known_exactly_is_the_score(data: st.DataObject) -> None:
    scores = np.array(data.draw(st.lists(numbers, min_size=5, max_size=5)))
    part, whole, limit = data.draw(st.integers(0, 4)), data.draw(numbers), data.draw(st.sampled_from([0.0, 0.5]))
    at = float(scores[part])
    found = others_of(scores.tolist(), part, limit).lead(
        torch.tensor([0]), sign(1), 0.0, ends(whole, whole), ends(at, at)
    )
    assert found.worst.item() == pytest.approx(limited(np.array([whole]), scores[:, None], limit)[0], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.floats(-300, 300, width=32), st.floats(0.0625, 100, width=32), st.floats(-0.5, 1.5))
def test_a_charted_number_is_read_within_the_rounding_of_its_unit(lower: float, width: float, at: float) -> None:
    ends_of = np.array([lower], np.float32), np.array([lower + width], np.float32)
    none, one = np.zeros(0, np.float32), np.ones(1, np.float32)
    scaler = FeatureScaler(
        lower=ends_of[0], upper=ends_of[1], median=ends_of[0], offset=one, scale=one, static_median=none,
        static_offset=none, static_scale=none, imputation="linear", fitted_on=1,
    )  # fmt: skip
    charted = straight_clinical(scaler, np.array([at])).astype(np.float32)
    away = abs(float(to_unit(scaler, charted)[0]) - min(max(at, 0.0), 1.0))
    assert away <= float(rounding_of_units(scaler)[0])
