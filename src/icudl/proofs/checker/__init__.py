"""A second program that bounds the pieces of a proof again; it knows nothing of the search that made the proof.

It is short, slow and plain: one piece at a time in NumPy, no reduction of unknowns, other relaxations, and inputs that
are made by imputing the record with the value at either end of the piece. It checks the real-valued network; that the
rounding of float32 changes nothing is the matter of the first program. Where a piece is too wide for its bounds, it is
halved.
"""

from __future__ import annotations

from icudl.proofs.checker.pieces import Checker

__all__ = ["Checker"]
