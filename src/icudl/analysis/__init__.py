"""Numbers over predictions and adversarial examples, with their intervals.

``susceptibility`` and ``importance`` make the tables of the stage ``analyse``. ``numbers`` computes the numbers that
the page and the figures for papers draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.analysis.importance import importance_tables
    from icudl.analysis.intervals import percentiles, wilson
    from icudl.analysis.options import AnalysisOptions
    from icudl.analysis.susceptibility import analyse_attack

_HOMES = {
    "AnalysisOptions": "icudl.analysis.options",
    "analyse_attack": "icudl.analysis.susceptibility",
    "importance_tables": "icudl.analysis.importance",
    "percentiles": "icudl.analysis.intervals",
    "wilson": "icudl.analysis.intervals",
}

__all__ = ["AnalysisOptions", "analyse_attack", "importance_tables", "percentiles", "wilson"]

# Options are read without the tables.
__getattr__ = imported_on_use(__name__, _HOMES)
