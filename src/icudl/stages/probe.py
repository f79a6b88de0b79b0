"""Probe: does risk follow clinical derangements, and how often do errors of entry reverse verdicts?"""

from __future__ import annotations

import numpy as np

from icudl.artifacts import FINAL, GridDataset, Probes, TrainingResult
from icudl.errors import StageError
from icudl.execution.context import RunContext
from icudl.probes.options import ProbeOptions
from icudl.probes.run import run_probes
from icudl.stages.attack import draw_stays
from icudl.training.external import align_grid, unmet_rows


def probe(
    grid: GridDataset,
    training: TrainingResult,
    options: ProbeOptions,
    context: RunContext,
    fitted_on: GridDataset | None = None,
) -> Probes:
    """Change the records of every stay of the splits asked for, read by a model that was not fitted on it.

    The stays are those that an attack with the same split and number of stays looks at (``stages.attack``).

    Args:
        grid: The data set.
        training: Checkpoints.
        options: Split, number of stays, derangements, rates of errors.
        context: Executor, device, progress, scratch folder, seed.
        fitted_on: The data set that the checkpoints were fitted on, where ``grid`` is an external one.

    Raises:
        StageError: No stay is left, a checkpoint is missing, or the external data do not fit it.
    """
    if fitted_on is None:
        wanted = {"both": np.ones_like(grid.is_test), "test": grid.is_test, "out-of-fold": ~grid.is_test}
        rows = np.flatnonzero(wanted[options.split])
        if len(rows) == 0:
            raise StageError(
                f"probe.split = {options.split!r} holds no stay. Choose another split, or change split.test_fraction."
            )
        return run_probes(
            training.checkpoints, grid, draw_stays(grid, rows, options.max_stays, context), options, context
        )
    if str(FINAL) not in training.checkpoints:
        raise StageError("The training has no final model, which alone reads external data. Train the model again.")
    rows = draw_stays(grid, unmet_rows(grid, fitted_on, FINAL), options.max_stays, context)
    if len(rows) == 0:
        raise StageError(
            f"The training has met the patients of all stays of the population {grid.population!r}. "
            "Probe stays of other patients."
        )
    return run_probes(training.checkpoints, align_grid(grid, training.checkpoints[str(FINAL)]), rows, options, context)
