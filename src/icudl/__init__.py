"""ICU Deep Learning: predict death in the ICU, and find how little must change before the prediction flips."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
