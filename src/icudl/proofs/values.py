"""The values of stays that may be wrong, each as a line through the inputs of the model.

Which numbers may change, how far, and how a change reaches the other hours is what ``attacks.target.threat`` says; a
proof and a search speak of the same set. In unit coordinates the inputs are linear in one number: winsor limits cut
a mean off before it becomes a unit coordinate, and imputation is linear in what was charted.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
import torch
from torch import Tensor

from icudl.attacks.base import Perturbation, allowed_change
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.verification import Verified, score, verify
from icudl.proofs.forms.networks import Passes
from icudl.proofs.forms.passes import Track

INPUT_ROUNDING = 2.0**-20
"""Bound on the rounding of inputs as float32 evaluates them, relative to the sizes that enter: sixteen units."""

_TRIED_AT_ONCE = 2048


@dataclasses.dataclass(frozen=True, eq=False)
class Values:
    """V values of B stays.

    Attributes:
        target: The stays under a threat model.
        cell: (3, V) stay, hour and variable of each value.
        lower: (V,) float64 smallest unit coordinate.
        upper: (V,) largest.
        features: (B, T, C) float64 inputs of the unchanged stays.
        gain: (F,) change of a model input for a change of the unit coordinate.
        sign: (B,) float64 +1 where the model itself says death, -1 where it says survival.
    """

    target: CheckpointTarget
    cell: Tensor
    lower: Tensor
    upper: Tensor
    features: Tensor
    gain: Tensor
    sign: Tensor

    @classmethod
    def of(cls, target: CheckpointTarget, says_death: Tensor) -> Self:
        """Return all values of the stays of a target that may change.

        Args:
            target: B stays.
            says_death: (B,) bool, what the model says of the unchanged stays.
        """
        down, up = allowed_change(target)
        cell = (down < up).nonzero().T
        place = tuple(cell)
        scaler = target.scaler
        gain = np.ones_like(scaler.lower)
        if target.inputs.scaling == "standard":
            gain = (scaler.upper - scaler.lower) / scaler.scale
        return cls(
            target=target,
            cell=cell,
            lower=target.lower[place].double(),
            upper=target.upper[place].double(),
            features=target.features(target.values).double(),
            gain=torch.from_numpy(gain).double(),
            sign=torch.where(says_death, 1.0, -1.0).double(),
        )

    @property
    def stay(self) -> Tensor:
        """(V,) stay of each value."""
        return self.cell[0]

    def reach(self, which: Tensor) -> Tensor:
        """Return (K, T) float64: the share of a change of each value at ``which`` that arrives at each hour."""
        stay, hour, variable = self.cell[:, which]
        n_hours = self.target.values.shape[1]
        hours = torch.arange(n_hours)
        inside = (hours < self.target.lengths[stay][:, None]).double()
        filling = self.target.bound_cells.filling
        if filling is None:
            alone: Tensor = (hours == hour[:, None]).double() * inside
            return alone
        row = self.target.rows[stay]
        weight = filling.weight[row, :, variable].double()
        before = (filling.previous[row, :, variable] == hour[:, None]).double()
        after = (filling.following[row, :, variable] == hour[:, None]).double()
        charted = (~filling.missing[row, :, variable]).double()
        share: Tensor = ((1 - weight) * before + weight * after) * charted * inside
        return share

    def passes(self, which: Tensor, low: Tensor, high: Tensor) -> Passes:
        """Return the inputs while each value at ``which`` (K,) moves from ``low`` to ``high``."""
        stay, _, variable = self.cell[:, which]
        now = self.target.values[tuple(self.cell[:, which])].double()
        each = torch.arange(len(which))
        steps = self.reach(which) * self.gain[variable][:, None]
        centre = self.features[stay].clone()
        slope, own = torch.zeros_like(centre), torch.zeros_like(centre)
        centre[each, :, variable] += steps * ((low + high) / 2 - now)[:, None]
        # The half that is used is not smaller than the true one.
        half = (high - low) / 2 * (1 + 2.0**-50) + 2.0**-52
        slope[each, :, variable] = steps * half[:, None]
        sizes = centre[each, :, variable].abs() + self.features[stay, :, variable].abs()
        sizes = sizes + 2 * self.gain[variable][:, None]
        own[each, :, variable] = INPUT_ROUNDING * sizes * (steps != 0)
        reached = steps != 0
        first = reached.int().argmax(dim=1)
        last = reached.shape[1] - 1 - reached.flip(1).int().argmax(dim=1)
        return Passes(stay, Track(centre, slope[:, None], own), torch.stack([first, last], dim=1))

    def change(self, which: Tensor, value: Tensor) -> Tensor:
        """Return (K, T, F) float32 changes of stays that take each value at ``which`` to ``value`` (K,)."""
        place = tuple(self.cell[:, which])
        target = self.target
        now = target.values[place]
        step = (value.to(now) - now).clamp(target.lower[place] - now, target.upper[place] - now)
        # Adding the step may round it past a bound by one unit in the last place.
        step = torch.where(now + step > target.upper[place], torch.nextafter(step, torch.full_like(step, -9)), step)
        step = torch.where(now + step < target.lower[place], torch.nextafter(step, torch.full_like(step, 9)), step)
        change = target.values.new_zeros(len(which), *target.values.shape[1:])
        change[torch.arange(len(which)), place[1], place[2]] = step
        return change

    def margins(self, model: torch.nn.Module, which: Tensor, value: Tensor) -> Tensor:
        """Return the (K,) leads of the present class in logits by the model itself, with one value changed in each."""
        found = []
        for start in range(0, len(which), _TRIED_AT_ONCE):
            part = which[start : start + _TRIED_AT_ONCE]
            chosen = self.target.select(self.stay[part])
            moved = chosen.values + self.change(part, value[start : start + _TRIED_AT_ONCE])
            found.append(self.sign[self.stay[part]] * (score(model, chosen, moved).difference - chosen.shift))
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)

    def verified(self, model: torch.nn.Module, which: Tensor, value: Tensor) -> Verified:
        """Check flips by the verification of attacks, which knows nothing of this search."""
        change = self.change(which, value)
        ones = torch.ones(len(which), dtype=torch.int64)
        found = Perturbation(change, change, ones, ones)
        return verify(model, self.target.select(self.stay[which]), found, 0.0)[0]
