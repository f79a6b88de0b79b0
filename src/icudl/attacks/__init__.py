"""Attacks: the smallest change of a record that flips a prediction, searched for, checked and written into tables.

A new attack needs the names below (``docs/howto/add_an_attack.md``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icudl.attacks.base import Attack, Perturbation, TargetModel, allowed_change, make_attack
    from icudl.attacks.options import AttackOptions

_HOMES = {
    "Attack": "icudl.attacks.base",
    "AttackOptions": "icudl.attacks.options",
    "Perturbation": "icudl.attacks.base",
    "TargetModel": "icudl.attacks.base",
    "allowed_change": "icudl.attacks.base",
    "make_attack": "icudl.attacks.base",
}

__all__ = ["Attack", "AttackOptions", "Perturbation", "TargetModel", "allowed_change", "make_attack"]


def __getattr__(name: str) -> Any:
    """Import public names on first use: options are read without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
