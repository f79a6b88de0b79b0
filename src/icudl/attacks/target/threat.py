"""Threat models: which cells of a stay may change, how far, and how a change reaches the model.

``grid``: every cell of the imputed matrix may move between the winsor limits (the original study, Sun et al. 2018).

``measured``: one wrong entry in each hour in which something was charted. An hour's mean of k values m moves to
m + (v - m) / k if one entry reads v instead of (about) m, for any v in the variable's plausible range. The change flows
through imputation into the hours that are filled from it. The model sees one value for all means beyond a winsor limit,
so changes are counted inside the limits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icudl.errors import AttackError, suggestion
from icudl.models.base import within_length
from icudl.preprocessing.charted import Entries, Filling, charted_means, straight_clinical, straight_unit
from icudl.preprocessing.scaling import ModelInputs
from icudl.variables import Variable

__all__ = [
    "Cells",
    "Entries",
    "Filling",
    "StayTensors",
    "charted_cells",
    "grid_cells",
    "measured_cells",
    "straight_clinical",
    "straight_unit",
]


@dataclasses.dataclass(frozen=True, eq=False)
class StayTensors:
    """Stays as tensors on the device of the attack; the fields of ``ModelInputs``.

    Attributes:
        unit: (B, T, F).
        observed: (B, T, F) bool.
        hours_since: (B, T, F).
        statics: (B, S).
        lengths: (B,) int64.
    """

    unit: Tensor
    observed: Tensor
    hours_since: Tensor
    statics: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, inputs: ModelInputs, rows: npt.NDArray[np.integer], device: str) -> Self:
        """Return the stays at ``rows`` of prepared inputs."""
        return cls(
            unit=torch.from_numpy(inputs.unit[rows]).to(device),
            observed=torch.from_numpy(inputs.observed[rows]).to(device),
            hours_since=torch.from_numpy(inputs.hours_since[rows]).to(device),
            statics=torch.from_numpy(inputs.statics[rows]).to(device),
            lengths=torch.from_numpy(inputs.lengths[rows].astype(np.int64)).to(device),
        )

    def select(self, indices: Tensor) -> Self:
        """Return the stays at ``indices``."""
        fields = {field.name: getattr(self, field.name)[indices] for field in dataclasses.fields(self)}
        return type(self)(**fields)


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """The numbers of B stays that an attack works on.

    Attributes:
        values: (B, T, F) unchanged values.
        lower: (B, T, F) smallest values.
        upper: (B, T, F) largest values.
        attackable: (B, T, F) bool, cells that may change.
        filling: Map from these numbers to imputed cells; None where they are the imputed cells.
        entries: What was charted, where the numbers are charted means.
    """

    values: Tensor
    lower: Tensor
    upper: Tensor
    attackable: Tensor
    filling: Filling | None = None
    entries: Entries | None = None

    def select(self, indices: Tensor) -> Self:
        """Return the cells of the stays at ``indices``."""
        return type(self)(
            values=self.values[indices],
            lower=self.lower[indices],
            upper=self.upper[indices],
            attackable=self.attackable[indices],
            filling=None if self.filling is None else self.filling.select(indices),
            entries=None if self.entries is None else self.entries.select(indices),
        )

    def only(self, variables: Sequence[Variable], names: Collection[str]) -> Self:
        """Lock all variables except those named. Without names all variables stay free.

        Raises:
            AttackError: A name is none of the variables: with all of them locked, no prediction could flip.
        """
        if not names:
            return self
        known = [variable.name for variable in variables]
        for name in names:
            if name not in known:
                raise AttackError(
                    f"{name!r} is to be changed, but it is no variable of the data.{suggestion(name, known)} "
                    f"Variables: {', '.join(known)}."
                )
        free = torch.tensor([variable.name in names for variable in variables], device=self.values.device)
        return dataclasses.replace(self, attackable=self.attackable & free)


def charted_cells(entries: Entries) -> Cells:
    """Threat model ``measured`` for a model of charted values: hourly means, as far as one wrong entry can move them.

    Unit coordinates are float64 and not clipped: such a model tells means beyond a winsor limit apart.
    """
    observed = ~np.isnan(entries.means)
    charted = np.where(observed, entries.unit(entries.means), 0.0)
    lower, upper = (np.where(observed, entries.unit(bound), 0.0) for bound in entries.reach())
    lower, upper = np.minimum(lower, charted), np.maximum(upper, charted)
    return Cells(
        values=torch.from_numpy(charted),
        lower=torch.from_numpy(lower),
        upper=torch.from_numpy(upper),
        attackable=torch.from_numpy(observed & (upper > lower)),
        entries=entries,
    )


def grid_cells(stays: StayTensors) -> Cells:
    """Threat model ``grid``: every imputed cell inside a stay's length, between the winsor limits 0 and 1."""
    inside = within_length(stays.lengths, stays.unit.shape[1])[:, :, None].expand_as(stays.unit)
    return Cells(
        values=stays.unit,
        lower=torch.zeros_like(stays.unit),
        upper=inside.to(stays.unit.dtype),
        attackable=inside.clone(),
    )


def measured_cells(stays: StayTensors, entries: Entries) -> Cells:
    """Threat model ``measured``: charted hourly means, as far as one wrong entry an hour can move them."""
    means = charted_means(stays.unit, stays.observed, stays.lengths, entries)
    return Cells(
        values=means.values,
        lower=means.lower,
        upper=means.upper,
        attackable=means.changeable,
        filling=means.filling,
        entries=entries,
    )
