"""Attack: how small a change of a record reverses the model's decision?"""

from __future__ import annotations

from icudl.artifacts import AttackResult, GridDataset, TrainingResult
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.runner import run_attack
from icudl.execution.context import RunContext
from icudl.training.judged import judged_stays


def attack(
    grid: GridDataset,
    training: TrainingResult,
    options: AttackOptions,
    context: RunContext,
    fitted_on: GridDataset | None = None,
) -> AttackResult:
    """Attack every stay of the splits asked for through a model that was not fitted on it.

    Of the data set that the models were fitted on, test stays are attacked through the final model, the others through
    the model of the fold they were left out of. Of an external data set, all stays of patients whom the training has
    not met are attacked through the final model, whatever ``options.split`` says: it has no folds.

    Args:
        grid: The data set to attack.
        training: Checkpoints.
        options: Attack, threat model, split, number of stays.
        context: Executor, device, progress, scratch folder, seed.
        fitted_on: The data set that the checkpoints were fitted on, where ``grid`` is an external one.

    Raises:
        StageError: No stay is left, a checkpoint is missing, or the external data do not fit it.
        AttackError: The model is not differentiable.
    """
    read, rows = judged_stays(grid, training, options, context, fitted_on)
    return run_attack(training.checkpoints, read, rows, options, context)
