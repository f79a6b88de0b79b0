"""Numbers as a reader would write them."""

from __future__ import annotations

import pytest

from icudl.report.wording import decimals, interval


@pytest.mark.parametrize(
    ("low", "high", "digits"),
    [(1.168, 7.552, 1), (0.10, 0.14, 3), (120.0, 180.0, 0), (0.2, 0.9, 2), (0.5, 0.5, 3), (float("nan"), 1.0, 3)],
)
def test_an_estimate_has_the_digits_that_its_interval_bears(low: float, high: float, digits: int):
    assert decimals(low, high) == digits


def test_verdicts_have_one_decimal_where_the_interval_is_wide():
    assert interval(4.360, 1.168, 7.552, decimals(1.168, 7.552)).text == "4.4 (1.2 to 7.6)"
