"""The stays that a network is pretrained on: what it reads of them, and what it has to tell. Outcomes are not kept."""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icudl.artifacts import FeatureScaler, Floats, GridDataset
from icudl.preprocessing.features import assemble_values
from icudl.preprocessing.scaling import InputOptions, select_statics, to_unit
from icudl.training.data import Rows, features_of
from icudl.training.pretraining.hiding import hidden_values
from icudl.training.pretraining.options import PretrainOptions


@dataclasses.dataclass(frozen=True, eq=False)
class Riddle:
    """Some stays with hidden values.

    Attributes:
        features: (B, T, C) as the network reads them, made from the values that are left.
        lengths: (B,) hours of each stay.
        answers: (B, T, F) what was charted, clipped to the winsor limits and scaled; 0 where nothing was.
        hidden: (B, T, F) bool, the charted values that are hidden.
    """

    features: Tensor
    lengths: Tensor
    answers: Tensor
    hidden: Tensor

    def to(self, device: torch.device) -> Self:
        """Return the stays on a device."""
        tensors = (self.features, self.lengths, self.answers, self.hidden)
        return type(self)(*(tensor.to(device) for tensor in tensors))


@dataclasses.dataclass(frozen=True, eq=False)
class UnlabelledStays:
    """Stays to pretrain on, in clinical units, with what turns them into features.

    Values are hidden before imputation. A hidden one is then filled from its neighbours as any gap is, in its own hour
    and in those that would have been filled from it, and the channels ``observed`` and ``hours_since`` say so, too.

    Attributes:
        values: (n, T, F) clinical hourly means, NaN where nothing was charted.
        lengths: (n,) hours of each stay.
        statics: (n, S) descriptors.
        scaler: Fitted on these stays.
        inputs: Channels.
        options: What is hidden.
    """

    values: Floats
    lengths: npt.NDArray[np.integer]
    statics: Floats
    scaler: FeatureScaler
    inputs: InputOptions
    options: PretrainOptions

    @classmethod
    def of(
        cls, grid: GridDataset, rows: Rows, scaler: FeatureScaler, inputs: InputOptions, options: PretrainOptions
    ) -> Self | None:
        """Return the stays at ``rows``, which a network is fitted on; None where nothing is pretrained."""
        if not options.active:
            return None
        statics = select_statics(grid, inputs)[rows]
        return cls(grid.values[rows], grid.lengths[rows], statics, scaler, inputs, options)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_variables(self) -> int:
        """F."""
        return int(self.values.shape[2])

    def riddle(self, chosen: Rows, rng: np.random.Generator) -> Riddle:
        """Hide values of the stays at ``chosen``, with draws from ``rng``."""
        values, hours = self.values[chosen], self.lengths[chosen]
        hidden = hidden_values(values, hours, self.options, rng)
        left = np.where(hidden, np.float32(np.nan), values)
        features, lengths = features_of(left, hours, self.statics[chosen], self.scaler, self.inputs)
        unit = torch.from_numpy(np.nan_to_num(to_unit(self.scaler, values)))
        charted = torch.from_numpy(~np.isnan(values))
        answers = assemble_values(unit, lengths, self.scaler, self.inputs) * charted
        return Riddle(features, lengths, answers, torch.from_numpy(hidden))
