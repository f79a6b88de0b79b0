"""Data sets that a model was not trained on: laid out as its checkpoint expects, without the patients it has met."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Checkpoint, GridDataset, Member
from icudl.errors import StageError
from icudl.training.data import Rows
from icudl.training.members import learnt_from

OVERLAPPING: tuple[frozenset[str], ...] = (
    # Silva et al. 2012: the challenge took its stays from MIMIC-II, whose patients MIMIC-III holds as well.
    frozenset({"mimic-iii", "physionet-2012"}),
    # One hospital; MIMIC-III holds admissions of 2001 to 2012, MIMIC-IV of 2008 on, MIMIC-II ends in 2008.
    frozenset({"mimic-iii", "mimic-iv"}),
    frozenset({"mimic-iv", "physionet-2012"}),
    # eICU_MEDS takes a hospital stay for a subject; its ids are those of hospital stays, not of patients.
    frozenset({"eicu", "eicu by hospital stay"}),
    # Reyna et al. 2020: set A of the challenge is of the hospital that MIMIC is of.
    frozenset({"mimic-iii", "physionet-2019"}),
    frozenset({"mimic-iv", "physionet-2019"}),
    frozenset({"physionet-2012", "physionet-2019"}),
)
"""Populations that have patients in common, under ids that do not tell which."""

FEWEST_FOR_A_MEDIAN = 20
"""Values of a variable below which nothing is said about their median."""

STAYS_FOR_A_MEDIAN = 2000
"""Stays whose values a median is taken of, at most."""

_OTHER_IDS = "yaib-"
"""Begins the name of a population of the same patients as another's, under ids of stays instead of patients."""


def met_patients(grid: GridDataset, member: Member) -> npt.NDArray[np.int64]:
    """Return the patients whose stays a member was fitted on or validated with, sorted.

    Args:
        grid: The data set of the training.
        member: The final member has met all patients but those of the test stays; the member of a fold has not met the
            patients of its fold either.
    """
    return np.unique(grid.patient_ids[learnt_from(grid, member)])


def unmet_rows(
    grid: GridDataset, training_grid: GridDataset, member: Member, checkpoint: Checkpoint | None = None
) -> Rows:
    """Return the stays of a data set whose patients a member has not met; what decides is the patient, never the split.

    Two data sets of one population are the same patients under the same ids. A data set whose population is unknown
    (``""``) shares no patient with any other; ``require_populations`` refuses it.

    Args:
        grid: The stays to choose from; the very data set of the training, or another.
        training_grid: The data set of the training.
        member: As in ``met_patients``.
        checkpoint: The model of the member, which may have met further patients before it came here.
    """
    if not _same_patients(grid, training_grid):
        return np.arange(len(grid.labels))
    met = met_patients(training_grid, member)
    if checkpoint is not None:
        met = np.union1d(met, checkpoint.met_before)
    return np.flatnonzero(~np.isin(grid.patient_ids, met))


def rows_by_fold(
    grid: GridDataset, training_grid: GridDataset, checkpoints: Mapping[str, Checkpoint] | None = None
) -> dict[Member, Rows]:
    """Return, for the member of each fold, the stays of a data set whose patients the training left out as that fold.

    No stay belongs to two members. Stays of patients who were in no fold (test patients, and patients whom the training
    did not have) belong to none.

    Args:
        grid: As in ``unmet_rows``.
        training_grid: As in ``unmet_rows``.
        checkpoints: The models of the folds, by member, as in ``unmet_rows``.
    """
    found = {}
    for fold in range(training_grid.n_folds):
        member = Member(fold)
        unmet = unmet_rows(grid, training_grid, member, (checkpoints or {}).get(str(member)))
        left_out = training_grid.patient_ids[training_grid.folds == fold]
        known = np.isin(grid.patient_ids[unmet], left_out) & _same_patients(grid, training_grid)
        found[member] = unmet[known]
    return found


def require_populations(grid: GridDataset, training_grid: GridDataset) -> None:
    """Make sure that it is known whose patients two data sets hold, unless they are one and the same.

    Raises:
        StageError: The population of either is unknown.
    """
    if grid is not training_grid and not (grid.population and training_grid.population):
        whose = "the data" if not grid.population else "the data of the training"
        raise StageError(
            f"The population of {whose} is unknown, so nothing tells which patients the model has met. Name it in the "
            "source (population), and preprocess again."
        )


def shared_under_other_ids(grid: GridDataset, training_grid: GridDataset) -> bool:
    """Tell whether two populations have, or may have, patients in common whom no id identifies (``OVERLAPPING``)."""
    populations = {grid.population, training_grid.population}
    databases = frozenset(population.removeprefix(_OTHER_IDS) for population in populations)
    return len(populations) == 2 and (len(databases) == 1 or databases in OVERLAPPING)


def _same_patients(grid: GridDataset, training_grid: GridDataset) -> bool:
    return grid is training_grid or (bool(grid.population) and grid.population == training_grid.population)


def missing_names(grid: GridDataset, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the variables and static descriptors that a checkpoint expects and a data set lacks, in its order.

    A variable of which no stay has a value is lacking as well.
    """
    charted: list[bool] = np.any(grid.counts > 0, axis=(0, 1)).tolist()
    there = {variable.name for variable, some in zip(grid.variables, charted, strict=True) if some}
    variables = [variable.name for variable in checkpoint.variables if variable.name not in there]
    return (*variables, *(name for name in checkpoint.static_names if name not in grid.static_names))


def unused_names(grid: GridDataset, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the variables of a data set that a checkpoint does not read, in the order of the data set."""
    expected = {variable.name for variable in checkpoint.variables}
    return tuple(variable.name for variable in grid.variables if variable.name not in expected)


def shifted_names(grid: GridDataset, training_grid: GridDataset) -> list[str]:
    """Return, in words, the variables whose median lies where the data of the training have hardly a value.

    Medians of other patients differ by less than that; those of another unit, or of another measurement under the same
    name, do not.

    Args:
        grid: The data set that is scored. Variables are matched by name.
        training_grid: The data set that the model was fitted on.
    """
    theirs = {variable.name: place for place, variable in enumerate(training_grid.variables)}
    told = []
    for place, variable in enumerate(grid.variables):
        if variable.name not in theirs:
            continue
        here, there = (_charted(*each) for each in ((grid, place), (training_grid, theirs[variable.name])))
        if min(len(here), len(there)) < FEWEST_FOR_A_MEDIAN:
            continue
        low, high = np.quantile(there, (0.01, 0.99))
        median = np.median(here)
        if not low <= median <= high:
            told.append(f"{variable.name} (median {median:.4g}; {low:.4g} to {high:.4g} in training)")
    return told


def _charted(grid: GridDataset, place: int) -> npt.NDArray[np.float32]:
    """Return the values of a variable in at most ``STAYS_FOR_A_MEDIAN`` stays, taken at equal distances."""
    step = max(1, -(-len(grid.labels) // STAYS_FOR_A_MEDIAN))
    values: npt.NDArray[np.float32] = grid.values[::step, :, place]
    return values[~np.isnan(values)]


def differences_of_data(grid: GridDataset, training_grid: GridDataset, checkpoint: Checkpoint) -> list[str]:
    """Return, in sentences, what a reader of a data set's scores has to know about the data.

    Args:
        grid: The data set that is scored.
        training_grid: The data set that the checkpoint was fitted on.
        checkpoint: The model.
    """
    notes = []
    if shared_under_other_ids(grid, training_grid):
        notes.append(
            f"{grid.population} and {training_grid.population} have patients in common under other ids: some of those "
            "scored may be patients that the model has met."
        )
    if grid.outcome != training_grid.outcome:
        notes.append(
            f"The model was fitted to {training_grid.outcome.phrase}; these stays are judged by {grid.outcome.phrase}."
        )
    if shifted := shifted_names(grid, training_grid):
        notes.append(
            f"Values lie elsewhere than those that the model was fitted to: {', '.join(shifted)}. Check their units "
            "and what they measure: scores of values in a wrong unit mean nothing."
        )
    if missing := missing_names(grid, checkpoint):
        notes.append(f"The data lack {', '.join(missing)}: taken as never measured.")
    if unused := unused_names(grid, checkpoint):
        notes.append(f"The model does not read {', '.join(unused)}.")
    return notes


def align_grid(grid: GridDataset, checkpoint: Checkpoint) -> GridDataset:
    """Return a data set with the variables and static descriptors of a checkpoint, matched by name, in its order.

    What the data set lacks enters as never measured, so that the checkpoint's scaler fills it with the training median.
    What the checkpoint does not read is left out. Stays, outcomes and split stay as they are.

    Args:
        grid: N stays of T hours with variables and descriptors of its own.
        checkpoint: F variables, S descriptors, T hours.

    Returns:
        The N stays with (N, T, F) values and counts and (N, S) descriptors.

    Raises:
        StageError: The windows differ, a variable is in another unit, or the two have no variable in common.
    """
    _check_window(grid, checkpoint)
    _check_units(grid, checkpoint)
    theirs = [variable.name for variable in grid.variables]
    ours = [variable.name for variable in checkpoint.variables]
    if not set(ours) & set(theirs):
        raise StageError(
            f"The data hold the variables {', '.join(theirs)}; the checkpoint expects {', '.join(ours)}. They have "
            "none in common. Extract the data with the variables.use of the checkpoint."
        )
    return dataclasses.replace(
        grid,
        values=_chosen(grid.values, theirs, ours, np.nan),
        counts=_chosen(grid.counts, theirs, ours, 0),
        statics=_chosen(grid.statics, grid.static_names, checkpoint.static_names, np.nan),
        static_names=checkpoint.static_names,
        variables=checkpoint.variables,
    )


def _chosen(
    array: npt.NDArray[Any], there: list[str] | tuple[str, ...], wanted: list[str] | tuple[str, ...], empty: float
) -> npt.NDArray[Any]:
    """Return the last columns of an array by name, those that are not there filled with ``empty``."""
    if list(there) == list(wanted):
        return array  # mapped from its file, where it was read from one
    chosen = np.full((*array.shape[:-1], len(wanted)), empty, array.dtype)
    for place, name in enumerate(wanted):
        if name in there:
            chosen[..., place] = array[..., there.index(name)]
    return chosen


def _check_window(grid: GridDataset, checkpoint: Checkpoint) -> None:
    hours = grid.values.shape[1]
    if hours != checkpoint.n_hours:
        raise StageError(
            f"The data hold {hours} hours a stay; the checkpoint expects {checkpoint.n_hours}. Extract the data with "
            "the window.hours of the checkpoint."
        )


def _check_units(grid: GridDataset, checkpoint: Checkpoint) -> None:
    units = {variable.name: variable.unit for variable in checkpoint.variables}
    for variable in grid.variables:
        unit = units.get(variable.name, variable.unit)
        if variable.unit != unit:
            raise StageError(
                f"The data hold {variable.name} in {variable.unit!r}; the checkpoint expects it in {unit!r}. Convert "
                "it in the source of the data."
            )
