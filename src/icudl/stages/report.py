"""Report: one page with the findings of a study."""

from __future__ import annotations

from icudl.artifacts import Report
from icudl.execution.context import RunContext
from icudl.report.build import build_report
from icudl.report.options import ReportOptions
from icudl.report.study import StudyResults


def report(study: StudyResults, options: ReportOptions, context: RunContext) -> Report:
    """Render the page.

    Args:
        study: Data sets, models and attacks with their results, and the origin of every artifact.
        options: Content of the page.
        context: Progress sink, and the seed of the resamples behind differences between models.

    Returns:
        The page. Single stays are left out where anything upstream is restricted, unless the options allow them.
    """
    with context.progress.task("Writing the report", total=1, unit="pages") as bar:
        page = build_report(study, options, context.seed)
        bar.advance(1)
    return page
