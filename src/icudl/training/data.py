"""Stays as tensors, the part of them kept for validation, and the order in which an epoch visits them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icudl.artifacts import FeatureScaler, Floats, GridDataset
from icudl.errors import StageError
from icudl.models.charted.base import ClinicalStays
from icudl.preprocessing.features import assemble_features, columns_of
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, select_statics

Rows = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Stays:
    """Scaled stays, ready for a model.

    Attributes:
        features: (n, T, C) float32.
        lengths: (n,) int64 hours.
        labels: (n,) int64, 1 for death.
        columns: The columns of each channel and of the statics; empty if they are unknown.
        targets: (n, 2) float32 probabilities that the loss compares with, or None where these are the labels.
    """

    features: Tensor
    lengths: Tensor
    labels: Tensor
    columns: Mapping[str, range] = dataclasses.field(default_factory=dict)
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: Tensor) -> Stays:
        """Return the stays at these indices."""
        targets = None if self.targets is None else self.targets[rows]
        return Stays(self.features[rows], self.lengths[rows], self.labels[rows], self.columns, targets)

    def to(self, device: str) -> Stays:
        """Return the stays on a device."""
        targets = None if self.targets is None else self.targets.to(device)
        return Stays(self.features.to(device), self.lengths.to(device), self.labels.to(device), self.columns, targets)


def stays_of(grid: GridDataset, rows: Rows, scaler: FeatureScaler, inputs: InputOptions) -> Stays:
    """Impute and scale the stays at ``rows`` with a fitted scaler, and lay out the channels that ``inputs`` names."""
    statics = select_statics(grid, inputs)[rows]
    return scaled_stays(grid.values[rows], grid.lengths[rows], statics, grid.labels[rows], scaler, inputs)


def scaled_stays(
    values: Floats,
    hours: npt.NDArray[np.integer],
    statics: Floats,
    labels: npt.NDArray[np.integer],
    scaler: FeatureScaler,
    inputs: InputOptions,
) -> Stays:
    """Impute and scale stays with a fitted scaler, and lay out the channels that ``inputs`` names.

    Args:
        values: (n, T, F) clinical values, NaN where nothing was charted.
        hours: (n,) length of each stay.
        statics: (n, S) descriptors that ``inputs`` names.
        labels: (n,) 1 for death.
        scaler: Fitted on training stays.
        inputs: Channels.
    """
    features, lengths = features_of(values, hours, statics, scaler, inputs)
    outcomes = torch.from_numpy(labels.astype(np.int64))
    return Stays(features.contiguous(), lengths, outcomes, columns_of(inputs, values.shape[2]))


def features_of(
    values: Floats, hours: npt.NDArray[np.integer], statics: Floats, scaler: FeatureScaler, inputs: InputOptions
) -> tuple[Tensor, Tensor]:
    """Return the (n, T, C) features and (n,) lengths of stays from their clinical values.

    Args:
        values: (n, T, F) clinical values, NaN where nothing was charted.
        hours: (n,) length of each stay.
        statics: (n, S) descriptors that ``inputs`` names.
        scaler: Fitted on training stays.
        inputs: Channels.
    """
    prepared = prepare_inputs(scaler, inputs, values, hours, statics)
    lengths = torch.from_numpy(prepared.lengths.astype(np.int64))
    features = assemble_features(
        torch.from_numpy(prepared.unit),
        torch.from_numpy(prepared.observed),
        torch.from_numpy(prepared.hours_since),
        torch.from_numpy(prepared.statics),
        lengths,
        scaler,
        inputs,
    )
    return features, lengths


def clinical_stays(grid: GridDataset, rows: Rows, inputs: InputOptions) -> ClinicalStays:
    """Return the stays at ``rows`` as they were charted, with the descriptors that ``inputs`` names."""
    statics = select_statics(grid, inputs)[rows]
    return ClinicalStays(grid.values[rows], grid.lengths[rows], statics, grid.variables, tuple(inputs.statics))


def hold_out_patients(
    patients: npt.NDArray[np.integer], labels: npt.NDArray[np.integer], fraction: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Return a mask over stays: the validation part, drawn by patient.

    Patients with a death among their stays and patients without one are drawn separately: ``fraction`` of each group,
    and at least one patient of a group that keeps another one to train on.

    Raises:
        StageError: All stays belong to one patient.
    """
    identity, first = np.unique(patients, return_inverse=True)
    if len(identity) < 2:
        raise StageError(
            f"{len(identity)} patient(s) cannot be divided into training and validation. At least two are needed. "
            "Use more stays, fewer folds, or a smaller split.test_fraction."
        )
    died = np.bincount(first, weights=labels, minlength=len(identity)) > 0
    held = np.zeros(len(identity), bool)
    for stratum in (np.flatnonzero(died), np.flatnonzero(~died)):
        count = min(max(1, round(fraction * len(stratum))), len(stratum) - 1)
        if count > 0:
            held[rng.permutation(stratum)[:count]] = True
    if not held.any():
        held[int(rng.integers(len(identity)))] = True
    return held[first]


def epoch_order(labels: npt.NDArray[np.integer], balance: str, rng: np.random.Generator) -> Rows:
    """Return the indices of the stays in the order in which one epoch visits them.

    With ``balance = "oversample"`` an epoch has as many visits as there are stays, half of them to each class; the
    visits to a class go through its stays in random order, again and again, so that no stay is visited twice before all
    stays of the class are visited once. Otherwise each stay is visited once.
    """
    classes = [np.flatnonzero(labels == value) for value in (0, 1)]
    if balance != "oversample" or min(map(len, classes)) == 0:
        return rng.permutation(len(labels)).astype(np.int64)
    half = (len(labels) + 1) // 2
    visits = [_cycle(members, half, rng) for members in classes]
    return rng.permutation(np.concatenate(visits)).astype(np.int64)


def _cycle(members: npt.NDArray[np.integer], visits: int, rng: np.random.Generator) -> npt.NDArray[np.integer]:
    rounds = -(-visits // len(members))
    return np.concatenate([rng.permutation(members) for _ in range(rounds)])[:visits]
