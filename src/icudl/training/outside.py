"""Models from outside in a training: nothing is fitted, and whom they have met is what their table says."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import GridDataset
from icudl.errors import StageError
from icudl.models.options import ModelOptions
from icudl.models.outside.options import LISTED, TRAINING, OutsideOptions, read_bytes
from icudl.training.options import TrainingOptions

IDS = ("patient_id", "stay_id")
"""Columns by which a list of stays may name them."""


def as_given(model: ModelOptions, training: TrainingOptions) -> TrainingOptions:
    """Return the options that hold for a model: one from outside is fitted neither twice nor by folds.

    Its probabilities stay as they are unless it asks for a calibration.
    """
    if not isinstance(model, OutsideOptions):
        return training
    calibration = training.calibration if model.recalibrate else "none"
    return dataclasses.replace(training, calibration=calibration, final="refit", fit_again=False, baselines=False)


def given_threshold(model: ModelOptions) -> float | None:
    """Return the decision threshold that a model brings; None where validation stays choose it."""
    return model.threshold if isinstance(model, OutsideOptions) and model.threshold > 0.0 else None


def has_folds(model: ModelOptions) -> bool:
    """Tell whether a model can score stays out of fold: not if it was trained on the stays of all folds."""
    return not (isinstance(model, OutsideOptions) and model.trained_on == TRAINING)


def met_before(grid: GridDataset, model: ModelOptions) -> npt.NDArray[np.int64]:
    """Return the patients of a data set whom a model met before it came here, sorted; none for other models.

    Raises:
        StageError: The list of stays cannot be read, or names none of the data set's.
        ConfigError: Its file cannot be read.
    """
    if not isinstance(model, OutsideOptions):
        return np.zeros(0, np.int64)
    if model.trained_on == TRAINING:
        return np.unique(grid.patient_ids[~grid.is_test])
    if model.trained_on != LISTED:
        return np.zeros(0, np.int64)
    place = model.trained_stays
    try:
        table = pl.read_csv(io.BytesIO(read_bytes(place)))
    except pl.exceptions.PolarsError as error:
        raise StageError(
            f"{place!r} cannot be read as CSV: {error}. Expected a column stay_id or patient_id."
        ) from error
    column = next((name for name in IDS if name in table.columns), None)
    if column is None or not table[column].dtype.is_integer() or table[column].null_count():
        raise StageError(
            f"{place!r} has the columns {', '.join(table.columns)}. Expected whole numbers in a column stay_id or "
            "patient_id: the stays that the model was trained on."
        )
    listed = table[column].to_numpy()
    known = grid.patient_ids if column == "patient_id" else grid.stay_ids
    met = grid.patient_ids[np.isin(known, listed)]
    if not len(met):
        raise StageError(
            f"None of the {len(listed):,} numbers in {place!r} is a {column} of the data, so nothing tells whom the "
            'model has met. If it has met nobody, say trained_on = "elsewhere".'
        )
    return np.unique(met)
