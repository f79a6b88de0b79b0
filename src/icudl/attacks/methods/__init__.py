"""The attacks, one method in each file; ``attacks.base.make_attack`` finds them by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.attacks.methods.entry_errors import EntryErrorAttack
    from icudl.attacks.methods.greedy import GreedyAttack
    from icudl.attacks.methods.noise import NoiseControl
    from icudl.attacks.methods.pgd import ProjectedGradientAttack
    from icudl.attacks.methods.proximal import ProximalAttack
    from icudl.attacks.methods.sweep import SweepAttack

_HOMES = {
    "EntryErrorAttack": "icudl.attacks.methods.entry_errors",
    "GreedyAttack": "icudl.attacks.methods.greedy",
    "NoiseControl": "icudl.attacks.methods.noise",
    "ProjectedGradientAttack": "icudl.attacks.methods.pgd",
    "ProximalAttack": "icudl.attacks.methods.proximal",
    "SweepAttack": "icudl.attacks.methods.sweep",
}

__all__ = [
    "EntryErrorAttack",
    "GreedyAttack",
    "NoiseControl",
    "ProjectedGradientAttack",
    "ProximalAttack",
    "SweepAttack",
]

# Options are read without torch.
__getattr__ = imported_on_use(__name__, _HOMES)
