"""The terminal speaks of the outcome that a study predicts."""

from __future__ import annotations

import re

from rich.console import Console

from icudl.artifacts import HOSPITAL_DEATH, Outcome
from icudl.cli.comparison import comparison_tables
from icudl.cli.summaries import in_words
from icudl.report.compared import Comparison

LONG_STAY = Outcome(event="long_stay", phrase="ICU stay longer than 7 days")
SCORE = {"value": 0.8, "low": 0.7, "high": 0.9, "difference": None, "difference_low": None, "difference_high": None}
FOUND = Comparison(
    scores=[SCORE | {"result": "train/lr", "split": "test", "metric": "auroc", "stays": 200, "deaths": 40}],
    attacks=[
        {"result": "attack/lr/one", "predicted": predicted, "attacked": 20, "share": 0.5, "low": 0.3, "high": 0.7}
        | {"median_changed": 1.0, "both_attacked": None, "difference": None}
        for predicted in ("survival", "death")
    ],
    probes=[],
    options=[],
)


def told(outcome: Outcome) -> str:
    console = Console(width=200)
    with console.capture() as said:
        for table in in_words(comparison_tables(FOUND), outcome):
            console.print(table)
    return said.get()


def test_compared_results_are_told_in_the_words_of_their_outcome() -> None:
    words = told(LONG_STAY)
    assert "long stays" in words
    assert "no long stay" in words
    assert re.search(r"death|surviv", words) is None


def test_deaths_are_called_deaths() -> None:
    words = told(HOSPITAL_DEATH)
    assert "deaths" in words
    assert "survival" in words
