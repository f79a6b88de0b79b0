"""Targets of attacks: threat models with their bounds, checkpoints bound to stays, the verification of examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.attacks.target.checkpoint import CheckpointTarget
    from icudl.attacks.target.verification import Verified, verify

_HOMES = {
    "CheckpointTarget": "icudl.attacks.target.checkpoint",
    "Verified": "icudl.attacks.target.verification",
    "verify": "icudl.attacks.target.verification",
}

__all__ = ["CheckpointTarget", "Verified", "verify"]

# Options are read without torch.
__getattr__ = imported_on_use(__name__, _HOMES)
