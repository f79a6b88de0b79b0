"""Histograms of the properties of perturbations."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from icudl.analysis.conditions import CONDITIONS, EXAMPLES
from icudl.report.elements import (
    Figure,
    FigureGrid,
)
from icudl.report.names import (
    CONDITION_SWITCH,
)
from icudl.report.wording import rounded

PROPERTIES = (
    ("number", "Changed values", "How many values of the stay were changed.", True),
    ("share", "Share of values changed", "Changed values as a share of all values of the stay.", False),
    ("sum", "Sum of changes", "All changes of a stay added up, without sign.", False),
    ("mean", "Mean change", "Mean size of the changes of a stay.", False),
    ("largest", "Largest change", "Largest single change of a stay.", False),
    ("smallest", "Smallest change", "Smallest single change of a stay.", False),
    ("positive", "Share of increases", "How many of a stay's changes are upwards.", False),
)


def histogram_grid(properties: pl.DataFrame, fragility: pl.DataFrame) -> FigureGrid:
    """Draw the histograms of all properties, for first and best examples."""
    figures: list[Figure] = []
    for name, label, text, whole in PROPERTIES:
        values = properties[name].cast(pl.Float64).drop_nulls().drop_nans()
        edges = _edges(values, whole=whole, share=name == "positive")
        variants = {}
        for condition in CONDITIONS:
            series = []
            for example in EXAMPLES:
                part = properties.filter(pl.col("condition") == condition, pl.col("example") == example)
                counts = np.histogram(part[name].cast(pl.Float64).drop_nulls().to_numpy(), edges)[0]
                series.append({"name": example.capitalize(), "y": counts.tolist()})
            variants[condition] = {"series": series}
        figures.append(
            Figure(
                f"histogram-{name}",
                label,
                text,
                {
                    "kind": "bars",
                    "edges": rounded(edges.tolist(), 6),
                    "whole": whole,
                    "x": {"label": label, "percent": name in {"share", "positive"}},
                    "y": {"label": "Stays"},
                    "variants": variants,
                },
                size="small",
            )
        )
    figures.append(_risk_histogram(fragility))
    return FigureGrid(
        "histograms",
        "The shape of the changes",
        "One count per flipped stay, for its first and its best example. "
        "Left-leaning histograms of the number and the sum of changes mean that little "
        "suffices; the share of increases tells whether values are pushed up or down.",
        (CONDITION_SWITCH,),
        tuple(figures),
    )


def _risk_histogram(fragility: pl.DataFrame) -> Figure:
    edges = np.linspace(0, 1, 21)
    variants = {}
    for condition in CONDITIONS:
        flipped = fragility.filter(pl.col("condition") == condition, pl.col("changed").is_not_null())
        series = []
        for name, column in (("Before", "probability_before"), ("After (best)", "probability_after")):
            counts = np.histogram(flipped[column].drop_nulls().to_numpy(), edges)[0]
            series.append({"name": name, "y": counts.tolist()})
        variants[condition] = {"series": series}
    return Figure(
        "histogram-risk",
        "Risk before and after",
        "Predicted risk of death of the flipped stays.",
        {
            "kind": "bars",
            "edges": rounded(edges.tolist()),
            "x": {"label": "Predicted risk", "percent": True},
            "y": {"label": "Stays"},
            "variants": variants,
        },
        size="small",
    )


def _edges(values: pl.Series, *, whole: bool, share: bool) -> Any:
    if share:
        return np.linspace(0, 1, 21)
    top = float(values.max()) if values.len() else 1.0  # type: ignore[arg-type]
    if whole:
        width = max(1, int(np.ceil(top / 30)))
        return np.arange(0.5, top + width + 0.5, width)
    low = float(values.min()) if values.len() else 0.0  # type: ignore[arg-type]
    low = 0.0 if low < 0.4 * top else low
    return np.linspace(low, top if top > low else low + 1.0, 26)
