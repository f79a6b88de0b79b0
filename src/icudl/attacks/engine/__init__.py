"""Engines: the logit difference of a model and its input gradient, by hand-written passes where they are faster."""

from __future__ import annotations

from icudl.attacks.engine.autograd import AutogradEngine
from icudl.attacks.engine.choice import make_engine
from icudl.attacks.engine.protocol import Engine

__all__ = ["AutogradEngine", "Engine", "make_engine"]
