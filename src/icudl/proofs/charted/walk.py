"""Which part of each value's range flips the prediction of a model of charted values: a walk from break to break.

Between two neighbouring break points the score is constant (trees) or monotone (logistic regression), and a data set
holds numbers in single precision. So the margins at the break points, at their neighbours in single precision and
between them decide the whole range (``models.charted.one_value``); a class that changes in between is bisected.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from icudl.attacks.target.charted import PiecewiseChartedTarget
from icudl.proofs.pieces import Found, Pieces, Verdict, in_order
from icudl.proofs.values import Values

ROOM = 1e-9
"""Logits that a bound has to spare: many times what a sum of some hundred products in double precision rounds away."""

_BISECTIONS = 60


class Walk:
    """A walk through the values of some stays.

    Args:
        values: What may be wrong.
        width: To which ends of flipping intervals are exact, in unit coordinates.
    """

    def __init__(self, values: Values[PiecewiseChartedTarget], width: float) -> None:
        self.values, self.width = values, width
        self.n_variables = values.target.values.shape[2]

    def run(self) -> Found:
        """Decide every value."""
        values, parts, boxes, witness = self.values, [], [], []
        for value in range(values.cell.shape[1]):
            points, margins, steady = self._points(value)
            points, margins = self._bisected(value, points, margins)
            parts.append(self._pieces(value, points, margins, steady=steady))
            boxes.append(len(points) - 1)
            flips = points[margins < 0]
            away = (flips - values.charted[value]).abs()
            witness.append(float(flips[away.argmin()]) if len(flips) else torch.nan)
        if not parts:
            none = torch.zeros(0, dtype=torch.float64)
            empty = Pieces.to_bound(none.long(), none, none, none.bool())
            return Found(empty, none.long(), none)
        return Found(in_order(Pieces.joined(parts)), torch.tensor(boxes), torch.tensor(witness, dtype=torch.float64))

    def _place(self, value: int) -> tuple[int, int]:
        stay, hour, variable = self.values.cell[:, value].tolist()
        return stay, hour * self.n_variables + variable

    def _points(self, value: int) -> tuple[Tensor, Tensor, bool]:
        """Return the points that decide about a value, their margins, and whether these are constant in between."""
        target, (row, cell) = self.values.target, self._place(value)
        breaks, steady = target.pieces(row, cell)
        below, at, above = target.representable(cell, breaks)
        inside = target.representable(cell, (breaks[:-1] + breaks[1:]) / 2)[1]
        points = torch.cat([breaks[[0, -1]], below, at, above, inside]).clamp(breaks[0], breaks[-1])
        points = torch.from_numpy(np.unique(points.numpy()))
        return points, target.single_margins(row, cell, points), steady

    def _bisected(self, value: int, points: Tensor, margins: Tensor) -> tuple[Tensor, Tensor]:
        """Add points until the class changes within a quarter of the width only."""
        target, (row, cell) = self.values.target, self._place(value)
        for _ in range(_BISECTIONS):
            wide = (margins[1:] < 0) != (margins[:-1] < 0)
            wide &= points[1:] - points[:-1] > self.width / 4
            if not wide.any():
                break
            middle = target.representable(cell, ((points[1:] + points[:-1]) / 2)[wide])[1]
            middle = middle[~torch.isin(middle, points)]
            if not len(middle):
                break
            found = torch.cat([margins, target.single_margins(row, cell, middle)])
            points, order = torch.cat([points, middle]).sort()
            margins = found[order]
        return points, margins

    def _pieces(self, value: int, points: Tensor, margins: Tensor, *, steady: bool) -> Pieces:
        """Return the pieces between the points, neighbours of one verdict joined."""
        least, most = torch.minimum(margins[:-1], margins[1:]), torch.maximum(margins[:-1], margins[1:])
        room = 0.0 if steady else ROOM
        verdict = torch.full_like(least, Verdict.OPEN, dtype=torch.int64)
        verdict[(least < 0) & (most >= 0)] = Verdict.EDGE
        verdict[least > room], verdict[most < -room] = Verdict.HOLDS, Verdict.FLIPS
        starts = torch.cat([torch.tensor([True]), verdict[1:] != verdict[:-1]])
        group = torch.cumsum(starts, 0) - 1
        first = starts.nonzero()[:, 0]
        last = torch.cat([first[1:], torch.tensor([len(verdict)])])
        ends = torch.zeros(len(first), dtype=torch.float64)
        lowest = ends.scatter_reduce(0, group, least - room, "amin", include_self=False)
        highest = ends.scatter_reduce(0, group, most + room, "amax", include_self=False)
        kind = verdict[first]
        bound = torch.where(kind == Verdict.FLIPS, highest, lowest)
        bound[kind == Verdict.EDGE] = torch.nan
        return Pieces(
            value=torch.full_like(first, value),
            low=points[first],
            high=points[last],
            verdict=kind,
            bound=bound,
            flipped=kind == Verdict.FLIPS,
        )
