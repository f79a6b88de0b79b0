"""Recurrent classifiers: LSTM and GRU layers, their read-outs, and both beside window summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.models.recurrent.classifier import GruClassifier, LstmClassifier, RecurrentClassifier
    from icudl.models.recurrent.summary import GruSummaryClassifier, LstmSummaryClassifier

_HOMES = {
    "GruClassifier": "icudl.models.recurrent.classifier",
    "GruSummaryClassifier": "icudl.models.recurrent.summary",
    "LstmClassifier": "icudl.models.recurrent.classifier",
    "LstmSummaryClassifier": "icudl.models.recurrent.summary",
    "RecurrentClassifier": "icudl.models.recurrent.classifier",
}

__all__ = ["GruClassifier", "GruSummaryClassifier", "LstmClassifier", "LstmSummaryClassifier", "RecurrentClassifier"]

# Options are read without torch.
__getattr__ = imported_on_use(__name__, _HOMES)
