"""The engine of CUDA devices: whole stays through the kernels of the library, recorded once for each size of batch."""

from __future__ import annotations

from icudl.attacks.engine.device.engine import DeviceEngine
from icudl.attacks.engine.device.networks import Score, score_of

__all__ = ["DeviceEngine", "Score", "score_of"]
