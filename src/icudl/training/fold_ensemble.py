"""The models of all folds as one: a checkpoint whose logits are the mean of theirs.

Each fold's network keeps the scale of its own training stays. The ensemble reads one set of inputs, made by a scaler
that spans the limits of all folds, and each network takes the inputs back to its own scale (``models.rescaled``). In a
charted cell the network then reads exactly what its own scaler gives. In an imputed cell the two differ as far as the
winsor limits of the folds differ.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Checkpoint, FeatureScaler, Floats, GridDataset, Member
from icudl.models.build import FOLD, charted_class
from icudl.models.options import read_options
from icudl.preprocessing.scaling import InputOptions
from icudl.training.finished import Finished
from icudl.training.options import TrainingOptions
from icudl.training.scores.metrics import choose_threshold
from icudl.training.scores.risk_curve import fit_curve, risks_at
from icudl.training.scores.scoring import differences, risks

Columns = dict[str, Floats]


def ensemble_of_folds(
    folds: Sequence[Checkpoint], grid: GridDataset, member: Member, training: TrainingOptions, device: str
) -> Finished:
    """Make one member of the models of all folds, and score the test stays with it.

    Threshold and isotonic curve come from the out-of-fold stays, each scored by the one model that was not fitted on
    it. No test stay takes part.

    Args:
        folds: The members of the folds, in order.
        grid: The data set that the folds were fitted on.
        member: The new member.
        training: Calibration, and the score that the threshold maximises.
        device: Where to score.
    """
    rows = [np.flatnonzero(grid.folds == fold) for fold in range(len(folds))]
    labels = grid.labels[np.concatenate(rows)]
    unseen = np.concatenate(
        [differences(checkpoint, grid, own, device) for checkpoint, own in zip(folds, rows, strict=True)]
    )
    curve = fit_curve(labels, unseen) if training.calibration == "isotonic" else None
    unseen_risks = 1 / (1 + np.exp(-unseen)) if curve is None else risks_at(curve, unseen)
    common = spanning_scaler([each.scaler for each in folds], int((~grid.is_test).sum()))
    checkpoint = dataclasses.replace(
        folds[0],
        member=member,
        scaler=common,
        threshold=choose_threshold(labels, unseen_risks, training.threshold),
        weights=_weights(folds, common)
        if charted_class(read_options(folds[0].model)) is None
        else _side_by_side(folds),
        curve=curve,
        folds=len(folds),
    )
    scored = np.flatnonzero(grid.is_test)
    return Finished(
        scored=scored,
        probabilities=risks(checkpoint, grid, scored, device),
        threshold=checkpoint.threshold,
        checkpoint=checkpoint,
    )


def spanning_scaler(scalers: Sequence[FeatureScaler], fitted_on: int) -> FeatureScaler:
    """Return a scaler with the widest limits of several; its medians, offsets and scales are their means.

    Args:
        scalers: Scalers of the same inputs.
        fitted_on: Number of stays that at least one fold was fitted on.
    """

    def mean(name: str) -> Floats:
        average: Floats = np.stack([getattr(each, name) for each in scalers]).mean(axis=0, dtype=np.float64)
        return average.astype(np.float32)

    lower = np.min([each.lower for each in scalers], axis=0)
    upper = np.max([each.upper for each in scalers], axis=0)
    by_limits = all(np.array_equal(each.offset, each.lower) for each in scalers)
    return FeatureScaler(
        lower=lower,
        upper=upper,
        median=mean("median"),
        offset=lower if by_limits else mean("offset"),
        scale=upper - lower if by_limits else mean("scale"),
        static_median=mean("static_median"),
        static_offset=mean("static_offset"),
        static_scale=mean("static_scale"),
        imputation=scalers[0].imputation,
        fitted_on=fitted_on,
    )


def rescaling(common: FeatureScaler, own: FeatureScaler, inputs: InputOptions) -> Columns:
    """Return the map from the (C,) input columns of ``common`` to those of ``own``; see ``models.rescaled``."""
    limit = np.finfo(np.float32).max
    n_variables, n_statics = own.lower.size, own.static_scale.size
    blocks: list[tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, int]] = []
    if "value" in inputs.channels:
        gain, bias = _line(common.offset, common.scale, own.offset, own.scale)
        low, high = ((np.float64(edge) - own.offset) / own.scale for edge in (own.lower, own.upper))
        blocks.append((gain, bias, low, high, n_variables))
    blocks += [(1.0, 0.0, -limit, limit, n_variables)] * len(set(inputs.channels) - {"value"})
    statics = _line(common.static_offset, common.static_scale, own.static_offset, own.static_scale)
    blocks.append((*statics, -limit, limit, n_statics))
    return {
        name: np.concatenate([np.broadcast_to(block[place], block[4]) for block in blocks]).astype(np.float32)
        for place, name in enumerate(("gain", "bias", "low", "high"))
    }


def _line(offset: Floats, scale: Floats, own_offset: Floats, own_scale: Floats) -> tuple[npt.ArrayLike, npt.ArrayLike]:
    """Return gain and bias that take (x - offset) / scale to (x - own_offset) / own_scale."""
    wide = own_scale.astype(np.float64)
    return scale / wide, (offset.astype(np.float64) - own_offset) / wide


def _side_by_side(folds: Sequence[Checkpoint]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of models that read charted values, which need no common scale (``models.build.FOLD``)."""
    return {
        FOLD.format(number) + name: array for number, fold in enumerate(folds) for name, array in fold.weights.items()
    }


def _weights(folds: Sequence[Checkpoint], common: FeatureScaler) -> Columns:
    inputs = InputOptions.from_dict(folds[0].inputs)
    weights: Columns = {}
    for number, fold in enumerate(folds):
        start = f"networks.{number}"
        weights |= {f"{start}.{name}": array for name, array in rescaling(common, fold.scaler, inputs).items()}
        weights |= {f"{start}.network.{name}": array for name, array in fold.weights.items()}
    return weights
