"""What can be set about the report."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """Content of the page."""

    table: ClassVar[str] = "report"

    title: str = option("ICU Deep Learning", "Title of the page.")
    explorer_stays: int = option(
        200, "Stays in the stay explorer, the most fragile first; 0 leaves it out.", low=0, high=10_000
    )
    show_restricted_rows: bool = option(
        False, "Show single stays although the source is credentialed. The page must then be guarded like the data."
    )
