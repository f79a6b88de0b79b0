"""The page that tells what was found, and figures for papers.

``study`` is what both are made from, ``build`` makes the page, ``sections`` hold its text and tables, ``charts``
describe its drawings, ``figures`` draw for papers. Numbers come from ``icudl.analysis.numbers``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.report.build import build_report
    from icudl.report.options import ReportOptions
    from icudl.report.study import StudyResults

_HOMES = {
    "ReportOptions": "icudl.report.options",
    "StudyResults": "icudl.report.study",
    "build_report": "icudl.report.build",
}

__all__ = ["ReportOptions", "StudyResults", "build_report"]

# Options are read without the page.
__getattr__ = imported_on_use(__name__, _HOMES)
