"""Hyperparameter search: its options, the space, and studies that survive kills and can be extended."""

from __future__ import annotations

from icudl.search.options import AttackTuningOptions, ModelTuningOptions, TunedOptions

__all__ = ["AttackTuningOptions", "ModelTuningOptions", "TunedOptions"]
