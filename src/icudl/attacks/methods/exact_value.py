"""Which single value flips the stay, decided exactly: by walking through the break points of the model's score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from icudl.attacks.base import PiecewiseTarget, TargetModel
from icudl.attacks.methods.sweep import OneValueAttack
from icudl.attacks.options import AttackOptions, ExactValueOptions
from icudl.errors import AttackError

AT_ONCE = 4096
"""Changed records scored in one call: more take memory and save nothing."""


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
        now = target.values.flatten(1)[stays, cells]
        tried = [
            (candidates(target, row, cell) - value).clamp(low, high).sort().values
            for row, cell, value, low, high in zip(stays.tolist(), cells.tolist(), now, down, up, strict=True)
        ]
        if not tried:
            return down.new_zeros(0, 1), torch.zeros(0, 1, dtype=torch.bool, device=down.device)
        longest = max(map(len, tried))
        return _padded(tried, longest), _padded(_flips(target, stays, cells, now, tried), longest)


def candidates(target: PiecewiseTarget, row: int, cell: int) -> Tensor:
    """Return the values of a cell that decide for all of its values."""
    breaks, constant = target.pieces(row, cell)
    middles = (breaks[:-1] + breaks[1:]) / 2
    below, near, above = target.representable(cell, torch.cat([breaks, middles]))
    below, at, above, inside = below[: len(breaks)], near[: len(breaks)], above[: len(breaks)], near[len(breaks) :]
    return torch.cat([breaks[[0, -1]], at, inside] if constant else [breaks[[0, -1]], below, at, above, inside])


def _flips(target: PiecewiseTarget, stays: Tensor, cells: Tensor, now: Tensor, tried: Sequence[Tensor]) -> list[Tensor]:
    """Return which changes of each cell flip its stay; the cells of a stay are scored together, in few calls."""
    counts = torch.tensor([len(each) for each in tried], device=stays.device)
    change, place = torch.cat(list(tried)), cells.repeat_interleave(counts)
    after, stay = now.repeat_interleave(counts) + change, stays.repeat_interleave(counts)
    flips = torch.zeros(len(change), dtype=torch.bool, device=stays.device)
    for row in torch.unique(stays).tolist():
        places = (stay == row).nonzero().squeeze(1)
        for start in range(0, len(places), AT_ONCE):
            own = places[start : start + AT_ONCE]
            flips[own] = target.single_margins(row, place[own], after[own]) < 0
    return list(flips.split_with_sizes(counts.tolist()))


def _padded(parts: Sequence[Tensor], length: int) -> Tensor:
    """Return the parts as rows of one tensor, the last entry of each repeated up to ``length``."""
    return torch.stack([torch.cat([part, part[-1:].expand(length - len(part))]) for part in parts])
