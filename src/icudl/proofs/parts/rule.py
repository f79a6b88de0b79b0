"""What one wrong value can do to the score of a record that is read whole and in parts.

The value moves the score w of the whole record and the score p of its own part. The scores of the other parts stay,
and of the two in their middle, ``low`` and ``high``, the middle of all parts is m = min(high, max(low, p)). The score
of the record is min(m + limit, max(m - limit, w)), which rises in w and in p: bounds of both make a bound of the score,
and without any bound the score is still at least low - limit.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Self

import torch
from torch import Tensor


class Ends(NamedTuple):
    """A linear lower bound of n numbers while a value moves over a piece; minus infinity where nothing is known.

    Attributes:
        left: (n,) at the lower end of the piece.
        right: (n,) at the upper end.
    """

    left: Tensor
    right: Tensor

    @classmethod
    def unknown(cls, count: int) -> Self:
        """Return bounds that say nothing."""
        nothing = torch.full((count,), -torch.inf, dtype=torch.float64)
        return cls(nothing, nothing)

    @property
    def worst(self) -> Tensor:
        """(n,) the lower end of the bound."""
        return torch.minimum(self.left, self.right)

    @property
    def share(self) -> Tensor:
        """(n,) share of the piece on which the bound is above 0."""
        best = torch.maximum(self.left, self.right)
        partly = (best > 0) & (self.worst <= 0) & self.worst.isfinite()
        crossing = torch.where(partly, best / (best - self.worst).clamp(min=1e-300), 0.0)
        return torch.where(self.worst > 0, 1.0, crossing)


@dataclasses.dataclass(frozen=True, eq=False)
class Others:
    """The scores of the parts that each of V values does not lie in.

    Attributes:
        low: (V,) float64, the lower of the two scores in their middle.
        high: (V,) the upper one.
        limit: How far the score may lie from the middle of all parts.
        slack: By how much each score may differ when it is computed beside other records.
    """

    low: Tensor
    high: Tensor
    limit: float
    slack: float

    @classmethod
    def of(cls, of_parts: Tensor, part: Tensor, stay: Tensor, limit: float, slack: float) -> Self:
        """Look at the scores of all parts.

        Args:
            of_parts: (P, B) scores of the parts of B unchanged stays.
            part: (V,) part that each value lies in.
            stay: (V,) its stay.
            limit: See above.
            slack: See above.
        """
        scores = of_parts[:, stay].clone()
        # The score of a value's own part is moved beyond all others and left out.
        scores[part, torch.arange(len(part))] = torch.inf
        ordered = scores.sort(dim=0).values[:-1]
        middle = len(ordered) // 2
        return cls(ordered[middle - 1], ordered[middle], limit, slack)

    def select(self, which: Tensor) -> Self:
        """Return the others of the values at ``which``."""
        return dataclasses.replace(self, low=self.low[which], high=self.high[which])

    def lead(self, which: Tensor, sign: Tensor, shift: float, whole: Ends, part: Ends) -> Ends:
        """Bound from below how far scores lie beyond a threshold.

        Each score is replaced by linear functions below it. The least of several linear functions is concave, so the
        line through its ends lies below it. Of the lines found so, the one that is above 0 on most of the piece is
        taken.

        Args:
            which: (n,) values that move.
            sign: (n,) +1 for how far scores lie above, -1 for how far they lie below.
            shift: The threshold.
            whole: Of the score of the whole record, in the direction of ``sign`` and from the threshold.
            part: Of the score of the value's own part, likewise.
        """
        up = sign > 0
        low = torch.where(up, self.low[which] - shift, shift - self.high[which]) - self.slack
        high = torch.where(up, self.high[which] - shift, shift - self.low[which]) - self.slack
        middles = [Ends(*(torch.minimum(high, end) for end in own)) for own in (Ends(low, low), part)]
        found = Ends.unknown(len(which))
        for lifted in middles:
            for other in (*(Ends(*(end - self.limit for end in own)) for own in middles), whole):
                ends = (torch.minimum(own + self.limit, second) for own, second in zip(lifted, other, strict=True))
                found = _better(found, Ends(*ends))
        return found

    def outvoted(self, which: Tensor, sign: Tensor, shift: float) -> Tensor:
        """Return the (n,) least lead whatever the values do."""
        nothing = Ends.unknown(len(which))
        return self.lead(which, sign, shift, nothing, nothing).worst


def _better(first: Ends, second: Ends) -> Ends:
    takes = (second.share > first.share) | ((second.share == first.share) & (second.worst > first.worst))
    return Ends(*(torch.where(takes, b, a) for a, b in zip(first, second, strict=True)))
