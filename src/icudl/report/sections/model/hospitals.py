"""Scores of the model in each hospital: a forest plot and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from icudl.analysis.numbers.comparison import FEWEST_DEATHS, Estimate
from icudl.analysis.numbers.models.hospitals import HospitalLine, HospitalScores
from icudl.report.charts.descriptions import Axis, Dot, Dots
from icudl.report.elements import Entry, Figure, Switch, Table
from icudl.report.wording import columns, count, interval, numeric, rounded, row

MEASURES: Mapping[str, str] = {
    "auroc": "AUROC",
    "ratio": "Deaths per expected death",
    "brier": "Brier score",
    "gain": "Brier score, change by recalibration",
}
_RIGHT = {"ratio": 1.0, "gain": 0.0}


def hospital_name(line: HospitalLine) -> str:
    """Return what a line is called."""
    if line.is_all:
        return f"All {line.hospitals:,} hospitals"
    return line.name or f"{count(line.hospitals, 'other hospital')} together"


def hospital_figure(lines: Mapping[str, Sequence[HospitalLine]], words: Mapping[str, str]) -> Figure:
    """Draw the forest plot.

    Args:
        lines: Of ``hospital_lines``, by key of the stays judged.
        words: What the stays are called, by key.
    """

    def chart(key: str, measure: str) -> Dots:
        told = [line for line in lines[key] if line.scores is not None]
        found = [_estimate(line.scores, measure) for line in told]
        whole = next((each.value for line, each in zip(told, found, strict=True) if line.is_all), None)
        series = Dot(
            name=MEASURES[measure],
            x=rounded([_number(each.value) for each in found]),
            low=rounded([_number(each.low) for each in found]),
            high=rounded([_number(each.high) for each in found]),
            notes=tuple(f"{count(line.stays, 'stay')}, {count(line.deaths, 'death')}" for line in told),
        )
        axis = Axis(label=MEASURES[measure], reference=_RIGHT.get(measure, whole))
        return Dots(x=axis, rows=tuple(map(hospital_name, told)), series=(series,), sortable=True)

    return Figure(
        "hospitals",
        "By hospital",
        "The same model in each hospital (or set of the data), with 95 % intervals. The dashed line is the score of "
        "all stays, and where there is a right value, that. Recalibration adds one number to the logit of every risk "
        "of a hospital; each risk here was recalibrated on other patients of the hospital than its own. It leaves "
        f"AUROC as it is. Hospitals where fewer than {FEWEST_DEATHS} died or survived stand together.",
        {f"{key}|{measure}": chart(key, measure) for key in words for measure in MEASURES},
        (
            Switch("split", "Stays", tuple((key, text[:1].upper() + text[1:]) for key, text in words.items())),
            Switch("measure", "Score", tuple(MEASURES.items())),
        ),
        "full",
    )


def hospital_table(lines: Mapping[str, Sequence[HospitalLine]], words: Mapping[str, str]) -> Table:
    """Tabulate the scores by hospital; arguments as of ``hospital_figure``."""
    rows = [
        row(hospital_name(line), text, line.hospitals, line.stays, line.deaths, *_cells(line.scores))
        for key, text in words.items()
        for line in lines[key]
    ]
    return Table(
        "hospital-scores",
        "Scores by hospital",
        columns(
            "Hospital",
            "Judged on",
            *map(numeric, ("Hospitals", "Stays", "Deaths")),
            *map(numeric, MEASURES.values()),
            numeric("Shift of the logit"),
        ),
        tuple(rows),
        "Deaths per expected death: above 1 more die than the model expects. The shift is what recalibration adds to "
        "the logit of each risk, fitted on all stays of the line; a hospital that means to use the model there begins "
        "with it.",
        filtered=True,
    )


def _cells(scores: HospitalScores | None) -> list[Entry]:
    if scores is None:
        return [Entry("–", None)] * (len(MEASURES) + 1)
    found = [_estimate(scores, measure) for measure in MEASURES]
    digits = [4 if measure == "gain" else 3 for measure in MEASURES]
    cells = (interval(each.value, each.low, each.high, places) for each, places in zip(found, digits, strict=True))
    return [*cells, Entry(f"{scores.shift:+.2f}", scores.shift)]


def _estimate(scores: HospitalScores | None, measure: str) -> Estimate:
    found: Estimate = getattr(scores, measure)
    return found


def _number(value: float | None) -> float:
    return np.nan if value is None else value
