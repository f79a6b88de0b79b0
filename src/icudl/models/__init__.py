"""Models: sequence classifiers as plug-ins, the options of each, and the baselines beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use
from icudl.models.options import TRAINING_SPACE, ModelOptions

if TYPE_CHECKING:
    from icudl.models.base import SequenceClassifier, within_length
    from icudl.models.build import build_model, load_model

_HOMES = {
    "SequenceClassifier": "icudl.models.base",
    "build_model": "icudl.models.build",
    "load_model": "icudl.models.build",
    "within_length": "icudl.models.base",
}

__all__ = ["TRAINING_SPACE", "ModelOptions", "SequenceClassifier", "build_model", "load_model", "within_length"]

# A configuration is read without it.
__getattr__ = imported_on_use(__name__, _HOMES)
