"""Figures for papers: pure functions from an artifact to a figure, each with its data table.

The numbers come from ``icudl.analysis.numbers``, as those of the page do.

>>> from icudl.report.figures import FIGURES, render
>>> spec = FIGURES["heatmap_gpp"]
>>> spec.title
'GPP over hours and variables'
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from icudl.analysis.measures import MEASURES
from icudl.analysis.numbers.models import searches
from icudl.analysis.numbers.models.quality import FittedModel
from icudl.artifacts import AttackResult, GridDataset, SusceptibilityResult, TuningResult
from icudl.report.figures import attack, cohort, heatmaps, histograms, importance, quality, robustness, tuning
from icudl.report.figures.style import FORMATS, put_into_words, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "FORMATS", "FigureSpec", "figures_of", "put_into_words", "render"]


class FigureSpec(NamedTuple):
    """One figure.

    Attributes:
        title: What it shows.
        draw: Makes the figure.
        table: Returns the numbers drawn.
        artifact: Type that both read: an artifact, or ``FittedModel``, a training with its data set.
        needs: Table without which there is nothing to draw, or "".
    """

    title: str
    draw: Callable[[Any], Figure]
    table: Callable[[Any], pl.DataFrame]
    artifact: type
    needs: str = ""


_MEASURE_NAMES = {"s": "Susceptibility", "sensitivity": "Sensitivity"}

FIGURES: dict[str, FigureSpec] = {
    "cohort_attrition": FigureSpec("Cohort and attrition", cohort.attrition, cohort.attrition_table, GridDataset),
    "roc": FigureSpec("Receiver operating characteristic", quality.roc, quality.roc_table, FittedModel),
    "precision_recall": FigureSpec(
        "Precision and recall", quality.precision_recall, quality.precision_recall_table, FittedModel
    ),
    "calibration": FigureSpec("Calibration", quality.calibration, quality.calibration_table, FittedModel),
    "training_curves": FigureSpec(
        "Training curves", quality.training_curves, quality.training_curves_table, FittedModel
    ),
    "robustness": FigureSpec(
        "Success within a budget", robustness.robustness, robustness.robustness_table, AttackResult, "budgets"
    ),
    "single_value_map": FigureSpec(
        "Where one wrong value is enough",
        robustness.single_value_map,
        robustness.single_value_table,
        AttackResult,
        "sweep_flips",
    ),
    "perturbation_histograms": FigureSpec(
        "Properties of the examples",
        histograms.perturbation_histograms,
        histograms.histograms_table,
        SusceptibilityResult,
    ),
    "discovery": FigureSpec(
        "Discovery of first and best examples", attack.discovery, attack.discovery_table, SusceptibilityResult
    ),
    "smallest_change": FigureSpec(
        "Smallest number of changed values", attack.smallest_change, attack.smallest_change_table, SusceptibilityResult
    ),
    "success_against_budget": FigureSpec(
        "Success against budget", attack.success_against_budget, attack.budget_table, SusceptibilityResult
    ),
    "variable_ranking": FigureSpec(
        "Variables by susceptibility", attack.variable_ranking, attack.variable_ranking_table, SusceptibilityResult
    ),
    "importance": FigureSpec(
        "Important or susceptible",
        importance.importance_against_susceptibility,
        importance.importance_table,
        SusceptibilityResult,
        "importance",
    ),
    "heatmap_importance": FigureSpec(
        "Importance over hours and variables",
        importance.importance_map,
        importance.importance_cells_table,
        SusceptibilityResult,
        "importance_cells",
    ),
    "tuning_history": FigureSpec("Search history", tuning.history, searches.history_table, TuningResult),
    "tuning_importance": FigureSpec(
        "Importance of the options searched", tuning.importance, searches.importance_table, TuningResult
    ),
    "tuning_slices": FigureSpec("Score by option", tuning.slices, searches.slices_table, TuningResult),
} | {
    f"heatmap_{name}": FigureSpec(
        f"{_MEASURE_NAMES.get(name, name.upper())} over hours and variables",
        partial(heatmaps.heat_map, measure=name),
        partial(heatmaps.heat_map_table, measure=name),
        SusceptibilityResult,
    )
    for name in MEASURES
}
"""Every figure by name: the name of its file, too."""


def figures_of(artifact: object) -> dict[str, FigureSpec]:
    """Return the figures that can be drawn from this artifact, by name."""
    tables: Collection[str] = ()
    if isinstance(artifact, SusceptibilityResult):
        tables = artifact.tables
    elif isinstance(artifact, AttackResult):
        tables = artifact.curves
    return {
        name: spec
        for name, spec in FIGURES.items()
        if isinstance(artifact, spec.artifact) and (not spec.needs or spec.needs in tables)
    }
