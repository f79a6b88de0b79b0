"""Test split and folds: by patient, stratified by outcome."""

from __future__ import annotations

import dataclasses
import enum
import heapq
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from icudl.errors import ConfigError, StageError, suggestion
from icudl.options import Options, option

Integers = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]


class Role(enum.StrEnum):
    """What a data set is for."""

    MAIN = "main"
    """Divided into test stays and folds: models are fitted on it, and scored on stays that they were not fitted on."""

    EXTERNAL = "external"
    """Scored and attacked only: no model is fitted on any of its stays."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitOptions(Options):
    """How stays are divided. All stays of a patient stay together; strata keep the share of deaths."""

    table: ClassVar[str] = "split"

    test_fraction: float = option(0.2, "Share of patients held out for testing.", low=0.0, high=0.9)
    folds: int = option(5, "Folds of cross-validation among the other patients.", low=2, high=100)
    test_sets: tuple[str, ...] = option((), "Source sets (column source_set) held out whole instead of a random share.")


@dataclasses.dataclass(frozen=True, eq=False)
class _Patients:
    """One entry per patient, sorted by patient id."""

    of_stay: Integers  # (N,) index of each stay's patient
    n_stays: Integers
    died: Bools  # in any of the stays


def hold_out_all(stays: int) -> tuple[Bools, npt.NDArray[np.int8]]:
    """Return the split of an external data set, as ``split_patients`` does: all test stays, no stay in a fold."""
    return np.ones(stays, dtype=bool), np.full(stays, -1, dtype=np.int8)


def split_patients(
    patient_ids: Integers,
    labels: Integers,
    source_sets: tuple[str, ...],
    options: SplitOptions,
    rng: np.random.Generator,
) -> tuple[Bools, npt.NDArray[np.int8]]:
    """Divide stays into test stays and folds of cross-validation.

    Patients, not stays, are drawn: separately among those who died in one of their stays and those who did not, and
    spread over the patients' numbers of stays, so that every part has its share of deaths and of stays. The result
    depends on the patients and the random stream, not on the order of the stays.

    Args:
        patient_ids: (N,) patient of each stay.
        labels: (N,) 1 for death.
        source_sets: N names of the part of the source each stay came from.
        options: Sizes. With ``test_sets``, all stays of a patient with a stay in one of them are test stays, and
            ``test_fraction`` is not used.
        rng: Random stream of the split.

    Returns:
        is_test (N,) bool and folds (N,) int8, -1 for test stays.

    Raises:
        ConfigError: ``test_sets`` names a set that no stay came from.
        StageError: The test split or a fold would have no deaths or no survivors.
    """
    unique, of_stay = np.unique(patient_ids, return_inverse=True)
    died = np.bincount(of_stay, weights=labels, minlength=unique.size) > 0
    patients = _Patients(of_stay=of_stay, n_stays=np.bincount(of_stay, minlength=unique.size), died=died)
    if options.test_sets:
        test = _in_test_sets(patients, source_sets, options)
        _check_test_sets(test[of_stay], labels, options)
    else:
        test = _draw_test(patients, options.test_fraction, rng)
    _check_enough(patients, test, options)
    fold_of_patient = _deal(patients, test, options.folds, rng)
    return test[of_stay], fold_of_patient[of_stay].astype(np.int8)


def _in_test_sets(patients: _Patients, source_sets: tuple[str, ...], options: SplitOptions) -> Bools:
    known = sorted(set(source_sets))
    for name in options.test_sets:
        if name not in known:
            raise ConfigError(
                f"split.test_sets names {name!r}, which no stay of the cohort comes from."
                + suggestion(name, known)
                + f" Known: {', '.join(map(repr, known))}."
            )
    in_test = np.isin(np.asarray(source_sets), options.test_sets)
    test: Bools = np.bincount(patients.of_stay, weights=in_test, minlength=patients.died.size) > 0
    return test


def _shuffled_by_stays(patients: _Patients, members: Integers, rng: np.random.Generator) -> Integers:
    """Return the members with the most stays first, in random order among equals."""
    shuffled = rng.permutation(members)
    return shuffled[np.argsort(-patients.n_stays[shuffled], kind="stable")]


def _draw_test(patients: _Patients, fraction: float, rng: np.random.Generator) -> Bools:
    test = np.zeros(patients.died.size, bool)
    for outcome in (True, False):
        members = np.flatnonzero(patients.died == outcome)
        if fraction == 0 or members.size == 0:
            continue
        ordered = _shuffled_by_stays(patients, members, rng)
        n_drawn = max(1, round(fraction * members.size))
        # Systematic sampling: n_drawn evenly spaced places, from a random start, along the patients in that order.
        place = np.arange(members.size) + rng.integers(members.size)
        test[ordered[(place + 1) * n_drawn // members.size > place * n_drawn // members.size]] = True
    return test


def _deal(patients: _Patients, test: Bools, n_folds: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Give each patient that is not held out to the fold with the fewest stays of that outcome so far."""
    fold_of_patient = np.full(test.size, -1, np.int64)
    total = np.zeros(n_folds, np.int64)
    for outcome in (True, False):
        ordered = _shuffled_by_stays(patients, np.flatnonzero((patients.died == outcome) & ~test), rng)
        heap = [(0, int(total[fold]), int(rank), fold) for fold, rank in enumerate(rng.permutation(n_folds))]
        heapq.heapify(heap)
        for patient, n_stays in zip(ordered.tolist(), patients.n_stays[ordered].tolist(), strict=True):
            stays_so_far, others, rank, fold = heap[0]
            fold_of_patient[patient] = fold
            heapq.heapreplace(heap, (stays_so_far + n_stays, others, rank, fold))
            total[fold] += n_stays
    return fold_of_patient


def _check_enough(patients: _Patients, test: Bools, options: SplitOptions) -> None:
    for outcome, name in ((True, "died"), (False, "survived")):
        available = int(((patients.died == outcome) & ~test).sum())
        if available < options.folds:
            advice = f"Set split.folds to at most {available}" if available >= 2 else "Use more data"
            raise StageError(
                f"{options.folds} folds need at least as many patients who {name}; {available} are left after "
                f"{int(test.sum())} patients were held out for testing. {advice}, or hold out fewer."
            )


def _check_test_sets(is_test: Bools, labels: Integers, options: SplitOptions) -> None:
    stays, deaths = int(is_test.sum()), int(labels[is_test].sum())
    if deaths in {0, stays}:
        raise StageError(
            f"The stays of split.test_sets = {list(options.test_sets)} number {stays} with {deaths} deaths. Expected "
            "both outcomes; hold out other sets, or draw a share of the patients with split.test_fraction."
        )
