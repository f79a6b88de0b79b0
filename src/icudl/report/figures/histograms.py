"""Histograms of what adversarial examples look like, from table ``perturbation_properties``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from icudl.analysis.conditions import CONDITIONS, EXAMPLES
from icudl.analysis.numbers.attacks.histograms import BINS, PROPERTIES, property_histogram
from icudl.artifacts import SusceptibilityResult
from icudl.report.figures.style import CONDITION_COLOURS, CONDITION_LABELS, new_figure, say_nothing_found, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = {
    "number": "Changed cells",
    "share": "Changed cells (%)",
    "sum": "Sum of |change| (L1)",
    "mean": "Mean |change|",
    "largest": "Largest |change| (L∞)",
    "smallest": "Smallest |change|",
    "positive": "Increases (%)",
}
"""Axis labels of the columns of ``perturbation_properties``."""
PERCENT = ("share", "positive")


def histogram_table(result: SusceptibilityResult, name: str, bins: int | Sequence[float] = BINS) -> pl.DataFrame:
    """Count the examples in each bin of one property.

    Args:
        result: Table ``perturbation_properties`` is read.
        name: One of ``PROPERTIES``.
        bins: Number of equal bins over the range of all four conditions, or their edges.

    Returns:
        ``property, condition, example, low, high, stays``.

    Raises:
        ConfigError: There is no such property.
    """
    found = property_histogram(result.tables["perturbation_properties"], name, bins)
    frames = [pl.DataFrame(schema=_HISTOGRAM)]
    for (condition, example), stays in found.counts.items():
        frame = pl.DataFrame({"low": found.edges[:-1], "high": found.edges[1:], "stays": stays})
        labels = {"property": name, "condition": condition, "example": example}
        frames.append(frame.with_columns(**{key: pl.lit(text) for key, text in labels.items()}).select(*_HISTOGRAM))
    return pl.concat(frames)


_HISTOGRAM: dict[str, Any] = {
    "property": pl.String,
    "condition": pl.String,
    "example": pl.String,
    "low": pl.Float64,
    "high": pl.Float64,
    "stays": pl.Int64,
}


def histograms_table(result: SusceptibilityResult) -> pl.DataFrame:
    """Return the ``histogram_table`` of every property."""
    return pl.concat([histogram_table(result, name) for name in PROPERTIES])


def _chosen(table: pl.DataFrame, condition: str, example: str) -> pl.DataFrame:
    return table.filter(pl.col("condition") == condition, pl.col("example") == example)


def _bars(axes: Axes, table: pl.DataFrame, name: str, condition: str) -> None:
    factor = 100 if name in PERCENT else 1
    low, high = table["low"].to_numpy() * factor, table["high"].to_numpy() * factor
    counts = table["stays"].to_numpy()
    if counts.sum() == 0:
        say_nothing_found(axes)
        return
    colour = CONDITION_COLOURS[condition]
    axes.bar(low, counts, high - low, align="edge", color=colour, edgecolor="white", linewidth=0.3)
    axes.margins(x=0.02)


@styled
def perturbation_histograms(result: SusceptibilityResult) -> Figure:
    """Draw all properties of the examples (columns) under the four conditions (rows)."""
    rows = [(condition, example) for condition in CONDITIONS for example in EXAMPLES]
    figure = new_figure(15.0, 7.6)
    axes = figure.subplots(len(rows), len(LABELS), squeeze=False)
    properties = result.tables["perturbation_properties"]
    for column, (name, label) in enumerate(LABELS.items()):
        table = histogram_table(result, name)
        for row, (condition, example) in enumerate(rows):
            panel = axes[row][column]
            _bars(panel, _chosen(table, condition, example), name, condition)
            if row == 0:
                panel.set_title(label, fontsize=9)
            if column == 0:
                stays = _chosen(properties, condition, example).height
                panel.set_ylabel(f"{CONDITION_LABELS[condition]}\n{example} (N = {stays:,})\nstays")
    return figure


@styled
def histogram(
    result: SusceptibilityResult,
    name: str,
    *,
    condition: str = "survival_to_death",
    example: str = "best",
    bins: int | Sequence[float] = BINS,
) -> Figure:
    """Draw one property of the examples of one condition, in the bins asked for."""
    figure = new_figure(4.6, 3.2)
    axes = figure.subplots()
    table = _chosen(histogram_table(result, name, bins), condition, example)
    _bars(axes, table, name, condition)
    stays = _chosen(result.tables["perturbation_properties"], condition, example).height
    title = f"{CONDITION_LABELS[condition]}, {example} examples (N = {stays:,})"
    axes.set(xlabel=LABELS[name], ylabel="Stays", title=title)
    return figure
