"""Figures of a ``SusceptibilityResult``: how soon stays fall, how little it takes, in which variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from icudl.analysis.conditions import CONDITIONS, EXAMPLES
from icudl.artifacts import SusceptibilityResult
from icudl.report.figures.style import (
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
    from matplotlib.figure import Figure

NORM_LABELS = {"l0": "Changed cells (L0)", "l1": "Sum of |change| (L1)", "linf": "Largest |change| (L∞)"}
RANKED = {"touched": "Stays with a change (%)", "s": "Susceptibility S", "sensitivity": "Sensitivity"}


def _chosen(table: pl.DataFrame, condition: str, example: str) -> pl.DataFrame:
    return table.filter(pl.col("condition") == condition, pl.col("example") == example)


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
