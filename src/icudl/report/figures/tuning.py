"""Figures of a ``TuningResult``: how the search went, which options mattered, what each value scored."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import polars as pl

from icudl.analysis.numbers.models.searches import LOG_RATIO, history_table, importance_table, score_name, slices_table
from icudl.artifacts import TrialState, TuningResult
from icudl.report.figures.style import MUTED, PALETTE, new_figure, say_nothing_found, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 3
"""Panels in a row of the slices."""


@styled
def history(result: TuningResult) -> Figure:
    """Draw the score of each trial and the best one so far; pruned trials are crosses."""
    table = history_table(result)
    figure = new_figure(6.4, 3.4)
    axes = figure.subplots()
    axes.set(title="Search history", xlabel="Trial", ylabel=score_name(result))
    if table["value"].null_count() == table.height:
        say_nothing_found(axes, "no trial has finished")
        return figure
    complete = table["state"] == TrialState.COMPLETE.value
    done, others = table.filter(complete), table.filter(~complete)
    axes.plot(done["trial"], done["value"], "o", color=PALETTE[0], markersize=4, alpha=0.7, label="finished")
    if others["value"].count():
        axes.plot(others["trial"], others["value"], "x", color=MUTED, markersize=4, label="stopped early")
    best = table.drop_nulls("best")
    axes.plot(best["trial"], best["best"], drawstyle="steps-post", color=PALETTE[1], label="best so far")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@styled
def slices(result: TuningResult) -> Figure:
    """Draw the score of each finished trial against each option; darker is later, the chosen trial is ringed."""
    table = slices_table(result)
    names = table["option"].unique().sort().to_list()
    down = max(1, math.ceil(len(names) / ACROSS))
    figure = new_figure(3.2 * ACROSS, 2.5 * down + 0.2)
    axes = figure.subplots(down, ACROSS, squeeze=False, sharey=True)
    for index, panel in enumerate(axes.ravel()):
        if index < len(names):
            _slice(panel, table.filter(pl.col("option") == names[index]), names[index], result.best_trial)
        elif names or index:
            panel.set_visible(False)
        else:
            say_nothing_found(panel, "no trial has finished")
    if names:
        for row in axes:
            row[0].set_ylabel(score_name(result))
    return figure


def _slice(panel: Axes, rows: pl.DataFrame, name: str, best_trial: int) -> None:
    numeric = rows["number"].null_count() == 0
    settings = rows["setting"].unique().sort().to_list()
    x = rows["number"].to_list() if numeric else [settings.index(setting) for setting in rows["setting"]]
    panel.scatter(x, rows["value"], c=rows["trial"], cmap="Blues", vmin=-0.5 * rows.height, s=16, linewidth=0)
    chosen = [index for index, trial in enumerate(rows["trial"]) if trial == best_trial]
    panel.scatter(
        [x[index] for index in chosen],
        [rows["value"][index] for index in chosen],
        s=70,
        facecolor="none",
        edgecolor=PALETTE[1],
        linewidth=1.4,
    )
    if not numeric:
        panel.set_xticks(range(len(settings)), [str(json.loads(setting)) for setting in settings])
        panel.margins(x=0.2)
    elif min(x) > 0 and max(x) / min(x) > LOG_RATIO:
        panel.set_xscale("log")
    panel.set_xlabel(name)


@styled
def importance(result: TuningResult) -> Figure:
    """Draw how much of the score's variance each option explains."""
    table = importance_table(result)
    figure = new_figure(5.6, 1.2 + 0.32 * max(table.height, 2))
    axes = figure.subplots()
    axes.set_title("Which options mattered")
    if table.is_empty():
        say_nothing_found(axes, "too few trials have finished")
        return figure
    positions = range(table.height)
    axes.barh(positions, 100 * table["importance"].to_numpy(), color=PALETTE[0])
    axes.set_yticks(positions, table["option"].to_list())
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"Share of the variance of {score_name(result)} (%)")
    return figure
