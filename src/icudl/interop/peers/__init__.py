"""Attacks of other libraries (Foolbox, ART) as attack plug-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.interop.peers.art import ArtAttack
    from icudl.interop.peers.foolbox import FoolboxAttack

_HOMES = {
    "ArtAttack": "icudl.interop.peers.art",
    "FoolboxAttack": "icudl.interop.peers.foolbox",
}

__all__ = ["ArtAttack", "FoolboxAttack"]

# Options are read without torch, and neither library needs the other.
__getattr__ = imported_on_use(__name__, _HOMES)
