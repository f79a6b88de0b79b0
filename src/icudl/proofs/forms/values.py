"""The values of stays that may be wrong, each as a line through the inputs of a network.

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

from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.verification import Model, score
from icudl.proofs.forms.affine import Freedom
from icudl.proofs.forms.networks import Passes
from icudl.proofs.forms.passes import Track
from icudl.proofs.values import Values, changeable

INPUT_ROUNDING = 2.0**-20
"""Bound on the rounding of inputs as float32 evaluates them, relative to the sizes that enter: sixteen units."""

_TRIED_AT_ONCE = 2048


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkValues(Values[CheckpointTarget]):
    """V values of B stays.

    Attributes:
        features: (B, T, C) float64 inputs of the unchanged stays.
        gain: (F,) change of a model input for a change of the unit coordinate.
        sign: (B,) float64 +1 where the model itself says death, -1 where it says survival.
    """

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
        scaler = target.scaler
        gain = np.ones_like(scaler.lower)
        if target.inputs.scaling == "standard":
            gain = (scaler.upper - scaler.lower) / scaler.scale
        cell, lower, upper = changeable(target)
        return cls(
            target=target,
            cell=cell,
            lower=lower,
            upper=upper,
            features=target.features(target.values).double(),
            gain=torch.from_numpy(gain).double(),
            sign=torch.where(says_death, 1.0, -1.0).double(),
        )

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
        return Passes(stay, Track(centre, slope[:, None], own), _ends(steps != 0))

    def group_passes(self, which: Tensor, low: Tensor, high: Tensor, freedom: Freedom) -> Passes:
        """Return the inputs of passes in each of which several values of one stay move, few of them at once.

        Each value has two unknowns between 0 and 1: up to its ``high`` end, then, behind those of all values, down to
        its ``low`` end. Its number in the unchanged stay lies between both.

        Args:
            which: (B, K) values of each pass; -1 for none.
            low: (B, K) lower ends.
            high: (B, K) upper ends.
            freedom: Of 2 K unknowns between 0 and 1.
        """
        batch, n_values = which.shape
        is_there = which >= 0
        pass_of, place = is_there.nonzero(as_tuple=True)
        chosen = which[is_there]
        stay, _, variable = self.cell[:, chosen]
        stays = self.stay[which[:, 0]]
        now = self.charted[chosen]
        steps = self.reach(chosen) * self.gain[variable][:, None]
        centre = self.features[stays].clone()
        n_hours, n_columns = centre.shape[1:]
        slope = centre.new_zeros(batch, 2 * n_values, n_hours, n_columns)
        own = torch.zeros_like(centre)
        for start, end in ((0, high[is_there]), (n_values, low[is_there])):
            away = end - now
            away = away * (1 + 2.0**-50) + 2.0**-52 * away.sign()
            slope[pass_of, start + place, :, variable] = steps * away[:, None]
        sizes = 2 * self.features[stay, :, variable].abs() + 4 * self.gain[variable][:, None]
        rounding = INPUT_ROUNDING * sizes * (steps != 0)
        columns = variable[:, None].expand(-1, n_hours)
        hours = torch.arange(n_hours).expand(len(chosen), -1)
        rows = pass_of[:, None].expand(-1, n_hours)
        flat = (rows * n_hours + hours) * n_columns + columns
        own.view(-1).scatter_reduce_(0, flat.flatten(), rounding.flatten(), "amax")
        return Passes(stays, Track(centre, slope, own, freedom), _ends((own > 0).any(dim=2)))

    def nearby_pass(self, which: Tensor, within: float, freedom: Freedom) -> Passes:
        """Return the inputs of one pass in which the values at ``which`` (K,) of one stay move by up to ``within``.

        The unknowns lie between -1 and 1. A value may then pass the end of its range, which proves more than is asked.
        """
        stay, _, variable = self.cell[:, which]
        now = self.charted[which]
        most = torch.maximum(now - self.lower[which], self.upper[which] - now).clamp(max=within)
        steps = self.reach(which) * self.gain[variable][:, None]
        centre = self.features[stay[:1]].clone()
        slope = centre.new_zeros(1, len(which), *centre.shape[1:])
        each = torch.arange(len(which))
        slope[0, each, :, variable] = steps * (most * (1 + 2.0**-50) + 2.0**-52)[:, None]
        sizes = centre.abs() + self.features[stay[:1]].abs() + 2 * slope.abs().amax(dim=1)
        gain = torch.zeros(centre.shape[2], dtype=torch.float64)
        gain[variable] = 2 * self.gain[variable]
        moves = (slope != 0).any(dim=1)
        own = INPUT_ROUNDING * (sizes + gain) * moves
        return Passes(stay[:1], Track(centre, slope, own, freedom), _ends(moves.any(dim=2)))

    def margins(self, model: Model, which: Tensor, value: Tensor) -> Tensor:
        """Return the (K,) leads of the present class in logits by the model itself, with one value changed in each."""
        found = []
        for start in range(0, len(which), _TRIED_AT_ONCE):
            part = which[start : start + _TRIED_AT_ONCE]
            chosen = self.target.select(self.stay[part])
            moved = chosen.values + self.change(part, value[start : start + _TRIED_AT_ONCE])
            found.append(self.sign[self.stay[part]] * (score(model, chosen, moved).difference - chosen.shift))
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


def _ends(reached: Tensor) -> Tensor:
    """Return the (B, 2) first and last of the (B, T) hours that are reached."""
    first = reached.int().argmax(dim=1)
    last = reached.shape[1] - 1 - reached.flip(1).int().argmax(dim=1)
    return torch.stack([first, last], dim=1)
