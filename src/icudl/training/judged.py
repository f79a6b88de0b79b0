"""Which stays an attack, a proof or a probe looks at: held out, drawn in proportion, of patients that no model met."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from icudl.artifacts import FINAL, GridDataset, TrainingResult
from icudl.errors import StageError
from icudl.execution.context import RunContext
from icudl.training.external import align_grid, unmet_rows

Rows = npt.NDArray[np.int64]
NOBODY: Rows = np.zeros(0, np.int64)


class Choice(Protocol):
    """The options that say which stays are looked at.

    Attributes:
        table: Where they stand in the configuration.
    """

    table: ClassVar[str]

    @property
    def split(self) -> str:
        """``"test"``, ``"out-of-fold"`` or ``"both"``."""

    @property
    def max_stays(self) -> int:
        """The most stays; 0 for all."""


def judged_stays(
    grid: GridDataset, training: TrainingResult, options: Choice, context: RunContext, fitted_on: GridDataset | None
) -> tuple[GridDataset, Rows]:
    """Return the data set as the models read it, and the sorted positions of the stays to look at.

    Of the data set that the models were fitted on, these are the stays of the split, without those of patients whom a
    model from outside has met. Of an external data set, these are all stays of patients whom the training has not met,
    whatever the split: the final model reads them, for the data set has no folds.

    Args:
        grid: The data set.
        training: Checkpoints.
        options: Split and number of stays.
        context: Random streams.
        fitted_on: The data set that the checkpoints were fitted on, where ``grid`` is an external one.

    Raises:
        StageError: No stay is left, the final model is missing, or the external data do not fit it.
    """
    if fitted_on is None:
        met = next((checkpoint.met_before for checkpoint in training.checkpoints.values()), NOBODY)
        return grid, choose_stays(grid, options, context, met)
    if str(FINAL) not in training.checkpoints:
        raise StageError("The training has no final model, which alone reads external data. Train the model again.")
    final = training.checkpoints[str(FINAL)]
    rows = draw_stays(grid, unmet_rows(grid, fitted_on, FINAL, final), options.max_stays, context)
    if len(rows) == 0:
        raise StageError(
            f"The training has met the patients of all stays of the population {grid.population!r}. "
            "Choose stays of other patients."
        )
    return align_grid(grid, final), rows


def choose_stays(grid: GridDataset, options: Choice, context: RunContext, met_before: Rows = NOBODY) -> Rows:
    """Return the sorted positions of the stays of a split.

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
            f"{options.table}.split = {options.split!r} holds no stay{why}. Choose another split, or change "
            "split.test_fraction."
        )
    return draw_stays(grid, rows, options.max_stays, context)


def draw_stays(grid: GridDataset, rows: Rows, max_stays: int, context: RunContext) -> Rows:
    """Return at most ``max_stays`` of the stays at ``rows``, sorted; all of them where it is 0.

    Survivors and deaths are drawn in proportion, with at least one death where there is one.
    """
    if max_stays == 0 or max_stays >= len(rows):
        return rows
    shuffled = context.rng("attack", "sample").permutation(rows)
    deaths, survivors = shuffled[grid.labels[shuffled] == 1], shuffled[grid.labels[shuffled] == 0]
    n_deaths = round(max_stays * len(deaths) / len(rows))
    n_deaths = min(max(n_deaths, min(1, len(deaths))), len(deaths))
    n_survivors = min(max_stays - n_deaths, len(survivors))
    return np.sort(np.concatenate([deaths[:n_deaths], survivors[:n_survivors]]))
