"""Anybody's torch module under the attacks of this project."""

from __future__ import annotations

from icudl.interop.module.attack import ModuleAttack, attack_module

__all__ = ["ModuleAttack", "attack_module"]
