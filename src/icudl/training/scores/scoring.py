"""Scoring the stays of a grid with a fitted checkpoint."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from icudl.artifacts import PREDICTIONS_SCHEMA, Checkpoint, GridDataset
from icudl.errors import StageError
from icudl.models.build import load_charted, load_model
from icudl.models.charted.base import ClinicalStays, RiskModel
from icudl.preprocessing.scaling import InputOptions
from icudl.training.data import Rows, clinical_stays, stays_of
from icudl.training.loop import logits_of
from icudl.training.scores.calibration import calibrated_risks, differences_of

BATCH = 4096
"""Stays whose charted values are scored at once."""


def risks(checkpoint: Checkpoint, grid: GridDataset, rows: Rows, device: str) -> npt.NDArray[np.float64]:
    """Return (n,) probabilities of death of the stays at ``rows``.

    Raises:
        StageError: The grid lacks a variable or descriptor of the checkpoint, or its window has another length.
    """
    return calibrated_risks(_logits(checkpoint, grid, rows, device), checkpoint.curve)


def differences(checkpoint: Checkpoint, grid: GridDataset, rows: Rows, device: str) -> npt.NDArray[np.float64]:
    """Return (n,) logits of death minus logits of survival of the stays at ``rows``.

    Raises:
        StageError: As in ``risks``.
    """
    return differences_of(_logits(checkpoint, grid, rows, device))


def _logits(checkpoint: Checkpoint, grid: GridDataset, rows: Rows, device: str) -> Tensor:
    _check_fit(checkpoint, grid)
    inputs = InputOptions.from_dict(checkpoint.inputs)
    charted = load_charted(checkpoint)
    if charted is not None:
        return charted_logits(charted, clinical_stays(grid, rows, inputs))
    stays = stays_of(grid, rows, checkpoint.scaler, inputs).to(device)
    return logits_of(load_model(checkpoint, device), stays).cpu()


def charted_logits(model: RiskModel, stays: ClinicalStays) -> Tensor:
    """Return (n, 2) float64 logits, those of survival being 0: the form in which networks give theirs."""
    parts = [model.logits(stays.select(slice(start, start + BATCH))) for start in range(0, len(stays), BATCH)]
    logits = torch.zeros(len(stays), 2, dtype=torch.float64)
    if parts:
        logits[:, 1] = torch.from_numpy(np.concatenate(parts))
    return logits


def predictions(checkpoint: Checkpoint, grid: GridDataset, rows: Rows, device: str, split: str) -> pl.DataFrame:
    """Return the risks of the stays at ``rows`` as a table (``PREDICTIONS_SCHEMA``)."""
    columns = {
        "model": [str(checkpoint.model["name"])] * len(rows),
        "member": [str(checkpoint.member)] * len(rows),
        "split": [split] * len(rows),
        "fold": grid.folds[rows],
        "stay_id": grid.stay_ids[rows],
        "label": grid.labels[rows],
        "probability": risks(checkpoint, grid, rows, device),
        "threshold": [checkpoint.threshold] * len(rows),
    }
    return pl.DataFrame(columns, schema_overrides=dict(PREDICTIONS_SCHEMA))


def _check_fit(checkpoint: Checkpoint, grid: GridDataset) -> None:
    ours = [variable.name for variable in checkpoint.variables]
    theirs = [variable.name for variable in grid.variables]
    if ours != theirs:
        raise StageError(
            f"The data hold the variables {', '.join(theirs)}; the checkpoint expects {', '.join(ours)}. "
            "Extract the data with the variables.use of the checkpoint."
        )
    if grid.values.shape[1] != checkpoint.n_hours:
        raise StageError(
            f"The data hold {grid.values.shape[1]} hours a stay; the checkpoint expects {checkpoint.n_hours}. "
            "Extract the data with the window.hours of the checkpoint."
        )
