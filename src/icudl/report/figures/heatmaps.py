"""Heat maps of a ``SusceptibilityResult``: one measure over hours x variables under the four conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from icudl.analysis.conditions import CONDITIONS, EXAMPLES
from icudl.analysis.measures import MEASURES
from icudl.artifacts import SusceptibilityResult
from icudl.errors import ConfigError, suggestion
from icudl.report.figures.style import (
    COLOUR_MAP,
    CONDITION_LABELS,
    new_figure,
    say_nothing_found,
    styled,
    variable_label,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURE_LABELS = {
    "gmp": "GMP: largest |change|",
    "gap": "GAP: mean |change| over all stays",
    "gpp": "GPP: stays with a change here (%)",
    "s": "S: susceptibility, GMP x GPP",
    "ganzp": "GANZP: mean |change| where changed",
    "sensitivity": "Sensitivity: GPP / GANZP",
}
NEVER_CHANGED = "#ffffff"
CAP = 99.0
"""The colour scale ends at this percentile of the changed cells, so that one cell cannot darken all others."""


def heat_map_table(result: SusceptibilityResult, measure: str) -> pl.DataFrame:
    """Return ``condition, example, hour, variable, stays, changed`` and the measure, null where nothing was changed.

    Raises:
        ConfigError: There is no such measure.
    """
    if measure not in MEASURES:
        raise ConfigError(f"measure = {measure!r} is not one of {', '.join(MEASURES)}." + suggestion(measure, MEASURES))
    changed = pl.when(pl.col("changed") > 0).then(pl.col(measure)).alias(measure)
    return result.tables["cells"].select("condition", "example", "hour", "variable", "stays", "changed", changed)


@styled
def heat_map(result: SusceptibilityResult, measure: str) -> Figure:
    """Draw one measure over hours and variables, the four conditions on one colour scale.

    Cells that no example changes are white; values above the 99th percentile take the last colour.
    """
    import matplotlib as mpl

    table = heat_map_table(result, measure)
    variables = table["variable"].unique(maintain_order=True).to_list()
    factor = 100 if measure == "gpp" else 1
    known = factor * table[measure].drop_nulls().to_numpy()
    top = float(np.percentile(known, CAP)) if len(known) else 1.0
    colours = mpl.colormaps[COLOUR_MAP].with_extremes(bad=NEVER_CHANGED)
    figure = new_figure(10.5, 1.6 + 0.4 * len(variables))
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    drawn = None
    for row, condition in enumerate(CONDITIONS):
        for column, example in enumerate(EXAMPLES):
            panel = axes[row][column]
            cells = table.filter(pl.col("condition") == condition, pl.col("example") == example)
            stays = cells["stays"][0]
            panel.set_title(f"{CONDITION_LABELS[condition].capitalize()}, {example} (N = {stays:,})")
            panel.grid(visible=False)
            if stays == 0:
                say_nothing_found(panel)
            values = cells[measure].cast(pl.Float64).fill_null(np.nan).to_numpy().reshape(-1, len(variables)).T
            drawn = panel.pcolormesh(factor * values, cmap=colours, vmin=0, vmax=max(top, 1e-12), linewidth=0)
            panel.set_facecolor(NEVER_CHANGED)
    axes[0][0].set_yticks(np.arange(len(variables)) + 0.5, [variable_label(name) for name in variables])
    axes[0][0].invert_yaxis()
    hours = int(table["hour"].to_numpy().max()) + 1
    ticks = np.arange(0, hours, max(1, hours // 8))
    for panel in axes[1]:
        panel.set_xticks(ticks + 0.5, [str(tick) for tick in ticks])
        panel.set_xlabel("Hour since ICU admission")
    if drawn is not None:
        capped = bool(len(known)) and float(known.max()) > top
        figure.colorbar(
            drawn, ax=axes, label=MEASURE_LABELS[measure], extend="max" if capped else "neither", shrink=0.8
        )
    return figure
