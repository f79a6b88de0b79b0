"""Stage ``report``: the page that tells what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from icudl.artifacts import (
    AttackResult,
    GridDataset,
    LineageEntry,
    Report,
    SourceTables,
    SusceptibilityResult,
    TrainingResult,
    TuningResult,
)
from icudl.execution.context import RunContext
from icudl.report.build import build_report
from icudl.report.options import ReportOptions


def report(
    tables: SourceTables,
    grid: GridDataset,
    training: TrainingResult,
    attack: AttackResult,
    susceptibility: SusceptibilityResult,
    tuning: Mapping[str, TuningResult],
    lineage: Sequence[LineageEntry],
    options: ReportOptions,
    context: RunContext,
) -> Report:
    """Render the page.

    Args:
        tables: What the source gave.
        grid: The cohort.
        training: Models, predictions and scores.
        attack: Adversarial examples.
        susceptibility: Measures over them.
        tuning: Searches by node; empty where none was run.
        lineage: Origin of every artifact above, upstream first.
        options: Content of the page.
        context: Progress sink.

    Returns:
        The page. Single stays are left out where anything upstream is restricted, unless the options allow them.
    """
    with context.progress.task("Writing the report", total=1, unit="pages") as bar:
        page = build_report(tables, grid, training, attack, susceptibility, tuning, lineage, options)
        bar.advance(1)
    return page
