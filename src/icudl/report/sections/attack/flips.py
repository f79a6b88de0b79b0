"""Figures of success: how few changes suffice, how soon they are found, how large they must be."""

from __future__ import annotations

import numpy as np
import polars as pl

from icudl.analysis.conditions import CONDITIONS, EXAMPLES
from icudl.report.charts.descriptions import Axis, Line, Lines
from icudl.report.elements import Figure, Switch
from icudl.report.names import CONDITION_NAMES, EXAMPLE_SWITCH, NORM_NAMES
from icudl.report.wording import rounded

FLIPPED = Axis(label="Stays flipped", percent=True, min=0, max=1)
MOST_POINTS = 240


def fewest_figure(smallest: pl.DataFrame) -> Figure:
    """Draw how many predictions few changed values can flip."""
    series = []
    for place, name in enumerate(CONDITIONS):
        lines = smallest.filter(pl.col("condition") == name).sort("changed")
        if lines.height:
            series.append(
                Line(
                    name=CONDITION_NAMES[name].capitalize(),
                    x=[0, *lines["changed"].to_list()],
                    y=[0, *rounded(lines["cumulative"])],
                    step=True,
                    dash=place,
                )
            )
    return Figure(
        "fewest-changes",
        "How few changed values suffice",
        "Share of the attacked stays whose prediction can be flipped by changing at most so many values. A curve that "
        "rises steeply at the left means predictions that depend on a handful of numbers.",
        Lines(x=Axis(label="Values changed, at most", whole=True, min=0), y=FLIPPED, series=tuple(series)),
    )


def discovery_figure(discovery: pl.DataFrame, *, alike: bool = False) -> Figure:
    """Draw when the first and the best examples are found; one curve for both where they are alike."""
    series = []
    examples = ("best",) if alike else EXAMPLES
    for place, (name, example) in enumerate((name, example) for name in CONDITIONS for example in examples):
        lines = discovery.filter(pl.col("condition") == name, pl.col("example") == example).sort("iteration")
        if lines.height:
            lines = _thinned(lines)
            series.append(
                Line(
                    name=CONDITION_NAMES[name].capitalize() + ("" if alike else f", {example}"),
                    x=[0, *lines["iteration"].to_list()],
                    y=[0, *rounded(lines["share"])],
                    step=True,
                    dash=place,
                )
            )
    return Figure(
        "discovery",
        "When examples are found",
        "Share of the attacked stays with an example by each iteration of the search."
        + (
            ""
            if alike
            else " Where the curve of the best examples lies far to the right of the first ones, the search after the "
            "first success pays."
        ),
        Lines(
            x=Axis(label="Iteration", whole=True, min=0),
            y=Axis(label="Stays with an example", percent=True, min=0, max=1),
            series=tuple(series),
        ),
    )


def _thinned(lines: pl.DataFrame) -> pl.DataFrame:
    if lines.height <= MOST_POINTS:
        return lines
    kept = np.unique(np.linspace(0, lines.height - 1, MOST_POINTS).round().astype(int))
    return lines.select(pl.all().gather(kept.tolist()))


def budget_figure(budget: pl.DataFrame) -> Figure:
    """Draw success against the size of change allowed."""
    norms = [norm for norm in NORM_NAMES if (budget["norm"] == norm).any()]

    def chart(norm: str, example: str) -> Lines:
        series = []
        for place, name in enumerate(CONDITIONS):
            lines = budget.filter(
                pl.col("condition") == name, pl.col("example") == example, pl.col("norm") == norm
            ).sort("budget")
            if lines.height:
                series.append(
                    Line(
                        name=CONDITION_NAMES[name].capitalize(),
                        x=rounded(lines["budget"]),
                        y=rounded(lines["share"]),
                        low=rounded(lines["low"]),
                        high=rounded(lines["high"]),
                        marks="" if lines.height > 1 else "all",  # one point is no line
                        dash=place,
                    )
                )
        return Lines(
            x=Axis(label=f"Allowed {NORM_NAMES[norm]}", min=0, whole=norm == "l0"), y=FLIPPED, series=tuple(series)
        )

    return Figure(
        "budget",
        "Success against the size allowed",
        "Share of the attacked stays whose prediction is flipped by a change no larger than the size on the horizontal "
        "axis, with its 95 % interval. The examples were sought for few and small changes (L0 and L1); for the other "
        "sizes the curve is a lower bound of what an attacker could reach.",
        {f"{norm}|{example}": chart(norm, example) for norm in norms for example in ("best", "first")},
        (
            Switch("norm", "Size", tuple((norm, NORM_NAMES[norm].capitalize()) for norm in norms)),
            EXAMPLE_SWITCH,
        ),
        "full",
    )
