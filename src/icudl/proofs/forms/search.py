"""Branch and bound: which part of each value's range leaves a prediction as it is, and which part flips it.

The model itself is tried at a few points first, so that a flip that is easy to find is found, and the range is cut
where the class changes. Each piece between two cuts is then bounded by affine forms. The bounds are linear in the
value: where they decide a part of the piece, that part is done, and the rest is tried again on its own, where bounds
are tighter.

Where a network can, all values of a stay are bounded at once alongside the unchanged stay (``alongside``), and whole
ranges are bounded before the model is tried: most of them hold. Parts that stay open are bounded alongside the stay
into which their middle turns it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from icudl.attacks.target.verification import Model
from icudl.proofs.forms.groups import Groups
from icudl.proofs.forms.networks import Band, Prepared
from icudl.proofs.forms.values import NetworkValues
from icudl.proofs.pieces import Found, Pieces, Verdict, in_order

POINTS = 9
"""Values tried over each range before anything is bounded: as many as the attack ``sweep`` tries by default."""

NARROWEST = 4
"""A piece is cut until it is this many times narrower than the width to which ends are exact."""

ALONGSIDE = 1024
"""Pieces bounded at once alongside the unchanged stay."""

NARROW = 1 / 16
"""Pieces at most so wide are bounded alongside stays of their own at once."""

NEAR = 1 / 4
"""Pieces at most so wide get Jacobians of their own where those of the unchanged stay do not decide them."""

_LEAST_GAIN = 0.2
"""Share of a piece that its bounds must decide; below that it is cut in the middle."""

_PARTS = (2, 8)
"""Fewest and most parts of a piece that is bounded alongside again."""

_UNKNOWN = (5, 3)
"""Parts of a wide piece and of a narrow one whose noise says nothing about the parts."""

_SPARE = 0.7
"""Share of the lead without noise that the noise of a part may take."""


class Search:
    """Branch and bound over the values of a batch of stays.

    Args:
        model: The model itself, which is tried at points.
        network: The same model, which bounds pieces; it has read the unchanged stays.
        values: What may be wrong.
        width: To which ends of flipping intervals are exact, in unit coordinates.
        budget: Most pieces to bound for one stay.
        at_once: Passes bounded at once.
        grouped: Whether values are tried in groups before they are tried one by one.
        alongside: Whether values pass alongside the unchanged stay where the network can, in place of groups.
    """

    def __init__(
        self,
        model: Model,
        network: Prepared,
        values: NetworkValues,
        width: float,
        budget: int,
        at_once: int = 8,
        *,
        grouped: bool = True,
        alongside: bool = True,
    ) -> None:
        self.model, self.network, self.values = model, network, values
        self.width, self.budget, self.at_once, self.grouped = width, budget, at_once, grouped
        self.alongside = alongside and network.runs_alongside
        n_values = values.cell.shape[1]
        self.boxes = torch.zeros(n_values, dtype=torch.int64)
        self.witness = torch.full((n_values,), torch.nan, dtype=torch.float64)
        self.now = values.charted
        # (B,) logits that rounding alone makes unsure.
        self.unsure = torch.zeros(len(values.features), dtype=torch.float64)

    def run(self) -> Found:
        """Search until everything is decided or the budget is spent."""
        every = torch.arange(len(self.values.lower))
        spent = torch.zeros(len(self.values.features), dtype=torch.int64)
        if self.alongside:
            whole, left, bands = self._whole(every, spent)
            queue, done, _ = self._tried(left)
            finished = [whole, done]
            # What is known of a whole range need not be bounded again where nothing in it was seen to flip. Where every
            # point flips, it does not help: a band may be a bound of the lead of the present class from below alone.
            known = (queue.low == self.values.lower[queue.value]) & (queue.high == self.values.upper[queue.value])
            known &= ~bands.rest[queue.value].isnan() & ~queue.flipped
            ranges = queue.where(known)
            decided, parts = self._decide(ranges, Band(*(array[ranges.value] for array in bands)))
            finished.append(decided)
            queue = Pieces.joined([queue.where(~known), parts])
        else:
            queue, done, strength = self._tried(every)
            finished = [done]
            if self.grouped:
                decided, queue, spent = Groups(self.network, self.values).decide(queue, strength)
                finished.append(decided)
        while len(queue.value):
            affordable = self._affordable(queue, spent)
            finished.append(queue.where(~affordable))
            queue = queue.where(affordable)
            if not len(queue.value):
                break
            spent += torch.bincount(self.values.stay[queue.value], minlength=len(spent))
            self.boxes += torch.bincount(queue.value, minlength=len(self.boxes))
            decided, queue = self._decide(queue, self._bounded(queue))
            finished.append(decided)
        return Found(in_order(Pieces.joined(finished)), self.boxes, self.witness)

    def _affordable(self, queue: Pieces, spent: Tensor) -> Tensor:
        """Return (n,) bool: the pieces of each stay that its budget still pays for, in order."""
        stay = self.values.stay[queue.value]
        order = torch.argsort(stay, stable=True)
        counts = torch.bincount(stay, minlength=len(spent))
        first = torch.cumsum(counts, 0) - counts
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order)) - first[stay[order]]
        return spent[stay] + place < self.budget

    def _try(self, which: Tensor, at: Tensor) -> Tensor:
        """Return (n,) bool: the model says the other class."""
        return self._margins(which, at) < 0

    def _margins(self, which: Tensor, at: Tensor) -> Tensor:
        """Return the (n,) margins of the model; keep the flip that is nearest to the charted value."""
        margins = self.values.margins(self.model, which, at)
        flips = margins < 0
        for value, place in zip(which[flips].tolist(), at[flips].tolist(), strict=True):
            before, now = float(self.witness[value]), float(self.now[value])
            if not abs(before - now) <= abs(place - now):
                self.witness[value] = place
        return margins

    def _whole(self, which: Tensor, spent: Tensor) -> tuple[Pieces, Tensor, Band]:
        """Bound the whole range of values before anything is tried.

        Args:
            which: Values.
            spent: (B,) pieces bounded for each stay, which these are added to.

        Returns:
            The ranges that hold, the values that are left, and bounds of the leads of all V values over their ranges:
            the rest of those that the budget does not pay for is NaN.
        """
        nothing = torch.full_like(self.values.lower, torch.nan)
        bands = Band(torch.zeros_like(nothing), torch.zeros_like(nothing)[:, None], nothing)
        lower, upper = self.values.lower[which], self.values.upper[which]
        queue = Pieces.to_bound(which, lower, upper, torch.zeros_like(which, dtype=torch.bool))
        affordable = self._affordable(queue, spent)
        queue = queue.where(affordable)
        if not len(queue.value):
            return queue, which, bands
        spent += torch.bincount(self.values.stay[queue.value], minlength=len(spent))
        self.boxes += torch.bincount(queue.value, minlength=len(self.boxes))
        stays, stay = torch.unique(self.values.stay[queue.value], return_inverse=True)
        # The first value of each stay passes once more, and stays where it is.
        first = queue.value[
            torch.zeros_like(stays).scatter_reduce(0, stay, torch.arange(len(stay)), "amin", include_self=False)
        ]
        still = Pieces.to_bound(first, self.now[first], self.now[first], torch.zeros_like(first, dtype=torch.bool))
        every = Pieces.joined([queue, still])
        parts = [self._alongside(every.where(part)) for part in torch.split(torch.arange(len(every.value)), ALONGSIDE)]
        band = Band(*(torch.cat(arrays) for arrays in zip(*parts, strict=True)))
        unsure = band.rest[len(queue.value) :]
        self.unsure[stays] = unsure.where(unsure.isfinite(), 0.0)
        band = Band(*(array[: len(queue.value)] for array in band))
        for array, found in zip(bands, band, strict=True):
            array[queue.value] = found
        bound = band.centre - band.rest - band.slope[:, 0].abs()
        holds = bound > 0
        decided = dataclasses.replace(queue, verdict=torch.full_like(queue.value, Verdict.HOLDS), bound=bound)
        return decided.where(holds), torch.cat([queue.value[~holds], which[~affordable]]).sort().values, bands

    def _tried(self, which: Tensor) -> tuple[Pieces, Pieces, Tensor]:
        """Try the model at equally spaced points of the ranges of some values.

        Returns:
            The pieces to bound, the edges between them, and how far each value of the stays moved the margin.
        """
        lower, upper = self.values.lower[which], self.values.upper[which]
        n_values = len(lower)
        shares = torch.linspace(0, 1, POINTS, dtype=torch.float64)
        points = lower[:, None] * (1 - shares) + upper[:, None] * shares
        points[:, 0], points[:, -1] = lower, upper
        margins = self._margins(which.repeat_interleave(POINTS), points.flatten()).view(n_values, POINTS)
        flips = margins < 0
        pieces = Pieces.to_bound(
            which.repeat_interleave(POINTS - 1),
            points[:, :-1].flatten(),
            points[:, 1:].flatten(),
            flips[:, :-1].flatten(),
        )
        strength = torch.zeros(len(self.boxes), dtype=torch.float64)
        strength[which] = (margins.amax(dim=1) - margins.amin(dim=1)).double()
        calm, edges = self._cut(pieces, flips[:, 1:].flatten())
        return _merged(calm), edges, strength

    def _cut(self, pieces: Pieces, flipped_above: Tensor) -> tuple[Pieces, Pieces]:
        """Cut pieces whose ends differ around the place where the class changes.

        Args:
            pieces: With what the model says at their lower ends.
            flipped_above: (n,) what it says at their upper ends.

        Returns:
            Pieces between which nothing was seen to change, and the edges between them.
        """
        mixed = pieces.flipped != flipped_above
        crossing = pieces.where(mixed)
        low, high = crossing.low, crossing.high
        while len(low) and float((high - low).max()) > self.width / 4:
            middle = (low + high) / 2
            alike = self._try(crossing.value, middle) == crossing.flipped
            low, high = torch.where(alike, middle, low), torch.where(alike, high, middle)
        # The bounds decide nothing at the very place of the change, so the edge gets some room on both sides.
        room = (self.width - (high - low)) / 2
        below = torch.maximum(low - room, (crossing.low + low) / 2)
        above = torch.minimum(high + room, (crossing.high + high) / 2)
        edges = Pieces.edges(crossing.value, below, above)
        parts = [
            pieces.where(~mixed),
            Pieces.to_bound(crossing.value, crossing.low, below, crossing.flipped),
            Pieces.to_bound(crossing.value, above, crossing.high, ~crossing.flipped),
        ]
        calm = Pieces.joined(parts)
        # A single point is an end of its neighbours, which say all there is to say.
        return calm.where(calm.high > calm.low), edges

    def _bounded(self, queue: Pieces) -> Band:
        """Bound the lead of the present class on each piece."""
        if not self.alongside:
            return self._by_forms(queue)
        nothing = torch.full_like(queue.low, torch.inf)
        band = Band(torch.zeros_like(nothing), torch.zeros_like(nothing)[:, None], nothing)
        width = queue.high - queue.low
        # What is so narrow is a part of something that the Jacobians of the unchanged stay left open.
        self._fill(band, queue, width > NARROW, self._alongside)
        lead = torch.where(queue.flipped, -band.centre, band.centre) - band.rest - band.slope[:, 0].abs()
        self._fill(band, queue, (lead <= 0) & (width <= NEAR), self._centred)
        return band

    @staticmethod
    def _fill(band: Band, queue: Pieces, chosen: Tensor, bound: Callable[[Pieces], Band]) -> None:
        """Put bounds of the chosen pieces of a queue into those of all."""
        where = chosen.nonzero()[:, 0]
        for part in torch.split(where, ALONGSIDE) if len(where) else ():
            for array, found in zip(band, bound(queue.where(part)), strict=True):
                array[part] = found

    def _alongside(self, queue: Pieces) -> Band:
        """Bound the lead of the present class on each piece, hundreds of pieces at once."""
        found = self.network.alongside(self.values.passes(queue.value, queue.low, queue.high))
        return self._of_present_class(queue, [found], torch.arange(len(queue.value)))

    def _centred(self, queue: Pieces) -> Band:
        """Bound the lead of the present class on each piece, alongside the stay as its middle would change it."""
        band = self.network.centred(self.values.passes(queue.value, queue.low, queue.high))
        return self._of_present_class(queue, [band], torch.arange(len(queue.value)))

    def _by_forms(self, queue: Pieces) -> Band:
        """Bound the lead of the present class on each piece, each by forms of its own."""
        values = self.values
        reach = values.reach(queue.value) != 0
        order = torch.argsort(reach.int().argmax(dim=1), stable=True)
        bands = []
        for start in range(0, len(order), self.at_once):
            chosen = order[start : start + self.at_once]
            part = queue.where(chosen)
            bands.append(self.network.band(values.passes(part.value, part.low, part.high)))
        return self._of_present_class(queue, bands, order)

    def _of_present_class(self, queue: Pieces, bands: Sequence[Band], order: Tensor) -> Band:
        """Return bounds of the leads of the present class; ``bands`` are of the pieces of a queue in some order."""
        values, back = self.values, torch.argsort(order)
        centre, slope, rest = (torch.cat(arrays)[back] for arrays in zip(*bands, strict=True))
        sign = values.sign[values.stay[queue.value]]
        return Band(sign * (centre - values.target.shift), sign[:, None] * slope, rest)

    def _decide(self, queue: Pieces, band: Band) -> tuple[Pieces, Pieces]:
        """Return the pieces that are done, and what is left of the others."""
        lead = torch.where(queue.flipped, -band.centre, band.centre)
        slope = torch.where(queue.flipped, -band.slope[:, 0], band.slope[:, 0])
        # The lead of the class that the piece should have is at least lead - rest + slope e for e from -1 to 1.
        base = lead - band.rest
        worst = base - slope.abs()
        bound = torch.where(queue.flipped, -worst, worst)
        verdict = torch.where(queue.flipped, int(Verdict.FLIPS), int(Verdict.HOLDS))
        whole = worst > 0
        # No part of a piece can be decided where even its best point lies within the rounding.
        lost = band.centre.abs() + slope.abs() < self.unsure[self.values.stay[queue.value]]
        narrow = ((queue.high - queue.low) <= self.width / NARROWEST) | lost
        decided = dataclasses.replace(queue, verdict=torch.where(whole, verdict, queue.verdict), bound=bound)
        parts = [decided.where(whole | narrow)]
        queue, base, slope = queue.where(~whole & ~narrow), base[~whole & ~narrow], slope[~whole & ~narrow]
        if not len(queue.value):
            return parts[0], queue
        # base + slope e > 0 beyond e = -base / slope, on the side to which the slope rises.
        root = torch.where(slope == 0, 1.0, -base / slope).clamp(-1, 1)
        rising = slope > 0
        share = torch.where(rising, (1 - root) / 2, (root + 1) / 2)
        partly = (share > _LEAST_GAIN) & (slope != 0)
        done, rest = self._split(queue.where(partly), root[partly], base[partly], slope[partly])
        counts = torch.full_like(queue.value, 2)
        if self.alongside:
            counts = _parts(base - slope.abs(), band.rest[~whole & ~narrow], queue.high - queue.low)
        divided, edges = self._divided(queue.where(~partly), counts[~partly])
        return Pieces.joined([*parts, done, edges]), Pieces.joined([rest, divided])

    def _split(self, queue: Pieces, root: Tensor, base: Tensor, slope: Tensor) -> tuple[Pieces, Pieces]:
        """Return the part of each piece that its bounds decide, and the rest."""
        rising = slope > 0
        # A tenth of the way beyond the root, so that rounding the place of the cut changes nothing.
        root = root + (torch.where(rising, 1.0, -1.0) - root) / 10
        cut = (queue.low + queue.high) / 2 + root * (queue.high - queue.low) / 2
        bound = base + slope * root
        done = dataclasses.replace(
            queue,
            low=torch.where(rising, cut, queue.low),
            high=torch.where(rising, queue.high, cut),
            verdict=torch.where(queue.flipped, int(Verdict.FLIPS), int(Verdict.HOLDS)),
            bound=torch.where(queue.flipped, -bound, bound),
        )
        rest = dataclasses.replace(
            queue, low=torch.where(rising, queue.low, cut), high=torch.where(rising, cut, queue.high)
        )
        return done, rest

    def _divided(self, queue: Pieces, counts: Tensor) -> tuple[Pieces, Pieces]:
        """Return equal parts of each piece, and the edges where the model says something else in between.

        Args:
            queue: Pieces at whose both ends the model says the same.
            counts: (n,) parts of each.
        """
        which = torch.repeat_interleave(torch.arange(len(counts)), counts)
        number = torch.arange(len(which)) - torch.repeat_interleave(torch.cumsum(counts, 0) - counts, counts)
        wide, count = queue.where(which), counts[which].double()
        low = wide.low + (wide.high - wide.low) * (number / count)
        begins, ends = number == 0, number == counts[which] - 1
        # The end of a part is the very number at which the next one begins.
        high = torch.where(ends, wide.high, low.roll(-1))
        inner = ~begins
        below = wide.flipped.clone()
        below[inner] = self._try(wide.value[inner], low[inner])
        above = torch.where(ends, wide.flipped, below.roll(-1))
        return self._cut(Pieces.to_bound(wide.value, low, high, below), above)


def _parts(lead: Tensor, rest: Tensor, width: Tensor) -> Tensor:
    """Return in how many parts to cut (n,) pieces that passes alongside leave open.

    Noise is of second order in the width of a piece: in a k-th of it, it is some k^2 times smaller.

    Args:
        lead: Least lead over the piece.
        rest: The noise that it allows for.
        width: Of the piece.
    """
    linear = lead + rest
    wanted = (rest / (_SPARE * linear)).sqrt().ceil().clamp(*_PARTS)
    unknown = torch.where(width > NEAR, float(_UNKNOWN[0]), float(_UNKNOWN[1]))
    return torch.where(linear > 0, wanted, unknown).long()


def _merged(pieces: Pieces) -> Pieces:
    """Join neighbouring pieces of one value at whose ends the model says the same."""
    pieces = in_order(pieces)
    if len(pieces.value) < 2:
        return pieces
    goes_on = (
        (pieces.value[1:] == pieces.value[:-1])
        & (pieces.low[1:] == pieces.high[:-1])
        & (pieces.flipped[1:] == pieces.flipped[:-1])
    )
    starts = torch.cat([torch.tensor([True]), ~goes_on])
    ends = torch.cat([~goes_on, torch.tensor([True])])
    return Pieces.to_bound(pieces.value[starts], pieces.low[starts], pieces.high[ends], pieces.flipped[starts])
