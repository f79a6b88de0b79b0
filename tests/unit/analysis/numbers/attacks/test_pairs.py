"""How much more often one attack flips than another, over the stays that both attacked."""

from __future__ import annotations

import polars as pl
import pytest

from icudl.analysis.numbers.attacks.pairs import FEWEST_STAYS, flip_differences
from icudl.artifacts import AttackStatus

SUCCESS, FAILED, WRONG = AttackStatus.SUCCESS.value, AttackStatus.FAILED.value, AttackStatus.MISCLASSIFIED.value


def stays(statuses: list[str], first: int = 0, label: int = 0) -> pl.DataFrame:
    """One stay a patient, with two changed values where it was flipped."""
    ids = list(range(first, first + len(statuses)))
    return pl.DataFrame(
        {
            "stay_id": ids,
            "patient_id": ids,
            "label": [label] * len(ids),
            "status": statuses,
            "best_l0": [2 if status == SUCCESS else None for status in statuses],
        },
        schema_overrides={"best_l0": pl.Int32},
    )


def row(rows: list[dict[str, object]], predicted: str) -> dict[str, object]:
    return next(each for each in rows if each["predicted"] == predicted)


def test_shares_of_one_attack_alone() -> None:
    found = row(flip_differences(stays([SUCCESS] * 6 + [FAILED] * 2 + [WRONG] * 5), None, 50, 1), "survival")
    assert (found["attacked"], found["flipped"], found["share"], found["median_changed"]) == (8, 6, 0.75, 2)
    assert found["difference"] is None
    assert found["both_attacked"] is None


def test_the_difference_is_over_the_stays_that_both_attacked() -> None:
    """By hand: both attacked 20 to 39; of those the first flipped 5 and the second 15: half more."""
    first = stays([SUCCESS] * 25 + [FAILED] * 15)
    second = stays([SUCCESS] * 15 + [FAILED] * 25, first=20)
    found = row(flip_differences(second, first, 2000, 1), "survival")
    assert found["both_attacked"] == 20
    assert found["difference"] == pytest.approx(0.5)
    # Of 20 differences 5 are 0 and 10 are 1 and 5 are 0: the standard error is that of a mean, within its own noise.
    low, high = found["difference_low"], found["difference_high"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert 0.2 < low < 0.5 < high < 0.8


def test_equal_attacks_differ_in_nothing() -> None:
    same = stays([SUCCESS, FAILED] * 10)
    found = row(flip_differences(same, same, 100, 1), "either")
    assert (found["difference"], found["difference_low"], found["difference_high"]) == (0.0, 0.0, 0.0)


def test_nothing_is_told_of_a_handful() -> None:
    few = stays([SUCCESS] * (FEWEST_STAYS - 1))
    found = row(flip_differences(few, few, 100, 1), "survival")
    assert found["difference"] is None
    assert found["both_attacked"] == FEWEST_STAYS - 1
    assert row(flip_differences(few, few, 100, 1), "death")["share"] is None


def test_stays_of_one_patient_are_drawn_together() -> None:
    """The same stays as patients of their own and as two patients: fewer patients, a wider interval."""
    first, second = stays([FAILED] * 20), stays([SUCCESS] * 10 + [FAILED] * 10)
    two = pl.Series("patient_id", [0] * 10 + [1] * 10)
    apart = row(flip_differences(second, first, 2000, 1), "survival")
    together = row(flip_differences(second.with_columns(two), first.with_columns(two), 2000, 1), "survival")
    assert together["difference"] == apart["difference"]
    assert together["difference_low"] < apart["difference_low"]  # type: ignore[operator]
