"""What a search optimises."""

from __future__ import annotations

import dataclasses
import enum


class Direction(enum.StrEnum):
    """Whether a search looks for a high or for a low score."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


@dataclasses.dataclass(frozen=True)
class Objective:
    """The score of a trial, and which way is better; its text (``"maximize auroc"``) is for display only.

    Attributes:
        metric: Name of the score.
        direction: Which way is better.
    """

    metric: str
    direction: Direction

    @property
    def sign(self) -> int:
        """1 where a higher score is better, else -1: the score times the sign is to be maximised."""
        return 1 if self.direction is Direction.MAXIMIZE else -1

    def better(self, a: float, b: float) -> bool:
        """Tell whether the score ``a`` is better than ``b``; equal scores are not, and neither is NaN."""
        return a > b if self.direction is Direction.MAXIMIZE else a < b

    def __str__(self) -> str:
        return f"{self.direction} {self.metric}"
