"""Training: members of a cross-validation, their calibration and thresholds, their scores here and on external data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from icudl.training.options import TrainingOptions

if TYPE_CHECKING:
    from icudl.training.external import align_grid, met_patients, unmet_rows

_HOMES = dict.fromkeys(("align_grid", "met_patients", "unmet_rows"), "icudl.training.external")

__all__ = ["TrainingOptions", "align_grid", "met_patients", "unmet_rows"]


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use: a configuration is read without it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
