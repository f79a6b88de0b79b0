"""Heat maps of a ``SusceptibilityResult``: one measure over hours x variables under the four conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from icudl.analysis.conditions import CONDITIONS, EXAMPLES
from icudl.analysis.numbers.attacks.maps import colour_limit, measure_map
from icudl.artifacts import SusceptibilityResult
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


def heat_map_table(result: SusceptibilityResult, measure: str) -> pl.DataFrame:
    """Return ``condition, example, hour, variable, stays, changed`` and the measure, null where nothing was changed.

    Raises:
        ConfigError: There is no such measure.
    """
    parts = []
    for condition in CONDITIONS:
        for example in EXAMPLES:
            values = measure_map(result, measure, condition, example).values.T.ravel()
            cells = result.tables["cells"].filter(pl.col("condition") == condition, pl.col("example") == example)
            shown = cells.select("condition", "example", "hour", "variable", "stays", "changed")
            parts.append(shown.with_columns(pl.Series(measure, values).fill_nan(None)))
    return pl.concat(parts)


@styled
def heat_map(result: SusceptibilityResult, measure: str) -> Figure:
    """Draw one measure over hours and variables, the four conditions on one colour scale.

    Cells that no example changes are white; values above the 99th percentile take the last colour.
    """
    import matplotlib as mpl

    maps = {
        (condition, example): measure_map(result, measure, condition, example)
        for condition in CONDITIONS
        for example in EXAMPLES
    }
    top, capped = colour_limit(list(maps.values()))
    factor = 100 if measure == "gpp" else 1
    colours = mpl.colormaps[COLOUR_MAP].with_extremes(bad=NEVER_CHANGED)
    names = maps[CONDITIONS[0], EXAMPLES[0]].variables
    figure = new_figure(10.5, 1.6 + 0.4 * len(names))
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    drawn = None
    for row, condition in enumerate(CONDITIONS):
        for column, example in enumerate(EXAMPLES):
            panel, cells = axes[row][column], maps[condition, example]
            panel.set_title(f"{CONDITION_LABELS[condition].capitalize()}, {example} (N = {cells.stays:,})")
            panel.grid(visible=False)
            if cells.stays == 0:
                say_nothing_found(panel)
            drawn = panel.pcolormesh(factor * cells.values, cmap=colours, vmin=0, vmax=factor * top, linewidth=0)
            panel.set_facecolor(NEVER_CHANGED)
    axes[0][0].set_yticks(np.arange(len(names)) + 0.5, [variable_label(name) for name in names])
    axes[0][0].invert_yaxis()
    hours = maps[CONDITIONS[0], EXAMPLES[0]].values.shape[1]
    ticks = np.arange(0, hours, max(1, hours // 8))
    for panel in axes[1]:
        panel.set_xticks(ticks + 0.5, [str(tick) for tick in ticks])
        panel.set_xlabel("Hour since ICU admission")
    if drawn is not None:
        figure.colorbar(
            drawn, ax=axes, label=MEASURE_LABELS[measure], extend="max" if capped else "neither", shrink=0.8
        )
    return figure
