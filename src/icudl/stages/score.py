"""Score: how well a fitted model predicts on a data set that it was not trained on."""

from __future__ import annotations

import polars as pl

from icudl.artifacts import FINAL, PREDICTIONS_SCHEMA, GridDataset, Scores, TrainingResult
from icudl.errors import StageError
from icudl.execution.context import RunContext
from icudl.execution.threads import single_thread
from icudl.training.external import align_grid, differences_of_data, missing_names, unmet_rows, unused_names
from icudl.training.options import TrainingOptions
from icudl.training.scores.evaluation import score_predictions
from icudl.training.scores.scoring import predictions

SPLIT = "external"
"""Split of the predictions: stays of patients whom the training has not met."""


def score(
    grid: GridDataset,
    training_grid: GridDataset,
    training: TrainingResult,
    options: TrainingOptions,
    context: RunContext,
) -> Scores:
    """Score the stays of an external data set with the final member.

    Variables and static descriptors are matched by name; what the data set lacks enters as never measured. Stays of
    patients whom the training has met are left out. Threshold and calibration are those of the checkpoint: nothing is
    fitted here.

    Args:
        grid: The external data set.
        training_grid: The data set that the training was given; it says which patients the training has met.
        training: Holds the final member.
        options: How many bootstrap resamples stand behind each interval; nothing else is read.
        context: Device, seed.

    Raises:
        StageError: The data set has another window, another unit of a variable, no variable of the checkpoint, or no
            patient whom the training has not met; or the training has no final member.
    """
    if str(FINAL) not in training.checkpoints:
        raise StageError(
            f"The training has the members {', '.join(training.checkpoints) or 'none'}; external data are scored by "
            f"{str(FINAL)!r}. Train the model again."
        )
    checkpoint = training.checkpoints[str(FINAL)]
    aligned = align_grid(grid, checkpoint)
    rows = unmet_rows(grid, training_grid, FINAL, checkpoint)
    if len(rows) == 0:
        raise StageError(
            f"The training has met the patients of all {len(grid.labels)} stays of the external data set (population "
            f"{grid.population!r}). Give it stays of other patients."
        )
    with single_thread():
        scored = predictions(checkpoint, aligned, rows, context.device, SPLIT).sort("stay_id")
        scored = scored.with_columns(fold=pl.lit(-1, PREDICTIONS_SCHEMA["fold"]))
        metrics = score_predictions(scored, grid.stays, options.bootstrap_samples, context.seed)
    return Scores(
        predictions=scored,
        metrics=metrics,
        left_out=len(grid.labels) - len(rows),
        missing=missing_names(grid, checkpoint),
        unused=unused_names(grid, checkpoint),
        warnings=tuple(differences_of_data(grid, training_grid, checkpoint)),
    )
