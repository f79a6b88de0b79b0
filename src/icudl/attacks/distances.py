"""Distances of a change from nothing, entry by entry: the whole (T, F) change of a stay is one vector.

The matrix norms of linear algebra packages are induced norms (``matrix_norm(ord=1)`` is the largest column sum) and
measure something else, so every distance in this project comes from this module.
"""

from __future__ import annotations

import torch
from torch import Tensor


def l0(change: Tensor) -> Tensor:
    """Return how many entries of each stay's change (B, ...) are not zero: (B,) int64."""
    return torch.count_nonzero(change.flatten(1), dim=1)


def l1(change: Tensor) -> Tensor:
    """Return the sum of absolute entries of each stay's change (B, ...): (B,)."""
    return change.flatten(1).abs().sum(dim=1)


def l2(change: Tensor) -> Tensor:
    """Return the Euclidean length of each stay's change (B, ...): (B,)."""
    return change.flatten(1).square().sum(dim=1).sqrt()


def linf(change: Tensor) -> Tensor:
    """Return the largest absolute entry of each stay's change (B, ...): (B,)."""
    return change.flatten(1).abs().amax(dim=1)
