"""Tables on the terminal: in the words of the outcome that a study predicts, and whole where it is narrow."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re

from rich.console import Console

from icudl.artifacts import HOSPITAL_DEATH, Outcome
from icudl.cli.comparison import comparison_tables
from icudl.cli.listing import Listing, listing_table
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


def test_names_stay_whole_on_a_narrow_terminal() -> None:
    name = "train/a_model_of_a_long_name"
    row = Listing(
        name=name,
        id="0123456789ab",
        made=dt.datetime(2026, 1, 2, 3, 4),  # noqa: DTZ001 - shown in the time of the reader
        options={"trees": 300, "leaves": 12},
        headline="AUROC 0.812 on 3,190 out-of-fold stays; AUROC 0.830 on 800 test stays",
        size=1024,
    )
    scores = [SCORE | {"result": name, "split": "test", "metric": "auroc", "stays": 200, "deaths": 40}] * 2
    for width in (80, 140):
        console = Console(width=width)
        with console.capture() as said:
            console.print(listing_table([row], width))
            for table in comparison_tables(dataclasses.replace(FOUND, scores=scores)):
                console.print(table)
        text = said.get()
        assert text.count(name) == 3, width
        assert "01234567" in text
        assert "0.800 (0.700 to 0.900)" in text
        assert ("leaves 12" in text) == (width == 140)
        assert "…" not in text


def test_deaths_are_called_deaths() -> None:
    words = told(HOSPITAL_DEATH)
    assert "deaths" in words
    assert "survival" in words
