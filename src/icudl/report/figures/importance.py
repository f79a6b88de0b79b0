"""Figures of a ``SusceptibilityResult`` that set what the model reads beside what an attack abuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.numbers.attacks.maps import colour_limit
from icudl.analysis.numbers.attacks.maps import importance_map as importance_cells
from icudl.artifacts import SusceptibilityResult
from icudl.report.figures.style import (
    COLOUR_MAP,
    CONDITION_COLOURS,
    CONDITION_LABELS,
    new_figure,
    say_nothing_found,
    styled,
    variable_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELLED = 8
"""Variables named in each panel: those highest on either axis."""


def importance_table(result: SusceptibilityResult) -> pl.DataFrame:
    """Return ``condition, variable, stays, importance, low, high, s, s_low, s_high``; empty where none was computed."""
    if "importance" not in result.tables:
        return pl.DataFrame(schema={"condition": pl.String, "variable": pl.String, "importance": pl.Float64})
    best = result.tables["variables"].filter(pl.col("example") == "best")
    measures = best.select("condition", "variable", "s", "s_low", "s_high")
    return (
        result.tables["importance"]
        .drop("towards_death", "quadrature_error")
        .join(measures, on=["condition", "variable"], how="left", maintain_order="left")
    )


@styled
def importance_against_susceptibility(result: SusceptibilityResult) -> Figure:
    """Draw each variable's susceptibility against its importance, with 95 % intervals, for both directions."""
    table = importance_table(result)
    figure = new_figure(9.6, 4.4)
    axes = figure.subplots(1, 2)
    for panel, condition in zip(axes, CONDITIONS, strict=True):
        rows = table.filter(pl.col("condition") == condition)
        panel.set_title(CONDITION_LABELS[condition].capitalize())
        if rows.is_empty() or rows["s"].null_count():
            say_nothing_found(panel, "no examples" if "importance" in result.tables else "not computed")
            continue
        colour = CONDITION_COLOURS[condition]
        x, y = rows["importance"].to_numpy(), rows["s"].to_numpy()
        panel.hlines(y, rows["low"].fill_null(np.nan), rows["high"].fill_null(np.nan), color=colour, alpha=0.35)
        panel.vlines(x, rows["s_low"].fill_null(np.nan), rows["s_high"].fill_null(np.nan), color=colour, alpha=0.35)
        panel.plot(x, y, "o", color=colour, markersize=4.5)
        _name_highest(panel, [variable_label(name) for name in rows["variable"]], x, y)
        panel.set(xlabel="Importance: mean |integrated gradient| (logits)", ylabel="Susceptibility S of best examples")
        panel.set_xlim(left=0)
        panel.set_ylim(bottom=0)
        panel.margins(0.12)
        _tell_agreement(panel, result, condition)
    return figure


def _name_highest(panel: Axes, names: list[str], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    """Write names beside the highest points, on the first of four sides where nothing is in the way."""
    across, up = x / max(x.max(), 1e-12), y / max(y.max(), 1e-12)
    taken: list[tuple[float, float, float]] = []
    for index in np.argsort(-np.maximum(across, up), kind="stable")[:LABELLED]:
        width = 0.022 * len(names[index])
        for side, lift in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            left = across[index] + (0.01 if side > 0 else -0.01 - width)
            level = up[index] + 0.03 * lift
            inside = level > 0.02 and left + width < 1.15
            if inside and all(
                abs(level - other) > 0.05 or left > end or left + width < start for start, end, other in taken
            ):
                break
        else:
            continue
        taken.append((left, left + width, level))
        panel.annotate(
            names[index],
            (x[index], y[index]),
            (4 * side, 6 * lift),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=7.5,
        )


def _tell_agreement(panel: Axes, result: SusceptibilityResult, condition: str) -> None:
    row = result.tables["agreement"].filter(
        pl.col("condition") == condition, pl.col("level") == "variable", pl.col("measure") == "s"
    )
    if row.is_empty() or row["spearman"][0] is None:
        return
    value, low, high = row.select("spearman", "low", "high").row(0)
    text = f"Spearman {value:.2f}" + (f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else "")
    panel.set_title(text, loc="right", fontsize=8, fontweight="normal")


def importance_cells_table(result: SusceptibilityResult) -> pl.DataFrame:
    """Return table ``importance_cells``; empty where none was computed."""
    empty = pl.DataFrame(
        schema={"condition": pl.String, "hour": pl.Int16, "variable": pl.String, "importance": pl.Float64}
    )
    return result.tables.get("importance_cells", empty)


@styled
def importance_map(result: SusceptibilityResult) -> Figure:
    """Draw the importance of hours and variables for stays of both predicted classes on one colour scale."""
    maps = {condition: importance_cells(result, condition) for condition in CONDITIONS}
    known = [cells for cells in maps.values() if cells is not None]
    names = known[0].variables if known else ()
    top, capped = colour_limit(known)
    figure = new_figure(10.5, 1.4 + 0.22 * max(len(names), 8))
    axes = figure.subplots(1, 2, sharey=True)
    drawn = None
    for panel, (condition, cells) in zip(axes, maps.items(), strict=True):
        stays = "" if cells is None else f" (N = {cells.stays:,})"
        panel.set_title(CONDITION_LABELS[condition].capitalize() + stays)
        panel.grid(visible=False)
        panel.set_xlabel("Hour since ICU admission")
        if cells is None:
            panel.text(0.5, 0.5, "not computed", ha="center", transform=panel.transAxes)
            continue
        drawn = panel.pcolormesh(cells.values, cmap=COLOUR_MAP, vmin=0, vmax=top, linewidth=0)
        hours = cells.values.shape[1]
        ticks = np.arange(0, hours, max(1, hours // 8))
        panel.set_xticks(ticks + 0.5, [str(tick) for tick in ticks])
    if drawn is not None:
        axes[0].set_yticks(np.arange(len(names)) + 0.5, [variable_label(name) for name in names])
        axes[0].invert_yaxis()
        label = "Importance: mean |integrated gradient| (logits)"
        figure.colorbar(drawn, ax=axes, label=label, extend="max" if capped else "neither")
    return figure
