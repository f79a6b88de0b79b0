"""Probe: does risk follow clinical derangements, and how often do errors of entry reverse verdicts?"""

from __future__ import annotations

from icudl.artifacts import GridDataset, Probes, TrainingResult
from icudl.execution.context import RunContext
from icudl.probes.options import ProbeOptions
from icudl.probes.run import run_probes
from icudl.training.judged import judged_stays


def probe(
    grid: GridDataset,
    training: TrainingResult,
    options: ProbeOptions,
    context: RunContext,
    fitted_on: GridDataset | None = None,
) -> Probes:
    """Change the records of every stay of the splits asked for, read by a model that was not fitted on it.

    The stays are those that an attack with the same split and number of stays looks at (``training.judged``).

    Args:
        grid: The data set.
        training: Checkpoints.
        options: Split, number of stays, derangements, rates of errors.
        context: Executor, device, progress, scratch folder, seed.
        fitted_on: The data set that the checkpoints were fitted on, where ``grid`` is an external one.

    Raises:
        StageError: No stay is left, a checkpoint is missing, or the external data do not fit it.
    """
    read, rows = judged_stays(grid, training, options, context, fitted_on)
    return run_probes(training.checkpoints, read, rows, options, context)
