"""Hyperparameter search: options, space, study, resume."""

from __future__ import annotations

from icudl.search.options import AttackTuningOptions, ModelTuningOptions, TunedOptions

__all__ = ["AttackTuningOptions", "ModelTuningOptions", "TunedOptions"]
