"""Running an attack on many stays: shards in, tables out."""

from __future__ import annotations

from icudl.attacks.run.runner import run_attack

__all__ = ["run_attack"]
