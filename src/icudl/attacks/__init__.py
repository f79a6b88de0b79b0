"""Attacks: the smallest change of a record that flips a prediction, searched for, checked and written into tables.

A new attack needs the names below (``docs/howto/add_an_attack.md``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.attacks.base import (
        Attack,
        DifferentiableTarget,
        Perturbation,
        TargetModel,
        allowed_change,
        differentiable,
        make_attack,
    )
    from icudl.attacks.options import AttackOptions

_HOMES = {
    "Attack": "icudl.attacks.base",
    "AttackOptions": "icudl.attacks.options",
    "DifferentiableTarget": "icudl.attacks.base",
    "Perturbation": "icudl.attacks.base",
    "TargetModel": "icudl.attacks.base",
    "allowed_change": "icudl.attacks.base",
    "differentiable": "icudl.attacks.base",
    "make_attack": "icudl.attacks.base",
}

__all__ = [
    "Attack",
    "AttackOptions",
    "DifferentiableTarget",
    "Perturbation",
    "TargetModel",
    "allowed_change",
    "differentiable",
    "make_attack",
]

# Options are read without torch.
__getattr__ = imported_on_use(__name__, _HOMES)
