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

from icudl.artifacts import FeatureScaler, Floats
from icudl.models.base import within_length
from icudl.preprocessing.imputation import ImputationMap, imputation_map
from icudl.preprocessing.scaling import ModelInputs, to_clinical, to_unit
from icudl.variables import Variable


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
class Filling:
    """Imputation of B stays as a linear map of their charted cells (``preprocessing.imputation``), on a device.

    Attributes:
        previous: (B, T, F) charted hour that counts with 1 - weight.
        following: (B, T, F) charted hour that counts with weight.
        weight: (B, T, F).
        constant: (B, T, F) filling value where no hour was charted, 0 elsewhere.
        missing: (B, T, F) bool, no hour was charted.
    """

    previous: Tensor
    following: Tensor
    weight: Tensor
    constant: Tensor
    missing: Tensor

    @classmethod
    def of(cls, where: ImputationMap, fill: Floats, device: torch.device) -> Self:
        """Put an imputation map on a device."""
        return cls(
            previous=torch.from_numpy(where.previous_index).to(device),
            following=torch.from_numpy(where.next_index).to(device),
            weight=torch.from_numpy(where.weight_next).to(device),
            constant=torch.from_numpy(np.where(where.missing, fill, np.float32(0))).to(device),
            missing=torch.from_numpy(where.missing).to(device),
        )

    def apply(self, charted: Tensor) -> Tensor:
        """Return the imputed (B, T, F) cells; differentiable in ``charted`` (B, T, F)."""
        before, after = charted.gather(1, self.previous), charted.gather(1, self.following)
        filled = (1 - self.weight) * before + self.weight * after
        return torch.where(self.missing, self.constant, filled)

    def select(self, indices: Tensor) -> Self:
        """Return the map of the stays at ``indices``."""
        fields = {field.name: getattr(self, field.name)[indices] for field in dataclasses.fields(self)}
        return type(self)(**fields)


@dataclasses.dataclass(frozen=True, eq=False)
class Entries:
    """The charted values, for attacks that work in clinical units.

    Attributes:
        means: (B, T, F) float64 hourly means, NaN where nothing was charted.
        counts: (B, T, F) int64 values behind each mean.
        scaler: Turns a mean into a unit coordinate.
        variables: F variables.
        clipped: Whether the model sees one value for all means beyond a winsor limit.
    """

    means: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    scaler: FeatureScaler
    variables: tuple[Variable, ...]
    clipped: bool = True

    def unit(self, means: npt.NDArray[np.float64]) -> npt.NDArray[np.floating]:
        """Return the unit coordinates of (..., F) means: float32 and inside the winsor limits, or float64 and not."""
        if self.clipped:
            return to_unit(self.scaler, means.astype(np.float32))
        return straight_unit(self.scaler, means)

    def clinical_at(self, variable: npt.NDArray[np.integer], unit: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return the (n,) means of these variables whose unit coordinates are ``unit`` (n,)."""
        limits = {name: getattr(self.scaler, name)[variable] for name in ("lower", "upper")}
        own = dataclasses.replace(self.scaler, **limits)
        return to_clinical(own, unit).astype(np.float64) if self.clipped else straight_clinical(own, unit)

    def reach(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the (B, T, F) smallest and largest mean that one wrong entry can make of each hour's mean."""
        low = np.array([variable.low for variable in self.variables])
        high = np.array([variable.high for variable in self.variables])
        counts = np.maximum(self.counts, 1)
        # An hour whose mean is already implausible may keep it, but the mean may not get worse.
        least = self.means + (np.minimum(low, self.means) - self.means) / counts
        most = self.means + (np.maximum(high, self.means) - self.means) / counts
        return least, most

    def select(self, indices: Tensor) -> Self:
        """Return the entries of the stays at ``indices``."""
        rows = indices.cpu().numpy()
        return dataclasses.replace(self, means=self.means[rows], counts=self.counts[rows])


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
        """Lock all variables except those named. Without names all variables stay free."""
        if not names:
            return self
        free = torch.tensor([variable.name in names for variable in variables], device=self.values.device)
        return dataclasses.replace(self, attackable=self.attackable & free)


def straight_unit(scaler: FeatureScaler, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the float64 unit coordinates of (..., F) clinical values without clipping: some lie beyond 0 and 1."""
    lower, upper = scaler.lower.astype(np.float64), scaler.upper.astype(np.float64)
    unit: npt.NDArray[np.float64] = (values - lower) / (upper - lower)
    return unit


def straight_clinical(scaler: FeatureScaler, unit: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the (..., F) clinical values of ``straight_unit``: the same bits, once rounded to single precision."""
    lower, upper = scaler.lower.astype(np.float64), scaler.upper.astype(np.float64)
    clinical: npt.NDArray[np.float64] = lower + unit * (upper - lower)
    return clinical


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
    scaler = entries.scaler
    observed = stays.observed
    charted = torch.where(observed, stays.unit, torch.zeros_like(stays.unit))
    bounds = [torch.from_numpy(np.nan_to_num(entries.unit(bound))).to(charted) for bound in entries.reach()]
    lower, upper = torch.minimum(bounds[0], charted), torch.maximum(bounds[1], charted)
    where = imputation_map(observed.cpu().numpy(), stays.lengths.cpu().numpy(), scaler.imputation)
    return Cells(
        values=charted,
        lower=torch.where(observed, lower, charted),
        upper=torch.where(observed, upper, charted),
        attackable=observed & (upper > lower),
        filling=Filling.of(where, to_unit(scaler, scaler.median), charted.device),
        entries=entries,
    )
