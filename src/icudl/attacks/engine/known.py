"""Stays that an engine has read before, and variants of them.

T hours, B stays, C features. An attack moves some features only (those of the values), which come first: K of C.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Memory:
    """B known stays; engines add the states that they reached on them.

    Attributes:
        moving: (B, T, K) features that variants may change, zero beyond each length.
        fixed: (B, T, C - K) the other features.
    """

    moving: Tensor
    fixed: Tensor

    @property
    def n_ways(self) -> int:
        """D, directions whose gradients can be followed part of the way (``Known.reach``)."""
        return 0


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """The known stays of which N stays are variants, and how far back their gradients matter.

    Attributes:
        memory: The known stays.
        stays: (N,) positions in ``memory``.
        reach: (N, D) fewest steps before the end to which the gradient is followed back; None for all steps.
    """

    memory: Memory
    stays: Tensor
    reach: Tensor | None = None

    def completed(self, moving: Tensor) -> Tensor:
        """Return the (N, T, C) features of variants whose moving features are ``moving`` (N, T, K)."""
        fixed = self.memory.fixed
        return torch.cat([moving, fixed[self.stays]], dim=2) if fixed.shape[2] else moving


def longest_reach(gradient: Tensor, faint: Tensor, steps_to_end: Tensor) -> Tensor:
    """Return the (B,) largest number of steps to the end at an hour where a slope is not faint.

    Args:
        gradient: (B, T, K) through one direction.
        faint: (B,) slopes below are faint.
        steps_to_end: (B, T) steps of the direction from each hour to its end.
    """
    matters = gradient.abs().amax(dim=2) >= faint[:, None]
    return torch.where(matters, steps_to_end, 0).amax(dim=1)


def steps_to_ends(lengths: Tensor, n_hours: int) -> tuple[Tensor, Tensor]:
    """Return the (B, T) steps from each hour to the end of the forward direction, and of the backward one."""
    hours = torch.arange(n_hours, device=lengths.device)
    return lengths[:, None] - hours, (hours + 1).expand(len(lengths), -1)
