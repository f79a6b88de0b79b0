"""Figures of the tables that single attacks add to an ``AttackResult``: budgets of ``pgd``, flips of ``sweep``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from icudl.analysis.conditions import CONDITIONS, attacked_stays
from icudl.analysis.intervals import wilson
from icudl.analysis.options import AnalysisOptions
from icudl.artifacts import AttackResult
from icudl.report.figures.style import (
    COLOUR_MAP,
    CONDITION_COLOURS,
    CONDITION_LABELS,
    new_figure,
    say_nothing_found,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BUDGETS = {
    "condition": pl.String,
    "budget": pl.Float64,
    "flipped": pl.Int64,
    "attacked": pl.Int64,
    "share": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


def _conditions(attack: AttackResult) -> pl.DataFrame:
    return attacked_stays(attack, AnalysisOptions()).select("stay_id", "condition")


def robustness_table(attack: AttackResult) -> pl.DataFrame:
    """Return ``condition, budget, flipped, attacked, share, low, high``, with Wilson's interval."""
    table = attack.curves["budgets"].join(_conditions(attack), on="stay_id", how="inner")
    counted = (
        table.group_by("condition", "budget")
        .agg(flipped=pl.col("flipped").cast(pl.Int64).sum(), attacked=pl.len().cast(pl.Int64))
        .sort(pl.col("condition"), "budget", descending=[True, False])
    )
    rows = [(*row, *wilson(row[2], row[3])) for row in counted.iter_rows()]
    return pl.DataFrame(rows, schema=_BUDGETS, orient="row")


@styled
def robustness(attack: AttackResult) -> Figure:
    """Draw the share of attacked stays that an attack within each budget flips, with 95 % intervals."""
    table = robustness_table(attack)
    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    axes.set_title("Success within a budget")
    if table.is_empty():
        say_nothing_found(axes, "no stay was attacked")
        return figure
    for condition in CONDITIONS:
        rows = table.filter(pl.col("condition") == condition)
        if rows.is_empty():
            continue
        x, colour = rows["budget"].to_numpy(), CONDITION_COLOURS[condition]
        axes.fill_between(x, 100 * rows["low"].to_numpy(), 100 * rows["high"].to_numpy(), color=colour, alpha=0.15)
        label = f"{CONDITION_LABELS[condition]} ({rows['attacked'][0]:,} attacked)"
        axes.plot(x, 100 * rows["share"].to_numpy(), "o-", color=colour, markersize=4, label=label)
    norm = str(attack.options.get("norm", "")).capitalize()
    axes.set(xlabel=f"Budget ({norm} norm, unit coordinates)", ylabel="Attacked stays flipped (%)", ylim=(0, 101))
    if table["budget"].to_numpy().min() > 0:
        axes.set_xscale("log")
    axes.legend(loc="upper left")
    return figure


def single_value_table(attack: AttackResult) -> pl.DataFrame:
    """Return ``condition, hour, variable, stays, attacked, share``: stays that one wrong value there can flip."""
    conditions = _conditions(attack)
    attacked = conditions.group_by("condition").agg(attacked=pl.len().cast(pl.Int64))
    names = dict(enumerate(variable.name for variable in attack.variables))
    cells = attack.curves["sweep_flips"].select("stay_id", "hour", "variable").unique()
    return (
        cells.join(conditions, on="stay_id", how="inner")
        .group_by("condition", "hour", "variable")
        .agg(stays=pl.len().cast(pl.Int64))
        .join(attacked, on="condition", how="left")
        .with_columns(share=pl.col("stays") / pl.col("attacked"))
        .sort("condition", "hour", "variable")
        .with_columns(variable=pl.col("variable").cast(pl.Int64).replace_strict(names, return_dtype=pl.String))
    )


@styled
def single_value_map(attack: AttackResult) -> Figure:
    """Draw, over hours and variables, the share of stays whose prediction one wrong value can flip."""
    table = single_value_table(attack)
    names = [variable.name for variable in attack.variables]
    figure = new_figure(10.5, 1.4 + 0.22 * max(len(names), 8))
    axes = figure.subplots(1, 2, sharey=True)
    top = max(100 * max(table["share"].to_list(), default=0.0), 1e-12)
    for panel, condition in zip(axes, CONDITIONS, strict=True):
        shares = np.full((len(names), attack.n_hours), np.nan)
        rows = table.filter(pl.col("condition") == condition)
        for hour, variable, share in rows.select("hour", "variable", "share").iter_rows():
            shares[names.index(variable), hour] = 100 * share
        stays = f" (N = {rows['attacked'][0]:,})" if rows.height else ""
        panel.set_title(CONDITION_LABELS[condition].capitalize() + stays)
        panel.grid(visible=False)
        panel.set_xlabel("Hour since ICU admission")
        panel.pcolormesh(shares, cmap=COLOUR_MAP, vmin=0, vmax=top, linewidth=0)
    axes[0].set_yticks(np.arange(len(names)) + 0.5, [variable.label for variable in attack.variables])
    axes[0].invert_yaxis()
    figure.colorbar(axes[0].collections[0], ax=axes, label="Stays that one wrong value flips (%)")
    return figure
