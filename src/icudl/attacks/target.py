"""A checkpoint frozen for attack: imputed cells in unit coordinates -> margin of the decision."""

from __future__ import annotations

import dataclasses
import math
from typing import Self

import numpy as np
import torch
from torch import Tensor

from icudl.artifacts import Checkpoint, FeatureScaler
from icudl.attacks.engine import Engine, make_engine
from icudl.models.base import SequenceClassifier, within_length
from icudl.preprocessing.features import assemble_features
from icudl.preprocessing.scaling import InputOptions, ModelInputs

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
    def of(cls, inputs: ModelInputs, rows: np.typing.NDArray[np.integer], device: str) -> Self:
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

    def features(self, unit: Tensor, scaler: FeatureScaler, options: InputOptions) -> Tensor:
        """Return the (B, T, C) features of these stays with ``unit`` (B, T, F) in place of their cells."""
        return assemble_features(unit, self.observed, self.hours_since, self.statics, self.lengths, scaler, options)


@dataclasses.dataclass(frozen=True, eq=False)
class CheckpointTarget:
    """Threat model ``grid``: every imputed cell inside a stay's length may move between the winsor limits.

    Masks of observation, hours since the last measurement and static descriptors stay as they are.

    Attributes:
        engine: Scores features.
        stays: B stays.
        scaler: Of the checkpoint.
        inputs: Channels of the checkpoint.
        sign: (B,) +1 where the model now says death, -1 where it says survival.
        shift: Logit of the decision threshold.
        lower: (B, T, F).
        upper: (B, T, F).
        attackable: (B, T, F) bool.
    """

    engine: Engine
    stays: StayTensors
    scaler: FeatureScaler
    inputs: InputOptions
    sign: Tensor
    shift: float
    lower: Tensor
    upper: Tensor
    attackable: Tensor

    @classmethod
    def bind(cls, checkpoint: Checkpoint, model: SequenceClassifier, stays: StayTensors) -> Self:
        """Bind a checkpoint to stays; the class to leave is the one the model decides for now.

        Args:
            checkpoint: Tells scaler, channels and threshold.
            model: ``load_model(checkpoint, device)``.
            stays: Prepared with the checkpoint's scaler, on the same device.
        """
        inputs = InputOptions.from_dict(checkpoint.inputs)
        engine = make_engine(model)
        shift = decision_shift(checkpoint.threshold)
        features = stays.features(stays.unit, checkpoint.scaler, inputs)
        difference = engine.difference(features, stays.lengths)
        inside = within_length(stays.lengths, stays.unit.shape[1])[:, :, None].expand_as(stays.unit)
        return cls(
            engine=engine,
            stays=stays,
            scaler=checkpoint.scaler,
            inputs=inputs,
            sign=torch.where(difference >= shift, 1.0, -1.0).to(stays.unit),
            shift=shift,
            lower=torch.zeros_like(stays.unit),
            upper=inside.to(stays.unit.dtype),
            attackable=inside.clone() if "value" in inputs.channels else torch.zeros_like(inside),
        )

    @property
    def values(self) -> Tensor:
        """(B, T, F) cells of the unchanged stays."""
        return self.stays.unit

    def margin(self, values: Tensor) -> Tensor:
        """Return the (B,) margins at ``values``."""
        features = self.stays.features(values, self.scaler, self.inputs)
        return self.sign * (self.engine.difference(features, self.stays.lengths) - self.shift) + SLACK

    def margin_and_gradient(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B,) margins and their (B, T, F) gradient."""
        with torch.enable_grad():
            leaf = values.detach().clone().requires_grad_()
            features = self.stays.features(leaf, self.scaler, self.inputs)
        difference, gradient = self.engine.difference_and_gradient(features.detach(), self.stays.lengths)
        (cells,) = torch.autograd.grad(features, leaf, self.sign[:, None, None] * gradient)
        return self.sign * (difference - self.shift) + SLACK, cells

    def select(self, indices: Tensor) -> Self:
        """Return the target bound to the stays at ``indices``."""
        return dataclasses.replace(
            self,
            stays=self.stays.select(indices),
            sign=self.sign[indices],
            lower=self.lower[indices],
            upper=self.upper[indices],
            attackable=self.attackable[indices],
        )
