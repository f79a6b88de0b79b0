"""Any two values of a stay wrong at once, each anywhere in its range: what a model of window summaries cannot do then.

All pairs are covered by boxes: first all values of one or two variables, then two values, then parts of their ranges.
In a box each window summary lies between two numbers (``boxes``), and so does the score. A model that adds up what it
makes of each variable needs no boxes for two variables: what each value can do alone is known from its pieces.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from icudl.attacks.target.charted import PiecewiseChartedTarget, PiecewiseScorer
from icudl.models.charted.base import Float64s
from icudl.models.charted.window import SUMMARIES
from icudl.proofs.charted.boxes import N_MOVING, Bounds, bounds_of, is_additive, summaries_between, summaries_of_two
from icudl.proofs.charted.walk import ROOM
from icudl.proofs.pieces import Found, Verdict
from icudl.proofs.values import Values

AT_ONCE = 128
BOXES = 20_000
"""Most boxes bounded for one stay; a stay that needs more is not proven."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Own:
    """The values of one stay.

    Attributes:
        row: Position of the stay among those of the scorer.
        value: (V,) positions of its values.
        hour: (V,).
        variable: (V,).
        low: (V,) lower ends in clinical units.
        high: (V,) upper ends.
        sign: +1 where the model says death, -1 where it says survival.
    """

    row: int
    value: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    variable: npt.NDArray[np.int64]
    low: Float64s
    high: Float64s
    sign: float


@dataclasses.dataclass(frozen=True)
class _Box:
    """Two values of a stay, by their places among its values, each between two ends in clinical units."""

    first: int
    second: int
    low: tuple[float, float]
    high: tuple[float, float]

    def quarters(self) -> Iterator[_Box]:
        """Return the box cut in the middle of both ranges."""
        middle = tuple((low + high) / 2 for low, high in zip(self.low, self.high, strict=True))
        halves = [((low, at), (at, high)) for low, at, high in zip(self.low, middle, self.high, strict=True)]
        for one in halves[0]:
            for other in halves[1]:
                yield _Box(self.first, self.second, (one[0], other[0]), (one[1], other[1]))


class Pairs:
    """Bounds what any two values do to a stay.

    Args:
        values: What may be wrong.
        found: What is known of each value alone.
        scorer: Of the target of the values.
        bounds: Of the scorer's model.
    """

    def __init__(
        self, values: Values[PiecewiseChartedTarget], found: Found, scorer: PiecewiseScorer, bounds: Bounds
    ) -> None:
        self.values, self.found, self.scorer, self.bounds = values, found, scorer, bounds
        target = values.target
        # One number outward, so that nothing is lost where the two ways to clinical units round differently.
        self.low = np.nextafter(target.clinical(target.lower), np.float32(-np.inf)).astype(np.float64)
        self.high = np.nextafter(target.clinical(target.upper), np.float32(np.inf)).astype(np.float64)

    @classmethod
    def of(cls, values: Values[PiecewiseChartedTarget], found: Found) -> Pairs | None:
        """Return the pairs of a model; None where its boxes cannot be bounded."""
        scorer = values.target.scorer
        if not isinstance(scorer, PiecewiseScorer):
            return None
        bounds = bounds_of(scorer.model)
        return None if bounds is None else cls(values, found, scorer, bounds)

    def least(self, stay: int) -> float:
        """Return the least lead of the present class, in logits; minus infinity where nothing is known.

        Args:
            stay: Position of the stay.
        """
        own = self._own(stay)
        if not len(own.value):
            return np.inf
        alone = self._alone(own)
        if not (alone > 0).all():
            return -np.inf
        least = float(alone.min())
        added = is_additive(self.scorer.model)
        if added:
            least = min(least, self._added(stay, own, alone))
        if least <= ROOM:
            return least
        covered, boxes = self._covered(own, across=not added)
        return min(least, covered, self._divided(stay, own, deque(boxes)))

    def _own(self, stay: int) -> _Own:
        which = (self.values.stay == stay).nonzero()[:, 0].numpy()
        hour, variable = self.values.cell[1:, torch.from_numpy(which)].numpy()
        place = (np.full(len(which), stay), hour, variable)
        target = self.values.target
        return _Own(
            int(target.rows[stay]), which, hour, variable, self.low[place], self.high[place], float(target.sign[stay])
        )

    def _alone(self, own: _Own) -> Float64s:
        """Return the (V,) least leads while each value is wrong alone; minus infinity where one flips or is open."""
        pieces = self.found.pieces
        bound = torch.where(pieces.verdict == Verdict.HOLDS, pieces.bound, -torch.inf)
        least = torch.full((self.values.cell.shape[1],), torch.inf, dtype=torch.float64)
        found: Float64s = least.scatter_reduce(0, pieces.value, bound, "amin").numpy()[own.value]
        return found

    def _added(self, stay: int, own: _Own, alone: Float64s) -> float:
        """Return the least lead while two values of different variables are wrong, for a model that adds them up."""
        now = float(self.values.target.select(torch.tensor([stay])).margin(self.values.target.values[[stay]]))
        falls = sorted(float((alone[own.variable == each] - now).min()) for each in np.unique(own.variable))
        return now + sum(min(fall, 0.0) for fall in falls[:2]) - ROOM

    @staticmethod
    def _of_variables(own: _Own, pair: tuple[int, int]) -> Iterator[_Box]:
        """Return a box for each two values of two variables, or of one."""
        one, other = (np.flatnonzero(own.variable == name).tolist() for name in pair)
        for first in one:
            for second in other:
                if pair[0] == pair[1] and second <= first:
                    continue
                ends = tuple((float(end[first]), float(end[second])) for end in (own.low, own.high))
                yield _Box(first, second, ends[0], ends[1])

    def _covered(self, own: _Own, *, across: bool) -> tuple[float, list[_Box]]:
        """Bound all values of a variable together, and those of two.

        Args:
            own: The values of the stay.
            across: Whether pairs of values of different variables are asked about, too.

        Returns:
            The least lead where that decides, and boxes of two values for all else.
        """
        names = np.unique(own.variable)
        hulls = {}
        for name in names.tolist():
            ends = [
                self._summaries(own, name, [((place, own.low[place], own.high[place]),)])
                for place in np.flatnonzero(own.variable == name).tolist()
            ]
            hulls[name] = np.min([low for low, _ in ends], axis=0)[0], np.max([high for _, high in ends], axis=0)[0]
        alone = [(name, name) for name in names.tolist() if int((own.variable == name).sum()) > 1]
        pairs = [(one, other) for number, one in enumerate(names.tolist()) for other in names.tolist()[number + 1 :]]
        moved = [{name: self._any_two(own, name)} for name, _ in alone]
        if across:
            moved += [{name: hulls[name] for name in pair} for pair in pairs]
            alone += pairs
        starts = range(0, len(moved), AT_ONCE)
        leads = np.concatenate([self._leads(own, moved[at : at + AT_ONCE]) for at in starts] or [np.zeros(0)])
        rest = [pair for pair, lead in zip(alone, leads.tolist(), strict=True) if not lead > ROOM]
        least = float(leads[leads > ROOM].min(initial=np.inf))
        return least, [box for pair in rest for box in self._of_variables(own, pair)]

    def _any_two(self, own: _Own, variable: int) -> tuple[Float64s, Float64s]:
        """Return between which numbers the summaries of a variable lie while any two of its values move."""
        hours, series = self._series(own, variable)
        low, high = series.copy(), series.copy()
        for place in np.flatnonzero(own.variable == variable).tolist():
            at = int(np.searchsorted(hours, own.hour[place]))
            low[at], high[at] = min(low[at], own.low[place]), max(high[at], own.high[place])
        return summaries_of_two(hours, series, low, high)

    def _divided(self, stay: int, own: _Own, queue: deque[_Box]) -> float:
        """Bound boxes, and cut those that are not decided, until all are or one flips or the budget is spent."""
        least, left = np.inf, BOXES
        while queue:
            part = [queue.popleft() for _ in range(min(AT_ONCE, len(queue)))]
            left -= len(part)
            if left < 0:
                return -np.inf
            leads = self._leads(own, [self._moved(own, box) for box in part])
            least = min(least, float(leads[leads > ROOM].min(initial=np.inf)))
            rest = [box for box, lead in zip(part, leads.tolist(), strict=True) if not lead > ROOM]
            if rest and self._flips(stay, own, rest):
                return -np.inf
            # Depth first: a pair that flips is met before all others are cut.
            queue.extendleft(quarter for box in rest for quarter in box.quarters())
        return least

    def _moved(self, own: _Own, box: _Box) -> dict[int, tuple[Float64s, Float64s]]:
        """Return between which numbers the summaries of the variables of a box lie."""
        first = (box.first, box.low[0], box.high[0])
        second = (box.second, box.low[1], box.high[1])
        one, other = int(own.variable[box.first]), int(own.variable[box.second])
        parts = {one: ((first, second),)} if one == other else {one: ((first,),), other: ((second,),)}
        found = {}
        for name, moving in parts.items():
            low, high = self._summaries(own, name, list(moving))
            found[name] = low[0], high[0]
        return found

    def _summaries(
        self, own: _Own, variable: int, moving: list[tuple[tuple[int, float, float], ...]]
    ) -> tuple[Float64s, Float64s]:
        hours, series = self._series(own, variable)
        low = np.repeat(series[None], len(moving), axis=0)
        high = low.copy()
        for row, places in enumerate(moving):
            for place, least, most in places:
                at = int(np.searchsorted(hours, own.hour[place]))
                low[row, at], high[row, at] = least, most
        return summaries_between(hours, low, high)

    def _series(self, own: _Own, variable: int) -> tuple[npt.NDArray[np.int64], Float64s]:
        """Return the hours of a variable's charted values, and the values."""
        length = int(self.scorer.stays.lengths[own.row])
        series = self.scorer.stays.values[own.row, :length, variable].astype(np.float64)
        hours = np.flatnonzero(~np.isnan(series))
        return hours, series[hours]

    def _leads(self, own: _Own, moved: list[dict[int, tuple[Float64s, Float64s]]]) -> Float64s:
        """Return the (n,) least leads while the summaries of some variables lie between numbers."""
        low = np.repeat(self.scorer.columns[own.row][None], len(moved), axis=0)
        high = low.copy()
        for row, variables in enumerate(moved):
            for name, ends in variables.items():
                start = name * len(SUMMARIES)
                low[row, start : start + N_MOVING], high[row, start : start + N_MOVING] = ends
        least, greatest = self.bounds(low, high)
        shift, target = self.values.target.shift, self.values.target
        leads: Float64s = (least - shift if own.sign > 0 else shift - greatest) + target.confidence
        return leads

    def _flips(self, stay: int, own: _Own, boxes: list[_Box]) -> bool:
        """Return whether the model itself says the other class at a corner of one of the boxes."""
        target = self.values.target
        shown = boxes[: AT_ONCE // 4]
        changed = target.values[[stay] * (4 * len(shown))].clone()
        limits = target.lower[stay], target.upper[stay]
        for number, box in enumerate(shown):
            for corner in range(4):
                for place, side in ((0, corner % 2), (1, corner // 2)):
                    value = (box.first, box.second)[place]
                    cell = int(own.hour[value]), int(own.variable[value])
                    whole = own.high[value] - own.low[value]
                    share = ((box.high if side else box.low)[place] - own.low[value]) / whole if whole > 0 else 0.0
                    low, high = (float(limit[cell]) for limit in limits)
                    changed[4 * number + corner, cell[0], cell[1]] = min(max(low + share * (high - low), low), high)
        margins = target.select(torch.full((len(changed),), stay)).margin(changed)
        return bool((margins < 0).any())
