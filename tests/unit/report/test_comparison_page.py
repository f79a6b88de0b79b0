"""The page of a comparison: what it says, and what it does not say on a handful."""

from __future__ import annotations

import re
from typing import Any

from icudl.analysis.numbers.comparison import COMPARED
from icudl.artifacts import HOSPITAL_DEATH
from icudl.report.compared import Comparison, comparison_page

NASTY = "train/<b>x</b>"


def score(result: str, split: str, metric: str, deaths: int, difference: float | None = None) -> dict[str, Any]:
    low, high = (None, None) if difference is None else (difference - 0.01, difference + 0.01)
    known = {"value": 0.8125, "low": 0.75, "high": 0.875, "stays": 200, "deaths": deaths}
    differ = {"difference": difference, "difference_low": low, "difference_high": high}
    return {"result": result, "split": split, "metric": metric} | known | differ


def flips(result: str, predicted: str, attacked: int) -> dict[str, Any]:
    known = {
        "attacked": attacked,
        "flipped": attacked // 2,
        "share": 0.5,
        "low": 0.4,
        "high": 0.6,
        "median_changed": 2.0,
    }
    differ = {"difference": None, "difference_low": None, "difference_high": None, "both_attacked": 3}
    return {"result": result, "predicted": predicted} | known | differ


def page(deaths: int, attacked: int) -> str:
    found = Comparison(
        scores=[
            *(score("train/a", "test", metric, deaths) for metric in COMPARED),
            *(score(NASTY, "test", metric, deaths, 0.05) for metric in COMPARED),
        ],
        attacks=[
            flips(name, each, attacked) for name in ("train/a", NASTY) for each in ("survival", "death", "either")
        ],
        probes=[],
        options=[{"option": "model.bidirectional", "train/a": True, NASTY: None}],
    )
    return comparison_page(found, ["train/a", NASTY], HOSPITAL_DEATH)


def test_scores_differences_and_options_stand_on_the_page():
    text = page(deaths=30, attacked=40)
    assert "<b>x</b>" not in text
    assert "+0.050 (+0.040 to +0.060)" in text
    assert "ranks better, beyond chance" in text
    assert "50.0 %" in text
    assert re.search(r"model\.bidirectional.*?true.*?–", text, re.DOTALL)


def test_nothing_is_told_on_a_handful():
    text = page(deaths=9, attacked=9).partition("</main>")[0]
    assert "0.8125" not in text
    assert "0.812" not in text
    assert "beyond chance" not in text
    assert "50.0 %" not in text
