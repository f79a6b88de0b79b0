"""Attacks, proofs and probes leave out patients whom a model has met, be it before it came here."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from attack_cases import make_case
from icudl.artifacts import FINAL, MET_BEFORE, GridDataset, TrainingResult
from icudl.attacks.options import AttackOptions
from icudl.errors import StageError
from icudl.execution.context import RunContext
from icudl.probes.options import ProbeOptions
from icudl.proofs.options import CertifyOptions
from icudl.training.judged import Choice, draw_stays, judged_stays
from training_grids import make_grid

CHOICES = (
    AttackOptions(split="both"), CertifyOptions(split="both", max_stays=0), ProbeOptions(split="both", max_stays=0)
)  # fmt: skip


@pytest.fixture(scope="module")
def case() -> tuple[GridDataset, TrainingResult]:
    return make_case()


def having_met(training: TrainingResult, patients: np.ndarray) -> TrainingResult:
    checkpoints = {
        member: dataclasses.replace(checkpoint, weights={**checkpoint.weights, MET_BEFORE: patients})
        for member, checkpoint in training.checkpoints.items()
    }
    return dataclasses.replace(training, checkpoints=checkpoints)


@pytest.mark.parametrize("options", CHOICES, ids=lambda options: options.table)
@pytest.mark.parametrize("is_external", [False, True], ids=["own data", "external data"])
def test_whom_a_model_met_before_is_left_out(
    options: Choice, is_external: bool, case: tuple[GridDataset, TrainingResult], context: RunContext
) -> None:
    grid, training = case
    # As external data of the same population: patients whom the training itself did not have.
    fitted_on = dataclasses.replace(grid, stays=grid.stays.with_columns(patient_id=-grid.stays["patient_id"] - 1))
    other = fitted_on if is_external else None
    _, everyone = judged_stays(grid, training, options, context, other)
    assert everyone.tolist() == list(range(len(grid.labels)))
    met = np.unique(grid.patient_ids)[::2]
    _, rows = judged_stays(grid, having_met(training, met), options, context, other)
    assert rows.tolist() == np.flatnonzero(~np.isin(grid.patient_ids, met)).tolist()
    with pytest.raises(StageError, match="met"):
        judged_stays(grid, having_met(training, np.unique(grid.patient_ids)), options, context, other)


def test_external_data_need_the_final_model(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    grid, training = case
    folds = {member: checkpoint for member, checkpoint in training.checkpoints.items() if member != str(FINAL)}
    with pytest.raises(StageError, match="The training has no final model"):
        judged_stays(grid, dataclasses.replace(training, checkpoints=folds), CHOICES[0], context, grid)


@pytest.mark.parametrize(
    ("deaths", "survivors", "most", "expected"),
    [
        (20, 40, 15, (5, 10)),
        (1, 59, 10, (1, 9)),
        (2, 58, 10, (1, 9)),
        (0, 60, 10, (0, 10)),
        (59, 1, 30, (30, 0)),
        (60, 0, 30, (30, 0)),
        (20, 40, 60, (20, 40)),
        (20, 40, 0, (20, 40)),
    ],
)
def test_deaths_and_survivors_are_drawn_in_proportion(
    deaths: int, survivors: int, most: int, expected: tuple[int, int], context: RunContext
) -> None:
    grid = make_grid(70)
    labels = np.zeros(70, np.int8)
    labels[5 : 5 + deaths] = 1
    rows = np.arange(5, 5 + deaths + survivors)
    drawn = draw_stays(dataclasses.replace(grid, labels=labels), rows, most, context)
    assert (int((labels[drawn] == 1).sum()), int((labels[drawn] == 0).sum())) == expected
    assert set(drawn) <= set(rows)
    assert np.all(np.diff(drawn) > 0)


def test_the_split_says_which_stays(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    grid, training = case
    for split, expected in (("test", grid.is_test), ("out-of-fold", ~grid.is_test)):
        options = AttackOptions(split=split, max_stays=0)
        assert judged_stays(grid, training, options, context, None)[1].tolist() == np.flatnonzero(expected).tolist()
