"""A checkpoint frozen for attack: the numbers of a threat model -> margin of the decision."""

from __future__ import annotations

import dataclasses
import math
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icudl.artifacts import Checkpoint, FeatureScaler
from icudl.attacks.engine import Engine, make_engine
from icudl.attacks.threat import Cells, Entries, StayTensors, grid_cells
from icudl.models.base import SequenceClassifier
from icudl.preprocessing.features import assemble_features
from icudl.preprocessing.scaling import InputOptions, to_clinical

SLACK = 1e-4
"""Added to the margin that attacks see, in logits. The hand-written pass and the library's differ by rounding (below
1e-5); without it, examples shrunk to the very boundary would fail the independent check."""


def decision_shift(threshold: float) -> float:
    """Return logit(threshold): a stay is called a death where its logit difference is at least this.

    A threshold of exactly 0 or 1 decides every stay alike; it is moved inside by 1e-12 so that the margin is finite.
    """
    inside = min(max(threshold, 1e-12), 1.0 - 1e-12)
    return math.log(inside) - math.log1p(-inside)


@dataclasses.dataclass(frozen=True, eq=False)
class CheckpointTarget:
    """A checkpoint bound to stays under a threat model (``attacks.threat``); see ``attacks.base.TargetModel``.

    Masks of observation, hours since the last measurement and static descriptors stay as they are.

    Attributes:
        engine: Scores features.
        stays: B stays.
        cells: What may change.
        scaler: Of the checkpoint.
        inputs: Channels of the checkpoint.
        sign: (B,) +1 where the model now says death, -1 where it says survival.
        shift: Logit of the decision threshold.
    """

    engine: Engine
    stays: StayTensors
    cells: Cells
    scaler: FeatureScaler
    inputs: InputOptions
    sign: Tensor
    shift: float

    @classmethod
    def bind(
        cls, checkpoint: Checkpoint, model: SequenceClassifier, stays: StayTensors, cells: Cells | None = None
    ) -> Self:
        """Bind a checkpoint to stays; the class to leave is the one the model decides for now.

        Args:
            checkpoint: Tells scaler, channels and threshold.
            model: ``load_model(checkpoint, device)``.
            stays: Prepared with the checkpoint's scaler, on the same device.
            cells: Threat model, for the same stays; ``grid_cells(stays)`` where not given.
        """
        cells = cells or grid_cells(stays)
        inputs = InputOptions.from_dict(checkpoint.inputs)
        if "value" not in inputs.channels:
            cells = dataclasses.replace(cells, attackable=torch.zeros_like(cells.attackable))
        target = cls(
            engine=make_engine(model),
            stays=stays,
            cells=cells,
            scaler=checkpoint.scaler,
            inputs=inputs,
            sign=torch.ones(len(stays.lengths)).to(stays.unit),
            shift=decision_shift(checkpoint.threshold),
        )
        difference = target.engine.difference(target.features(cells.values), stays.lengths)
        return dataclasses.replace(target, sign=torch.where(difference >= target.shift, 1.0, -1.0).to(stays.unit))

    @property
    def values(self) -> Tensor:
        """(B, T, F) numbers of the unchanged stays."""
        return self.cells.values

    @property
    def lower(self) -> Tensor:
        """(B, T, F) smallest values."""
        return self.cells.lower

    @property
    def upper(self) -> Tensor:
        """(B, T, F) largest values."""
        return self.cells.upper

    @property
    def attackable(self) -> Tensor:
        """(B, T, F) bool."""
        return self.cells.attackable

    @property
    def lengths(self) -> Tensor:
        """(B,) int64 hours of each stay."""
        return self.stays.lengths

    @property
    def entries(self) -> Entries | None:
        """What was charted, where the threat model works on charted values."""
        return self.cells.entries

    def features(self, values: Tensor) -> Tensor:
        """Return the (B, T, C) features of these stays with ``values`` (B, T, F) in place of their numbers."""
        stays = self.stays
        unit = values if self.cells.filling is None else self.cells.filling.apply(values)
        return assemble_features(
            unit, stays.observed, stays.hours_since, stays.statics, stays.lengths, self.scaler, self.inputs
        )

    def charted(self) -> npt.NDArray[np.floating]:
        """Return the (B, T, F) clinical values: a charted mean as it was charted, even beyond a winsor limit."""
        return self.clinical(self.values) if self.entries is None else self.entries.means

    def clinical(self, values: Tensor) -> npt.NDArray[np.floating]:
        """Return ``values`` in clinical units."""
        return to_clinical(self.scaler, values.cpu().numpy())

    def margin(self, values: Tensor) -> Tensor:
        """Return the (B,) margins at ``values``."""
        return self.sign * (self.engine.difference(self.features(values), self.stays.lengths) - self.shift) + SLACK

    def margin_and_gradient(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B,) margins and their (B, T, F) gradient."""
        with torch.enable_grad():
            leaf = values.detach().clone().requires_grad_()
            features = self.features(leaf)
        difference, gradient = self.engine.difference_and_gradient(features.detach(), self.stays.lengths)
        (by_cell,) = torch.autograd.grad(features, leaf, self.sign[:, None, None] * gradient)
        return self.sign * (difference - self.shift) + SLACK, by_cell

    def select(self, indices: Tensor) -> Self:
        """Return the target bound to the stays at ``indices``."""
        return dataclasses.replace(
            self, stays=self.stays.select(indices), cells=self.cells.select(indices), sign=self.sign[indices]
        )
