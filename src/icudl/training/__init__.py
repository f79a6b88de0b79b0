"""Training: members of a cross-validation, their calibration and thresholds, their scores here and on external data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use
from icudl.training.options import TrainingOptions

if TYPE_CHECKING:
    from icudl.training.external import align_grid, met_patients, unmet_rows

_HOMES = dict.fromkeys(("align_grid", "met_patients", "unmet_rows"), "icudl.training.external")

__all__ = ["TrainingOptions", "align_grid", "met_patients", "unmet_rows"]

# A configuration is read without it.
__getattr__ = imported_on_use(__name__, _HOMES)
