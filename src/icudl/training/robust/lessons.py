"""The stays to fit as a robust training reads them: altered in every epoch, and changed on purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from torch import Tensor

from icudl.artifacts import FeatureScaler, Floats, GridDataset
from icudl.models.base import SequenceClassifier
from icudl.preprocessing.charted import ChartedMeans, Entries, charted_means
from icudl.preprocessing.features import assemble_features
from icudl.preprocessing.scaling import InputOptions, ModelInputs, prepare_inputs, select_statics
from icudl.training.data import Rows, Stays
from icudl.training.robust.alterations import altered
from icudl.training.robust.options import RobustOptions
from icudl.training.robust.worst import worst_change

FromUnit = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Some stays of one step.

    Attributes:
        stays: As the network reads them.
        means: Their charted means and how far these may move; None unless changes are sought.
        features_of: From imputed unit coordinates (B, T, F) to features, differentiable.
    """

    stays: Stays
    means: ChartedMeans | None
    features_of: FromUnit

    def changed(self, values: Tensor) -> Tensor:
        """Return the features with other charted means (B, T, F).

        Raises:
            ValueError: The batch knows no charted means.
        """
        if self.means is None:
            raise ValueError("This batch was made without charted means.")
        return self.features_of(self.means.filling.apply(values))


@dataclasses.dataclass(frozen=True, eq=False)
class RobustLessons:
    """Stays to fit, in clinical units, with what turns them into features.

    Attributes:
        values: (n, T, F) clinical hourly means, NaN where nothing was charted.
        grid: The data set that they are of, for what is small.
        rows: (n,) their positions in it.
        statics: (n, S) descriptors.
        scaler: Fitted on these stays.
        inputs: Channels.
        options: What is done to them.
    """

    values: Floats
    grid: GridDataset
    rows: Rows
    statics: Floats
    scaler: FeatureScaler
    inputs: InputOptions
    options: RobustOptions

    @classmethod
    def of(
        cls, grid: GridDataset, rows: Rows, scaler: FeatureScaler, inputs: InputOptions, options: RobustOptions
    ) -> Self | None:
        """Return the stays at ``rows``, which a network is fitted on; None where nothing is done to them."""
        if not options.active:
            return None
        return cls(grid.values[rows], grid, rows, select_statics(grid, inputs)[rows], scaler, inputs, options)

    def batch(self, train: Stays, chosen: Tensor, rng: np.random.Generator) -> Batch:
        """Return one step's stays, altered with draws from ``rng``.

        Args:
            train: The same n stays, unaltered: their labels and targets are kept.
            chosen: (B,) which of them.
            rng: Stream of the epoch.
        """
        plain, which = train.select(chosen), chosen.cpu().numpy()
        device = plain.features.device
        counts = self.grid.counts[self.rows[which]]
        values = altered(self.values[which], counts, self.grid.variables, self.options, rng)
        lengths = self.grid.lengths[self.rows[which]]
        prepared = prepare_inputs(self.scaler, self.inputs, values, lengths, self.statics[which])
        features_of = self._features_of(prepared, plain.lengths)
        unit = torch.from_numpy(prepared.unit).to(device)
        means = None
        if self.options.searches:
            entries = Entries(
                means=values.astype(np.float64),
                counts=np.where(np.isnan(values), 0, counts).astype(np.int64),
                scaler=self.scaler,
                variables=self.grid.variables,
            )
            means = charted_means(unit, torch.from_numpy(prepared.observed).to(device), plain.lengths, entries)
        features = features_of(unit) if self.options.alters else plain.features
        return Batch(dataclasses.replace(plain, features=features), means, features_of)

    def _features_of(self, prepared: ModelInputs, lengths: Tensor) -> FromUnit:
        observed, since, statics = (
            torch.from_numpy(array).to(lengths.device)
            for array in (prepared.observed, prepared.hours_since, prepared.statics)
        )

        def features_of(unit: Tensor) -> Tensor:
            return assemble_features(unit, observed, since, statics, lengths, self.scaler, self.inputs)

        return features_of

    def worst(self, model: SequenceClassifier, batch: Batch, rng: np.random.Generator) -> Tensor:
        """Return the features of the stays of a batch with charted values changed towards the wrong verdict."""
        return worst_change(model, batch, self.options, rng)
