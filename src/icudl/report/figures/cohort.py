"""Figures of a ``GridDataset``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from icudl.artifacts import GridDataset
from icudl.report.figures.style import MUTED, PALETTE, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attrition_table(grid: GridDataset) -> pl.DataFrame:
    """Return stays removed and left after each criterion, with the mortality of those left."""
    return grid.flow.with_columns(
        mortality=pl.when(pl.col("stays") > 0).then(pl.col("deaths") / pl.col("stays")).otherwise(None)
    )


@styled
def attrition(grid: GridDataset) -> Figure:
    """Draw how many stays are left after each criterion of the cohort, and how many it removed."""
    table = attrition_table(grid)
    figure = new_figure(7.0, 0.9 + 0.42 * max(table.height, 1))
    axes = figure.subplots()
    positions = range(table.height)
    removed, left = table["removed"].to_list(), table["stays"].to_list()
    axes.barh(positions, left, color=PALETTE[0], label="left")
    axes.barh(positions, removed, left=left, color="#d1d5db", label="removed here")
    largest = max([a + b for a, b in zip(left, removed, strict=True)], default=1)
    for position, row in enumerate(table.iter_rows(named=True)):
        text = f"{row['stays']:,}" + (f"  (−{row['removed']:,})" if row["removed"] else "")
        axes.text(row["stays"] + row["removed"] + 0.01 * largest, position, text, va="center", color=MUTED, fontsize=8)
    axes.set_yticks(positions, table["criterion"].to_list())
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.3 * largest), xlabel="ICU stays", title="Cohort")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=False, axis="y")
    if any(removed):
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure
