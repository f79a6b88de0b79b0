"""Attack: how small a change of a record reverses the model's decision?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from icudl.artifacts import FINAL, AttackResult, GridDataset, TrainingResult
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.runner import run_attack
from icudl.errors import StageError
from icudl.execution.context import RunContext
from icudl.training.external import align_grid, unmet_rows

NOBODY = np.zeros(0, np.int64)


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
    if fitted_on is None:
        met = next(iter(training.checkpoints.values())).met_before
        return run_attack(training.checkpoints, grid, choose_stays(grid, options, context, met), options, context)
    if str(FINAL) not in training.checkpoints:
        raise StageError("The training has no final model, which alone attacks external data. Train the model again.")
    unmet = unmet_rows(grid, fitted_on, FINAL, training.checkpoints[str(FINAL)])
    rows = draw_stays(grid, unmet, options.max_stays, context)
    if len(rows) == 0:
        raise StageError(
            f"The training has met the patients of all stays of the population {grid.population!r}. "
            "Attack stays of other patients."
        )
    aligned = align_grid(grid, training.checkpoints[str(FINAL)])
    return run_attack(training.checkpoints, aligned, rows, options, context)


def choose_stays(
    grid: GridDataset, options: AttackOptions, context: RunContext, met_before: npt.NDArray[np.int64] = NOBODY
) -> npt.NDArray[np.int64]:
    """Return the sorted positions of the stays to attack.

    With ``max_stays`` they are drawn at random (``draw_stays``).

    Args:
        grid: The data set.
        options: Split, number of stays.
        context: Random streams.
        met_before: Patients whose stays are left out, because a model from outside has met them.

    Raises:
        StageError: The split holds no stay.
    """
    wanted = {"both": np.ones_like(grid.is_test), "test": grid.is_test, "out-of-fold": ~grid.is_test}[options.split]
    rows = np.flatnonzero(wanted & ~np.isin(grid.patient_ids, met_before))
    if len(rows) == 0:
        why = " whose patient the model has not met" if len(met_before) else ""
        raise StageError(
            f"attack.split = {options.split!r} holds no stay{why}. Choose another split, or change split.test_fraction."
        )
    return draw_stays(grid, rows, options.max_stays, context)


def draw_stays(
    grid: GridDataset, rows: npt.NDArray[np.int64], max_stays: int, context: RunContext
) -> npt.NDArray[np.int64]:
    """Return at most ``max_stays`` of the stays at ``rows``, sorted; all of them where it is 0.

    Survivors and deaths are drawn in proportion, with at least one of each outcome that occurs.
    """
    if max_stays == 0 or max_stays >= len(rows):
        return rows
    shuffled = context.rng("attack", "sample").permutation(rows)
    deaths, survivors = shuffled[grid.labels[shuffled] == 1], shuffled[grid.labels[shuffled] == 0]
    n_deaths = round(max_stays * len(deaths) / len(rows))
    n_deaths = min(max(n_deaths, min(1, len(deaths))), len(deaths))
    n_survivors = min(max_stays - n_deaths, len(survivors))
    return np.sort(np.concatenate([deaths[:n_deaths], survivors[:n_survivors]]))
