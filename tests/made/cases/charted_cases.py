"""Fitted trees and logistic regression, and data sets whose stays they get right, for tests of attacks by scores."""

from __future__ import annotations

import dataclasses

import numpy as np

from icudl.artifacts import FINAL, Checkpoint, GridDataset, Member, TrainingResult
from icudl.attacks.target.charted import ChartedTarget
from icudl.attacks.target.checkpoint import decision_shift
from icudl.attacks.target.threat import Entries, charted_cells
from icudl.models.build import charted_class, load_charted
from icudl.models.options import BoostedTreesOptions, LogisticOptions, ModelOptions
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on
from icudl.training.data import clinical_stays
from icudl.training.scores.scoring import risks
from training_grids import make_grid

TREES = BoostedTreesOptions(trees=20, leaves=6, stays_per_leaf=5)
MODELS = (TREES, LogisticOptions(inverse_penalty=0.1))
INPUTS = InputOptions(statics=("age_years",))


def make_case(model: ModelOptions, n_stays: int = 160, *, signal: float = 1.5) -> tuple[GridDataset, TrainingResult]:
    """A data set whose values may read -6 to 6, with one to four behind each mean, and models that get it all right."""
    grid = make_grid(n_stays, signal=signal)
    counts = np.random.default_rng(1).integers(1, 5, grid.values.shape)
    grid = dataclasses.replace(
        grid,
        counts=np.where(np.isnan(grid.values), 0, counts).astype(np.uint16),
        variables=tuple(dataclasses.replace(each, low=-6.0, high=6.0) for each in grid.variables),
    )
    checkpoints = {str(member): fitted(grid, member, model) for member in (FINAL, *map(Member, range(grid.n_folds)))}
    labels = np.zeros(n_stays, np.int8)
    for checkpoint in checkpoints.values():
        rows = np.flatnonzero(grid.is_test if checkpoint.member == FINAL else grid.folds == checkpoint.member.fold)
        labels[rows] = risks(checkpoint, grid, rows, "cpu") >= checkpoint.threshold
    none = grid.flow
    training = TrainingResult(checkpoints=checkpoints, history=none, predictions=none, metrics=none)
    return dataclasses.replace(grid, labels=labels), training


def fitted(grid: GridDataset, member: Member, model: ModelOptions) -> Checkpoint:
    rows = np.flatnonzero(~grid.is_test & (grid.folds != (-1 if member.fold is None else member.fold)))
    plugin = charted_class(model)
    assert plugin is not None
    stays = clinical_stays(grid, rows, INPUTS)
    found = plugin.fit(model, stays, grid.labels[rows], [1])
    ranked = np.unique(1 / (1 + np.exp(-found.logits(stays))))
    middle = len(ranked) // 2
    return Checkpoint(
        member=member,
        model=model.to_dict(),
        inputs=INPUTS.to_dict(),
        variables=grid.variables,
        static_names=INPUTS.statics,
        n_hours=grid.values.shape[1],
        scaler=fit_scaler_on(grid, rows, INPUTS),
        threshold=float(ranked[middle - 1 : middle + 1].mean()),
        weights=found.arrays,
    )


def bound(grid: GridDataset, checkpoint: Checkpoint, rows: np.ndarray, *, confidence: float = 0.0) -> ChartedTarget:
    """The stays at ``rows`` as a target."""
    means, counts = grid.values[rows].astype(np.float64), grid.counts[rows].astype(np.int64)
    entries = Entries(means, counts, checkpoint.scaler, checkpoint.variables, clipped=False)
    model = load_charted(checkpoint)
    assert model is not None
    shift = decision_shift(checkpoint.threshold, checkpoint.curve)
    stays = clinical_stays(grid, rows, INPUTS)
    return ChartedTarget.bind(model, stays, charted_cells(entries), entries, shift, confidence=confidence)
