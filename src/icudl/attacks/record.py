"""The record of a search: first and best example of each stay, and whether its search still makes progress."""

from __future__ import annotations

import torch
from torch import Tensor

from icudl.attacks.base import Perturbation


class ExampleRecord:
    """First and best examples of B stays, of which only some are still searched.

    Args:
        values: (B, T, F) unchanged cells; tells shape, dtype and device.
    """

    def __init__(self, values: Tensor) -> None:
        self._found = Perturbation.nothing(values)
        self._score = values.new_full((len(values),), torch.inf)

    def update(self, rows: Tensor, change: Tensor, flips: Tensor, score: Tensor, iteration: int) -> None:
        """Record the examples of one iteration, without asking the device how many there are.

        Args:
            rows: (K,) stays that were tried, by their number in the batch; none twice.
            change: (K, T, F) changes that were tried.
            flips: (K,) bool, whether each flips the prediction.
            score: (K,) measure that the attack minimises.
            iteration: Counted from 1.
        """
        found = self._found
        change = change.to(found.first)
        new = flips & (found.first_iteration[rows] < 0)
        _put(found.first, rows, new, change)
        _put(found.first_iteration, rows, new, iteration)
        better = flips & (score < self._score[rows])
        _put(found.best, rows, better, change)
        _put(found.best_iteration, rows, better, iteration)
        _put(self._score, rows, better, score.to(self._score))

    def converged(self, rows: Tensor, iteration: int, patience: int) -> Tensor:
        """Return (K,) bool: stays whose best example is ``patience`` iterations old; all False if that is 0."""
        last = self._found.best_iteration[rows]
        if patience == 0:
            return torch.zeros_like(last, dtype=torch.bool)
        return (last >= 0) & (iteration - last >= patience)

    def result(self) -> Perturbation:
        """Return the examples."""
        return self._found


def _put(array: Tensor, rows: Tensor, where: Tensor, values: Tensor | int) -> None:
    """Set ``array[rows]`` to ``values`` (K, ...) ``where`` (K,) says so."""
    before = array[rows]
    array[rows] = torch.where(where.view(-1, *[1] * (array.dim() - 1)), values, before)
