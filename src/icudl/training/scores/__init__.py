"""Scores of predictions: metrics, intervals, calibration, decision thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.training.scores.calibration import fit_calibration
    from icudl.training.scores.evaluation import compare, score_predictions
    from icudl.training.scores.metrics import choose_threshold
    from icudl.training.scores.scoring import predictions, risks

_HOMES = {
    "choose_threshold": "icudl.training.scores.metrics",
    "compare": "icudl.training.scores.evaluation",
    "fit_calibration": "icudl.training.scores.calibration",
    "predictions": "icudl.training.scores.scoring",
    "risks": "icudl.training.scores.scoring",
    "score_predictions": "icudl.training.scores.evaluation",
}

__all__ = ["choose_threshold", "compare", "fit_calibration", "predictions", "risks", "score_predictions"]

# A configuration is read without torch.
__getattr__ = imported_on_use(__name__, _HOMES)
