"""Which single value flips the stay, decided exactly: by walking through the break points of the model's score."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from icudl.attacks.base import PiecewiseTarget, TargetModel
from icudl.attacks.methods.sweep import OneValueAttack
from icudl.attacks.options import AttackOptions, ExactValueOptions
from icudl.errors import AttackError


class ExactValueAttack(OneValueAttack):
    """Tries one value in every piece of the score, and those at the ends of the pieces.

    Between two neighbouring break points the margin is constant (trees) or monotone (logistic regression), so these
    values decide whether any value flips the stay: nothing lies between them that could. Numbers are those that a data
    set can hold, in single precision. Tables as in ``OneValueAttack``.
    """

    Options: ClassVar[type[AttackOptions]] = ExactValueOptions
    needs_gradient: ClassVar[bool] = ExactValueOptions.needs_gradient

    def __init__(self, options: ExactValueOptions) -> None:
        self.options = options

    def points(
        self, target: TargetModel, stays: Tensor, cells: Tensor, down: Tensor, up: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See ``OneValueAttack.points``.

        Raises:
            AttackError: The model does not say where its score breaks.
        """
        if not isinstance(target, PiecewiseTarget):
            raise AttackError(
                "exact_value needs a model that says where its score jumps or bends, such as boosted_trees or "
                "logistic_regression. Use sweep, which needs scores alone."
            )
        tried, flips = [], []
        for row, cell, low, high in zip(stays.tolist(), cells.tolist(), down, up, strict=True):
            now = target.values.flatten(1)[row, cell]
            values = candidates(target, row, cell)
            change = (values - now).clamp(low, high).sort().values
            tried.append(change)
            flips.append(target.single_margins(row, cell, now + change) < 0)
        if not tried:
            return down.new_zeros(0, 1), torch.zeros(0, 1, dtype=torch.bool, device=down.device)
        longest = max(map(len, tried))
        return _padded(tried, longest), _padded(flips, longest)


def candidates(target: PiecewiseTarget, row: int, cell: int) -> Tensor:
    """Return the values of a cell that decide for all of its values."""
    breaks, constant = target.pieces(row, cell)
    below, at, above = target.representable(cell, breaks)
    inside = target.representable(cell, (breaks[:-1] + breaks[1:]) / 2)[1]
    return torch.cat([breaks[[0, -1]], at, inside] if constant else [breaks[[0, -1]], below, at, above, inside])


def _padded(parts: list[Tensor], length: int) -> Tensor:
    """Return the parts as rows of one tensor, the last entry of each repeated up to ``length``."""
    return torch.stack([torch.cat([part, part[-1:].expand(length - len(part))]) for part in parts])
