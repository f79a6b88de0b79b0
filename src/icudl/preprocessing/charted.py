"""Charted hourly means as numbers that may change: how far a wrong entry moves each, what imputation makes of it."""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icudl.artifacts import FeatureScaler, Floats
from icudl.preprocessing.imputation import ImputationMap, imputation_map
from icudl.preprocessing.scaling import to_clinical, to_unit
from icudl.variables import Variable


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

    def columns(self, stays: Tensor, variables: Tensor) -> Self:
        """Return the (n, T, k) maps of these variables (n, k) of the stays at ``stays`` (n,)."""
        chosen = {field.name: getattr(self, field.name).transpose(1, 2) for field in dataclasses.fields(self)}
        return type(self)(**{name: own[stays[:, None], variables].transpose(1, 2) for name, own in chosen.items()})

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
class ChartedMeans:
    """Unit coordinates of the charted hourly means of B stays, and how far one wrong entry an hour can move them.

    Attributes:
        values: (B, T, F) unchanged means, 0 where nothing was charted.
        lower: (B, T, F) smallest values.
        upper: (B, T, F) largest values.
        changeable: (B, T, F) bool, cells that one wrong entry can move.
        filling: Map from the means to imputed cells.
    """

    values: Tensor
    lower: Tensor
    upper: Tensor
    changeable: Tensor
    filling: Filling


def charted_means(unit: Tensor, observed: Tensor, lengths: Tensor, entries: Entries) -> ChartedMeans:
    """Return the charted means of stays that are imputed already, with the bounds of one wrong entry an hour.

    Args:
        unit: (B, T, F) imputed unit coordinates.
        observed: (B, T, F) bool, something was charted.
        lengths: (B,) hours of each stay.
        entries: What was charted.
    """
    charted = torch.where(observed, unit, torch.zeros_like(unit))
    bounds = [torch.from_numpy(np.nan_to_num(entries.unit(bound))).to(charted) for bound in entries.reach()]
    lower, upper = torch.minimum(bounds[0], charted), torch.maximum(bounds[1], charted)
    where = imputation_map(observed.cpu().numpy(), lengths.cpu().numpy(), entries.scaler.imputation)
    return ChartedMeans(
        values=charted,
        lower=torch.where(observed, lower, charted),
        upper=torch.where(observed, upper, charted),
        changeable=observed & (upper > lower),
        filling=Filling.of(where, to_unit(entries.scaler, entries.scaler.median), charted.device),
    )


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
