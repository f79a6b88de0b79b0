"""Attack: how little must change in a record before the model says the opposite?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from icudl.artifacts import AttackResult, GridDataset, TrainingResult
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.runner import run_attack
from icudl.errors import StageError
from icudl.execution.context import RunContext


def attack(grid: GridDataset, training: TrainingResult, options: AttackOptions, context: RunContext) -> AttackResult:
    """Attack every stay of the splits asked for through a model that was not fitted on it.

    Test stays are attacked through the final model, the others through the model of the fold they were left out of.

    Args:
        grid: The data set.
        training: Checkpoints fitted on it.
        options: Attack, threat model, split, number of stays.
        context: Executor, device, progress, scratch folder, seed.

    Raises:
        StageError: No stay is left, or a checkpoint is missing.
        AttackError: The model is not differentiable.
    """
    return run_attack(training.checkpoints, grid, choose_stays(grid, options, context), options, context)


def choose_stays(grid: GridDataset, options: AttackOptions, context: RunContext) -> npt.NDArray[np.int64]:
    """Return the sorted positions of the stays to attack.

    With ``max_stays`` they are drawn at random, survivors and deaths in the proportion they have in the splits, and at
    least one of each where there is one.

    Raises:
        StageError: The split holds no stay.
    """
    wanted = {"both": np.ones_like(grid.is_test), "test": grid.is_test, "out-of-fold": ~grid.is_test}[options.split]
    rows = np.flatnonzero(wanted)
    if len(rows) == 0:
        raise StageError(
            f"attack.split = {options.split!r} holds no stay. Choose another split, or change split.test_fraction."
        )
    if options.max_stays == 0 or options.max_stays >= len(rows):
        return rows
    shuffled = context.rng("attack", "sample").permutation(rows)
    deaths, survivors = shuffled[grid.labels[shuffled] == 1], shuffled[grid.labels[shuffled] == 0]
    n_deaths = round(options.max_stays * len(deaths) / len(rows))
    n_deaths = min(max(n_deaths, min(1, len(deaths))), len(deaths))
    n_survivors = min(options.max_stays - n_deaths, len(survivors))
    return np.sort(np.concatenate([deaths[:n_deaths], survivors[:n_survivors]]))
