"""Figures of the tables that single attacks add to an ``AttackResult``: budgets of ``pgd``, flips of ``sweep``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from icudl.analysis.conditions import CONDITIONS, attacked_stays
from icudl.analysis.numbers.attacks.maps import single_value_maps
from icudl.analysis.numbers.attacks.single_attacks import within_budgets
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
_SINGLE = {
    "condition": pl.String,
    "hour": pl.Int64,
    "variable": pl.String,
    "stays": pl.Int64,
    "attacked": pl.Int64,
    "share": pl.Float64,
}


def _conditions(attack: AttackResult) -> pl.DataFrame:
    return attacked_stays(attack, AnalysisOptions()).select("stay_id", "condition")


def robustness_table(attack: AttackResult) -> pl.DataFrame:
    """Return ``condition, budget, flipped, attacked, share, low, high``, with Wilson's interval."""
    rows = [
        (each.condition, each.budget, each.flipped, each.attacked, each.share.value, each.share.low, each.share.high)
        for each in within_budgets(attack, _conditions(attack))
    ]
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
    rows = []
    for condition, cells in single_value_maps(attack, _conditions(attack)).items():
        for variable, hour in zip(*np.nonzero(~np.isnan(cells.values)), strict=True):
            share = float(cells.values[variable, hour])
            rows.append(
                (condition, int(hour), cells.variables[variable], round(share * cells.stays), cells.stays, share)
            )
    return pl.DataFrame(rows, schema=_SINGLE, orient="row").sort("condition", "hour", maintain_order=True)


@styled
def single_value_map(attack: AttackResult) -> Figure:
    """Draw, over hours and variables, the share of stays whose prediction one value can flip."""
    maps = single_value_maps(attack, _conditions(attack))
    figure = new_figure(10.5, 1.4 + 0.22 * max(len(attack.variables), 8))
    axes = figure.subplots(1, 2, sharey=True)
    top = max(max((np.nanmax(cells.values, initial=0.0) for cells in maps.values()), default=0.0), 1e-14)
    for panel, (condition, cells) in zip(axes, maps.items(), strict=True):
        stays = f" (N = {cells.stays:,})" if cells.stays else ""
        panel.set_title(CONDITION_LABELS[condition].capitalize() + stays)
        panel.grid(visible=False)
        panel.set_xlabel("Hour since ICU admission")
        panel.pcolormesh(100 * cells.values, cmap=COLOUR_MAP, vmin=0, vmax=100 * top, linewidth=0)
    axes[0].set_yticks(np.arange(len(attack.variables)) + 0.5, [variable.label for variable in attack.variables])
    axes[0].invert_yaxis()
    figure.colorbar(axes[0].collections[0], ax=axes, label="Stays that one value flips (%)")
    return figure
