"""Hyperparameter search: options, space, study, resume."""

from __future__ import annotations

from icudl.search.options import AttackTuningOptions, ModelTuningOptions

__all__ = ["AttackTuningOptions", "ModelTuningOptions"]
