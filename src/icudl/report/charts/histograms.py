"""Histograms of the properties of perturbations."""

from __future__ import annotations

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.numbers.attacks.histograms import PROPERTIES, Histogram, property_histogram, risk_histogram
from icudl.report.charts.descriptions import Axis, Bar, Bars
from icudl.report.elements import Figure, FigureGrid
from icudl.report.names import CONDITION_SWITCH
from icudl.report.wording import rounded

LABELS = {
    "number": ("Changed values", "How many values of the stay were changed."),
    "share": ("Share of values changed", "Changed values as a share of all values of the stay."),
    "sum": ("Sum of changes", "All changes of a stay added up, without sign."),
    "mean": ("Mean change", "Mean size of the changes of a stay."),
    "largest": ("Largest change", "Largest single change of a stay."),
    "smallest": ("Smallest change", "Smallest single change of a stay."),
    "positive": ("Share of increases", "How many of a stay's changes are upwards."),
}
SHARES = ("share", "positive")


def histogram_grid(properties: pl.DataFrame, fragility: pl.DataFrame, *, alike: bool = False) -> FigureGrid:
    """Draw the histograms of all properties, for first and best examples; for one of them where they are alike."""
    figures = [
        _figure(
            name,
            *LABELS[name],
            property_histogram(properties, name),
            Axis(label=LABELS[name][0], percent=name in SHARES),
            {"best": "Flipped stays"} if alike else {"first": "First", "best": "Best"},
        )
        for name in PROPERTIES
    ]
    figures.append(
        _figure(
            "risk",
            "Risk before and after",
            "Predicted risk of death of the flipped stays.",
            risk_histogram(fragility),
            Axis(label="Predicted risk", percent=True),
            {"before": "Before", "after": "After" if alike else "After (best)"},
        )
    )
    return FigureGrid(
        "histograms",
        "The shape of the changes",
        f"One count per flipped stay{'' if alike else ', for its first and its best example'}. "
        "Left-leaning histograms of the number and the sum of changes mean that little "
        "suffices; the share of increases tells whether values are pushed up or down.",
        (CONDITION_SWITCH,),
        tuple(figures),
    )


def _figure(name: str, title: str, text: str, found: Histogram, axis: Axis, series: dict[str, str]) -> Figure:
    variants = {
        condition: Bars(
            edges=rounded(found.edges.tolist(), 6),
            x=axis,
            y=Axis(label="Stays"),
            series=tuple(Bar(name=words, y=found.counts[condition, key].tolist()) for key, words in series.items()),
            whole=name == "number",
        )
        for condition in CONDITIONS
    }
    return Figure(f"histogram-{name}", title, text, variants, size="small")
