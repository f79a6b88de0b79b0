"""Several values decided by one pass: any one of them may move over its whole interval, and no two at once.

A pass carries the unknowns of these values beside those of the errors, which are many more, so it costs little more
than a pass about one value. Relaxations hold for whatever any of the values does, and what the bound says about each
value by itself decides most of them. What is left is tried one by one.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from icudl.proofs.forms.affine import Freedom
from icudl.proofs.forms.networks import Prepared
from icudl.proofs.forms.values import NetworkValues
from icudl.proofs.pieces import Pieces, Verdict

SIZE = 4
"""Values in a group. Of eight, the errors of all together seldom leave a bound that decides anything."""

WEAK = 0.75
"""Share of the values of a stay that are grouped: those that move the margin least at the points tried."""

PASSES_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Groups:
    """Decides pieces of values in groups.

    Attributes:
        network: Has read the unchanged stays.
        values: What may be wrong.
    """

    network: Prepared
    values: NetworkValues

    def decide(self, queue: Pieces, strength: Tensor) -> tuple[Pieces, Pieces, Tensor]:
        """Decide pieces at both ends of which the stay holds and in which the charted value lies.

        Args:
            queue: Pieces to bound.
            strength: (V,) by how much the margin of each value differs between the points tried.

        Returns:
            Pieces that hold, the others, and (B,) passes made for each stay.
        """
        values = self.values
        spent = torch.zeros(len(values.features), dtype=torch.int64)
        now = values.charted[queue.value]
        fits = ~queue.flipped & (queue.low <= now) & (now <= queue.high)
        groups = self._divided(queue, fits, strength)
        if not len(groups):
            return queue.where(torch.zeros_like(fits)), queue, spent
        spent += torch.bincount(values.stay[queue.value[groups[:, 0]]], minlength=len(spent))
        found, is_there = self.bounds(queue, groups), groups >= 0
        bound = torch.full_like(queue.low, -torch.inf)
        bound[groups[is_there]] = found[is_there]
        holds = bound > 0
        decided = dataclasses.replace(queue, verdict=torch.where(holds, int(Verdict.HOLDS), queue.verdict), bound=bound)
        return decided.where(holds), queue.where(~holds), spent

    def bounds(self, queue: Pieces, groups: Tensor) -> Tensor:
        """Return the (n, K) least leads of the present class while each piece of (n, K) groups moves alone."""
        values, size = self.values, groups.shape[1]
        freedom = Freedom(2 * size, 1, one_sided=True)
        found = []
        for start in range(0, len(groups), PASSES_AT_ONCE):
            part = groups[start : start + PASSES_AT_ONCE]
            place = part.clamp(min=0)
            which = torch.where(part >= 0, queue.value[place], -1)
            band = self.network.band(values.group_passes(which, queue.low[place], queue.high[place], freedom))
            sign = values.sign[values.stay[which[:, 0]]]
            lead = sign * (band.centre - values.target.shift) - band.rest
            slope = sign[:, None] * band.slope
            worst = torch.minimum(slope[:, :size], slope[:, size:]).clamp(max=0)
            found.append(lead[:, None] + worst)
        return torch.cat(found)

    def _divided(self, queue: Pieces, fits: Tensor, strength: Tensor) -> Tensor:
        """Return (n, ``SIZE``) groups of weak pieces of one stay each, -1 for none, by the first hour they reach."""
        stay = self.values.stay[queue.value]
        first = self.values.reach(queue.value).ne(0).int().argmax(dim=1)
        found = []
        for each in torch.unique(stay[fits]).tolist():
            own = (fits & (stay == each)).nonzero()[:, 0]
            weak = torch.argsort(strength[queue.value[own]], stable=True)[: int(WEAK * len(own))]
            # Weak ones beside weak ones, so that one that is not decided keeps fewer others.
            for half in own[weak].tensor_split(2):
                ordered = half[torch.argsort(first[half], stable=True)]
                chunks = ordered.split(SIZE) if len(ordered) else ()
                found += [torch.nn.functional.pad(chunk, (0, SIZE - len(chunk)), value=-1) for chunk in chunks]
        return torch.stack(found) if found else torch.zeros(0, SIZE, dtype=torch.int64)
