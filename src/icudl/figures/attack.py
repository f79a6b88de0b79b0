"""Figures of a ``SusceptibilityResult``: how soon stays fall, how little it takes, what the examples look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from icudl.analysis.conditions import CONDITIONS, EXAMPLES
from icudl.artifacts import SusceptibilityResult
from icudl.errors import ConfigError, suggestion
from icudl.figures.style import (
    CONDITION_COLOURS,
    CONDITION_LABELS,
    EXAMPLE_LINES,
    MUTED,
    new_figure,
    say_nothing_found,
    styled,
    variable_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROPERTIES = {
    "number": "Changed cells",
    "share": "Changed cells (%)",
    "sum": "Sum of |change| (L1)",
    "mean": "Mean |change|",
    "largest": "Largest |change| (L∞)",
    "smallest": "Smallest |change|",
    "positive": "Increases (%)",
}
"""Columns of ``perturbation_properties`` and their axis labels."""
PERCENT = ("share", "positive")
DEFAULT_BINS = 30

NORM_LABELS = {"l0": "Changed cells (L0)", "l1": "Sum of |change| (L1)", "linf": "Largest |change| (L∞)"}
RANKED = {"touched": "Stays with a change (%)", "s": "Susceptibility S", "sensitivity": "Sensitivity"}


def histogram_table(
    result: SusceptibilityResult, name: str, bins: int | Sequence[float] = DEFAULT_BINS
) -> pl.DataFrame:
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
    if name not in PROPERTIES:
        raise ConfigError(f"property = {name!r} is not one of {', '.join(PROPERTIES)}." + suggestion(name, PROPERTIES))
    table = result.tables["perturbation_properties"]
    edges = _edges(table[name].to_numpy(), name, bins)
    frames = [pl.DataFrame(schema=_HISTOGRAM)]
    for condition in CONDITIONS:
        for example in EXAMPLES:
            values = _chosen(table, condition, example)[name].to_numpy()
            counts, _ = np.histogram(values, edges)
            frame = pl.DataFrame({"low": edges[:-1], "high": edges[1:], "stays": counts.astype(np.int64)})
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


def _edges(values: np.ndarray[Any, Any], name: str, bins: int | Sequence[float]) -> np.ndarray[Any, Any]:
    if not isinstance(bins, int):
        return np.asarray(bins, dtype=np.float64)
    top = float(values.max()) if len(values) else 1.0
    if name == "number":
        # Whole numbers are counted in bins of whole width, centred on them.
        step = max(1, int(np.ceil(top / bins)))
        return np.arange(0.5, top + step + 0.5, step)
    return np.linspace(0.0, 1.0 if name == "positive" else max(top, 1e-12), bins + 1)


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
    axes = figure.subplots(len(rows), len(PROPERTIES), squeeze=False)
    properties = result.tables["perturbation_properties"]
    for column, (name, label) in enumerate(PROPERTIES.items()):
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
    bins: int | Sequence[float] = DEFAULT_BINS,
) -> Figure:
    """Draw one property of the examples of one condition, in the bins asked for."""
    figure = new_figure(4.6, 3.2)
    axes = figure.subplots()
    table = _chosen(histogram_table(result, name, bins), condition, example)
    _bars(axes, table, name, condition)
    stays = _chosen(result.tables["perturbation_properties"], condition, example).height
    title = f"{CONDITION_LABELS[condition]}, {example} examples (N = {stays:,})"
    axes.set(xlabel=PROPERTIES[name], ylabel="Stays", title=title)
    return figure


def discovery_table(result: SusceptibilityResult) -> pl.DataFrame:
    """Return table ``discovery``."""
    return result.tables["discovery"]


@styled
def discovery(result: SusceptibilityResult) -> Figure:
    """Draw the share of attacked stays whose first and best examples were found by each iteration."""
    table = discovery_table(result)
    figure = new_figure(8.4, 3.5)
    axes = figure.subplots(1, 2, sharey=True)
    last = max(table["iteration"].to_list(), default=1)
    for panel, condition in zip(axes, CONDITIONS, strict=True):
        panel.set_title(CONDITION_LABELS[condition].capitalize())
        found = False
        for example in EXAMPLES:
            curve = _chosen(table, condition, example)
            if curve.is_empty():
                continue
            found = True
            share = 100 * curve["share"].to_numpy()
            label = f"{example} ({curve['found'][-1]:,} of {curve['attacked'][0]:,} stays)"
            x, y = np.concatenate([[0], curve["iteration"], [last]]), np.concatenate([[0], share, share[-1:]])
            colour, line = CONDITION_COLOURS[condition], EXAMPLE_LINES[example]
            panel.plot(x, y, drawstyle="steps-post", color=colour, linestyle=line, label=label)
        if not found:
            say_nothing_found(panel)
            continue
        panel.set(xlabel="Iteration", xlim=(0, 1.02 * last), ylim=(0, 101))
        panel.legend(loc="upper left", bbox_to_anchor=(0, -0.18), ncols=2)
    axes[0].set_ylabel("Attacked stays with an example (%)")
    return figure


def smallest_change_table(result: SusceptibilityResult) -> pl.DataFrame:
    """Return table ``smallest_change``."""
    return result.tables["smallest_change"]


@styled
def smallest_change(result: SusceptibilityResult) -> Figure:
    """Draw the share of attacked stays that fall to at most so many changed values."""
    table = smallest_change_table(result)
    figure = new_figure(5.4, 3.6)
    axes = figure.subplots()
    axes.set(title="How few changed values flip a prediction")
    if table.is_empty():
        say_nothing_found(axes)
        return figure
    last = int(table["changed"].to_numpy().max())
    for condition in CONDITIONS:
        curve = table.filter(pl.col("condition") == condition)
        if curve.is_empty():
            continue
        share = 100 * curve["cumulative"].to_numpy()
        x, y = np.concatenate([[0], curve["changed"], [last]]), np.concatenate([[0], share, share[-1:]])
        label = f"{CONDITION_LABELS[condition]} ({curve['attacked'][0]:,} attacked)"
        axes.plot(x, y, drawstyle="steps-post", color=CONDITION_COLOURS[condition], label=label)
    axes.set(
        xlabel="Changed values, at most", ylabel="Attacked stays flipped (%)", xlim=(0, 1.02 * last), ylim=(0, 101)
    )
    axes.legend(loc="lower right")
    return figure


def budget_table(result: SusceptibilityResult) -> pl.DataFrame:
    """Return table ``budget``."""
    return result.tables["budget"]


@styled
def success_against_budget(result: SusceptibilityResult) -> Figure:
    """Draw the share of attacked stays flipped by a best example of at most each size, in L0, L1 and L∞."""
    table = budget_table(result).filter(pl.col("example") == "best")
    figure = new_figure(10.0, 3.5)
    axes = figure.subplots(1, len(NORM_LABELS), sharey=True)
    for panel, (norm, label) in zip(axes, NORM_LABELS.items(), strict=True):
        of_norm = table.filter(pl.col("norm") == norm)
        if of_norm.is_empty():
            say_nothing_found(panel)
            continue
        last = float(of_norm["budget"].to_numpy().max())
        for condition in CONDITIONS:
            curve = of_norm.filter(pl.col("condition") == condition)
            if curve.is_empty():
                continue
            x = np.concatenate([[0], curve["budget"], [last]])
            lines = {key: 100 * np.concatenate([[0], curve[key], curve[key][-1:]]) for key in ("share", "low", "high")}
            colour = CONDITION_COLOURS[condition]
            panel.fill_between(x, lines["low"], lines["high"], step="post", color=colour, alpha=0.15, linewidth=0)
            panel.plot(x, lines["share"], drawstyle="steps-post", color=colour, label=CONDITION_LABELS[condition])
        panel.set(xlabel=f"{label}, at most", xlim=(0, 1.02 * last), ylim=(0, 101))
    axes[0].set_ylabel("Attacked stays flipped (%)")
    if not table.is_empty():
        axes[0].legend(loc="lower right")
    return figure


def variable_ranking_table(result: SusceptibilityResult) -> pl.DataFrame:
    """Return table ``variables``, best examples, the variable of the largest sensitivity first."""
    return (
        result.tables["variables"]
        .filter(pl.col("example") == "best")
        .sort("condition", "sensitivity", "variable", descending=[True, True, False], nulls_last=True)
    )


@styled
def variable_ranking(result: SusceptibilityResult) -> Figure:
    """Draw the measures of each variable with 95 % intervals, the variable changed in most stays on top."""
    table = variable_ranking_table(result)
    order = (
        table.group_by("variable").agg(pl.col("touched").max()).sort("touched", "variable", nulls_last=True)["variable"]
    ).to_list()
    order = order[::-1] if table["touched"].null_count() else order
    figure = new_figure(10.0, 1.2 + 0.26 * len(order))
    axes = figure.subplots(1, len(RANKED), sharey=True)
    for panel, (name, label) in zip(axes, RANKED.items(), strict=True):
        factor = 100 if name == "touched" else 1
        for offset, condition in zip((0.16, -0.16), CONDITIONS, strict=True):
            rows = table.filter(pl.col("condition") == condition, pl.col(name).is_not_null())
            y = [order.index(variable) + offset for variable in rows["variable"]]
            colour = CONDITION_COLOURS[condition]
            low, high = factor * rows[f"{name}_low"].to_numpy(), factor * rows[f"{name}_high"].to_numpy()
            panel.hlines(y, low, high, color=colour, alpha=0.5)
            shown = CONDITION_LABELS[condition] + (f" (N = {rows['stays'][0]:,})" if rows.height else " (none)")
            panel.plot(factor * rows[name].to_numpy(), y, "o", color=colour, markersize=4, label=shown)
        panel.set(xlabel=label)
        panel.set_xlim(left=0)
    axes[0].set_ylim(-0.6, len(order) - 0.4)
    axes[0].set_yticks(range(len(order)), [variable_label(variable) for variable in order])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.supxlabel("Best examples. Bars: 95 % bootstrap intervals over stays.", fontsize=8, color=MUTED)
    return figure
