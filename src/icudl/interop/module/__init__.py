"""The attacks of this project on any torch module."""

from __future__ import annotations

from icudl.interop.module.attack import ModuleAttack, attack_module

__all__ = ["ModuleAttack", "attack_module"]
