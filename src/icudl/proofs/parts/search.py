"""Proofs about single values of records that are read whole and in parts.

Most values are outvoted: whatever they do, the other parts hold the score on its side. Of the others, the score of the
whole record and that of the value's own part are bounded by the same search that proves networks by themselves
(``proofs.forms.search``), and only where they matter.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from icudl.artifacts import Checkpoint
from icudl.attacks.run.shards import Shard
from icudl.attacks.target.charted import ChartedTarget
from icudl.models.charted.parts import PartsModel, limited
from icudl.proofs.forms.networks import Band, Network, Way
from icudl.proofs.forms.search import Search
from icudl.proofs.options import CertifyOptions
from icudl.proofs.parts.readings import Reading, Readings, RecordValues
from icudl.proofs.parts.rule import Ends, Others
from icudl.proofs.pieces import Found, Pieces, Verdict, in_order
from icudl.proofs.values import Values


class PartsSearch(Search):
    """Branch and bound over values of records that are read whole and in parts.

    Args:
        model: The model itself.
        readings: Of the stays.
        values: The values of the whole records.
        part: (V,) part that each value lies in.
        others: What the other parts say.
        options: Width and budget.
    """

    def __init__(
        self,
        model: PartsModel,
        readings: Readings,
        values: RecordValues,
        part: Tensor,
        others: Others,
        options: CertifyOptions,
    ) -> None:
        prepared, at_once = readings.whole.prepared, readings.whole.network.at_once
        super().__init__(model, prepared, values, options.width, options.boxes, at_once, grouped=False)
        self.readings, self.record, self.part, self.others = readings, values.record, part, others

    def _alongside(self, queue: Pieces) -> Band:
        return self._combined(queue, Way.ALONGSIDE)

    def _centred(self, queue: Pieces) -> Band:
        return self._combined(queue, Way.CENTRED)

    def _by_forms(self, queue: Pieces) -> Band:
        return self._combined(queue, Way.FORMS)

    def run(self) -> Found:
        """Search until everything is decided or the budget is spent; the pieces cover the whole charted ranges."""
        found = super().run()
        record = self.record
        witness = torch.minimum(torch.maximum(found.witness, record.lower), record.upper)
        return Found(self._over_whole_ranges(found.pieces), self.boxes, witness)

    def _combined(self, queue: Pieces, way: Way) -> Band:
        """Bound the lead of the class that each piece should have, from below; whole records come first."""
        values, which, limit = self.values, queue.value, self.others.limit
        sign = values.sign[values.stay[which]] * torch.where(queue.flipped, -1.0, 1.0)
        lead = functools.partial(self.others.lead, which, sign, values.target.shift)
        unknown = Ends.unknown(len(which))
        most = Ends(-unknown.left, -unknown.right)
        by_whole = (lead(most, unknown).worst > 0) & (limit > 0)
        by_part = lead(unknown, most).worst > 0
        asks_whole, asks_part = (by_whole | ~by_part) & (limit > 0), ~by_whole
        whole = self._ends(queue, sign, asks_whole, unknown, [self.readings.whole], way)
        part = self._ends(queue, sign, asks_part, unknown, self.readings.parts, way)
        found = lead(whole, part)
        asks_whole, asks_part = (
            ~asked & (lead(*could).share > found.share)
            for asked, could in ((asks_whole, (most, part)), (asks_part, (whole, most)))
        )
        whole = self._ends(queue, sign, asks_whole, whole, [self.readings.whole], way)
        part = self._ends(queue, sign, asks_part, part, self.readings.parts, way)
        found = lead(whole, part)
        known = found.worst.isfinite()
        middle = torch.where(known, (found.left + found.right) / 2, -torch.inf)
        move = torch.where(known, (found.right - found.left) / 2, 0.0)
        side = torch.where(queue.flipped, -1.0, 1.0)
        return Band(side * middle, (side * move)[:, None], torch.zeros_like(middle))

    def _ends(
        self, queue: Pieces, sign: Tensor, asked: Tensor, known: Ends, readings: Sequence[Reading], way: Way
    ) -> Ends:
        """Return ``known`` with bounds of a score where it is asked for: of whole records, or of each value's part."""
        left, right = known.left.clone(), known.right.clone()
        for number, reading in enumerate(readings):
            own = asked if len(readings) == 1 else asked & (self.part[queue.value] == number)
            chosen = own.nonzero()[:, 0]
            if not len(chosen):
                continue
            pieces = queue.where(chosen)
            band = reading.band(pieces.value, pieces.low, pieces.high, way)
            middle = sign[chosen] * (band.centre - self.values.target.shift) - band.rest
            move = sign[chosen] * band.slope[:, 0]
            left[chosen], right[chosen] = middle - move, middle + move
        return Ends(left, right)

    def _over_whole_ranges(self, pieces: Pieces) -> Pieces:
        """Return the pieces with what lies beyond the winsor limits, where a network reads the limit."""
        record, values = self.record, self.values
        lost = torch.bincount(pieces.value, minlength=len(record.lower)) == 0
        alone = self._at(lost.nonzero()[:, 0], values.lower[lost])
        alone = dataclasses.replace(alone, low=record.lower[lost], high=record.upper[lost])
        pieces = in_order(pieces)
        changes = pieces.value[1:] != pieces.value[:-1]
        end = torch.tensor([True])[: len(pieces.value)]
        first, last = torch.cat([end, changes]), torch.cat([changes, end])
        lower, upper = record.lower[pieces.value], record.upper[pieces.value]
        settled = (pieces.verdict == Verdict.HOLDS) | (pieces.verdict == Verdict.FLIPS)
        below, above = first & ~settled & (lower < pieces.low), last & ~settled & (upper > pieces.high)
        beyond = [
            dataclasses.replace(self._at(pieces.value[below], pieces.low[below]), low=lower[below]),
            dataclasses.replace(self._at(pieces.value[above], pieces.high[above]), high=upper[above]),
        ]
        low = torch.where(first & settled, lower, pieces.low)
        high = torch.where(last & settled, upper, pieces.high)
        return in_order(Pieces.joined([dataclasses.replace(pieces, low=low, high=high), alone, *beyond]))

    def _at(self, which: Tensor, at: Tensor) -> Pieces:
        """Decide single points, as far as the budget goes."""
        queue = Pieces.to_bound(which, at, at, self._try(which, at))
        spent = torch.zeros(len(self.values.features), dtype=torch.int64)
        spent.index_add_(0, self.values.stay, self.boxes)
        affordable = self._affordable(queue, spent)
        rest, queue = queue.where(~affordable), queue.where(affordable)
        if not len(queue.value):
            return rest
        self.boxes += torch.bincount(queue.value, minlength=len(self.boxes))
        band = self._bounded(queue)
        lead = torch.where(queue.flipped, -band.centre, band.centre) - band.rest - band.slope[:, 0].abs()
        decided = torch.where(queue.flipped, int(Verdict.FLIPS), int(Verdict.HOLDS))
        verdict = torch.where(lead > 0, decided, int(Verdict.OPEN))
        bound = torch.where(queue.flipped, -lead, lead)
        return Pieces.joined([rest, dataclasses.replace(queue, verdict=verdict, bound=bound)])


def search_parts(
    model: PartsModel,
    network: Network,
    checkpoint: Checkpoint,
    shard: Shard,
    values: Values[ChartedTarget],
    says_death: Tensor,
    options: CertifyOptions,
) -> Found:
    """Decide values of stays that a network reads whole and in parts.

    Args:
        model: The model.
        network: Its network, which bounds intervals.
        checkpoint: What the model was made from.
        shard: N stays.
        values: V values of B of them.
        says_death: (B,) what the model says of the unchanged stays.
        options: Width and budget.
    """
    every = torch.arange(values.cell.shape[1])
    target = values.target
    stays = target.bound.select(target.rows.numpy())
    whole, of_parts = model.scores(stays)
    part = torch.from_numpy(model.part_of(stays))[tuple(values.cell)]
    others = Others.of(torch.from_numpy(of_parts), part, values.stay, model.limit, model.slack)
    sign = torch.where(says_death, 1.0, -1.0).double()[values.stay]
    reads_values = "value" in model.inputs.channels
    if reads_values:
        bound = others.outvoted(every, sign, target.shift)
    else:
        score = torch.from_numpy(limited(whole, of_parts, model.limit))[values.stay]
        bound = sign * (score - target.shift) - model.slack
    queue = Pieces.to_bound(every, values.lower, values.upper, torch.zeros_like(every, dtype=torch.bool))
    held = bound > 0
    verdict = torch.where(held, int(Verdict.HOLDS), int(Verdict.OPEN))
    queue = dataclasses.replace(queue, verdict=verdict, bound=bound)
    boxes, witness = torch.zeros_like(every), torch.full_like(values.lower, torch.nan)
    left = (~held).nonzero()[:, 0]
    if not len(left) or not reads_values:
        return Found(in_order(queue), boxes, witness)
    rows, stay = torch.unique(values.stay[left], return_inverse=True)
    cell = torch.cat([stay[None], values.cell[1:, left]])
    record = Values(target.select(rows), cell, values.lower[left], values.upper[left])
    readings = Readings.of(model, network, checkpoint, shard, record, says_death[rows])
    search = PartsSearch(
        model,
        readings,
        RecordValues.around(readings.whole.values, record),
        part[left],
        others.select(left),
        options,
    )
    found = search.run()
    boxes[left], witness[left] = found.boxes, found.witness
    searched = dataclasses.replace(found.pieces, value=left[found.pieces.value])
    return Found(in_order(Pieces.joined([queue.where(held), searched])), boxes, witness)
