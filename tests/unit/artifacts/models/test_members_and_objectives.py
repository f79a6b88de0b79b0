"""What tells the models of a training apart, and which of two scores is better."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.artifacts import FINAL, Direction, Member, Objective

HIGH, LOW = (Objective("score", direction) for direction in Direction)
SCORES = st.floats(allow_nan=False)


@given(fold=st.none() | st.integers(0))
def test_a_member_is_found_by_its_text(fold: int | None) -> None:
    assert Member.parse(str(Member(fold))) == Member(fold)


def test_members_as_people_read_them() -> None:
    assert [str(member) for member in (FINAL, Member(0), Member(12))] == ["final", "fold-0", "fold-12"]


@given(text=st.text() | st.from_regex(r"(fold|final)[-_ ]?-?[0-9]{0,2}\n?"))
def test_no_other_text_is_a_member(text: str) -> None:
    if text == "final" or re.fullmatch("fold-(0|[1-9][0-9]*)", text):
        assert str(Member.parse(text)) == text
    else:
        with pytest.raises(ValueError, match="is not a member of a training"):
            Member.parse(text)


@given(fold=st.integers(0, 120))
def test_the_stays_of_a_fold_are_those_its_member_was_not_fitted_on(fold: int) -> None:
    assert Member.of_fold(fold) == Member(fold)
    assert Member.of_fold(-1) == FINAL


@given(a=SCORES, b=SCORES)
def test_one_of_two_scores_is_better_unless_they_are_equal(a: float, b: float) -> None:
    assert HIGH.better(a, b) == LOW.better(b, a) == (a > b)
    assert HIGH.better(a, b) + HIGH.better(b, a) == (a != b)
    for objective in (HIGH, LOW):
        assert objective.better(a, b) == (objective.sign * a > objective.sign * b)


@given(score=st.floats(), objective=st.sampled_from([HIGH, LOW]))
def test_no_number_is_never_better(score: float, objective: Objective) -> None:
    assert not objective.better(float("nan"), score)
    assert not objective.better(score, float("nan"))


def test_objectives_as_people_read_them() -> None:
    objectives = (Objective("auroc", Direction.MAXIMIZE), Objective("brier", Direction.MINIMIZE))
    assert [str(objective) for objective in objectives] == ["maximize auroc", "minimize brier"]
