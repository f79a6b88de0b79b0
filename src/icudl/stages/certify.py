"""Certify: can one wrong value reverse the model's decision? A proof that it cannot, or the value."""

from __future__ import annotations

from icudl.artifacts import Certificates, GridDataset, TrainingResult
from icudl.execution.context import RunContext
from icudl.proofs.options import CertifyOptions
from icudl.proofs.run import run_proofs
from icudl.training.judged import judged_stays


def certify(
    grid: GridDataset,
    training: TrainingResult,
    options: CertifyOptions,
    context: RunContext,
    fitted_on: GridDataset | None = None,
) -> Certificates:
    """Prove about every stay of the splits asked for, read by a model that was not fitted on it.

    The stays are those that an attack with the same split and number of stays attacks (``training.judged``).

    Args:
        grid: The data set.
        training: Checkpoints.
        options: Threat model, split, number of stays, width, budget.
        context: Executor, progress, scratch folder, seed.
        fitted_on: The data set that the checkpoints were fitted on, where ``grid`` is an external one.

    Raises:
        StageError: No stay is left, a checkpoint is missing, nothing can be proved about the model, or the external
            data do not fit it.
    """
    read, rows = judged_stays(grid, training, options, context, fitted_on)
    return run_proofs(training.checkpoints, read, rows, options, context)
