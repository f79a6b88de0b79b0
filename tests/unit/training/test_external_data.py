"""Data sets from elsewhere: which patients count as met, and what a checkpoint is given to read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from attack_cases import make_checkpoint
from icudl.artifacts import FINAL, MET_BEFORE, Checkpoint, GridDataset, Member
from icudl.errors import StageError
from icudl.execution.base import ignore_ticks
from icudl.models.options import LstmOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.training.external import (
    align_grid,
    met_patients,
    missing_names,
    require_populations,
    rows_by_fold,
    shared_under_other_ids,
    shifted_names,
    unmet_rows,
    unused_names,
)
from icudl.training.members import MemberJob, Plan, divide, run_member
from icudl.training.options import TrainingOptions
from icudl.training.scores.scoring import risks
from icudl.variables import STUDY_VARIABLES
from training_grids import make_grid

INPUTS = InputOptions(channels=("value", "observed"), statics=("age_years",))
N_HOURS = 6


def five_stays(patients: tuple[int, ...] = (10, 10, 11, 12, 13), **changes: object) -> GridDataset:
    """Five stays of four patients: 10 in fold 0, 11 in fold 1, 12 and 13 held out; as external data without a split."""
    grid = make_grid(5)
    stays = grid.stays.with_columns(patient_id=pl.Series(patients, dtype=pl.Int64))
    split = {"is_test": np.array([False, False, False, True, True]), "folds": np.array([0, 0, 1, -1, -1], np.int8)}
    return dataclasses.replace(grid, stays=stays, **{**split, "population": "ward a"} | changes)


@pytest.mark.parametrize(
    ("member", "met"), [(FINAL, [10, 11]), (Member(0), [11]), (Member(1), [10])], ids=["final", "fold-0", "fold-1"]
)
def test_a_member_has_met_the_patients_it_learnt_from_by_hand(member: Member, met: list[int]) -> None:
    assert met_patients(five_stays(), member).tolist() == met


def test_a_member_has_met_exactly_the_patients_of_its_division() -> None:
    grid = make_grid(80, n_folds=3)
    for fold in (-1, 0, 1, 2):
        division = divide(grid, fold, 0.15, seed=4)
        learnt = np.union1d(grid.patient_ids[division.fit], grid.patient_ids[division.valid])
        met = met_patients(grid, Member.of_fold(fold))
        assert met.tolist() == learnt.tolist()
        assert not np.isin(grid.patient_ids[division.scored], met).any()


@pytest.mark.parametrize("is_test", [True, False])
def test_the_patient_decides_and_never_the_split(is_test: bool) -> None:
    """Patients 10 and 11 were learnt from: no flag of the other data set makes them unmet. 12 and 13 were held out."""
    elsewhere = five_stays(
        (13, 11, 10, 99, 12), is_test=np.full(5, is_test), folds=np.full(5, -1 if is_test else 0, np.int8)
    )
    assert unmet_rows(elsewhere, five_stays(), FINAL).tolist() == [0, 3, 4]
    assert unmet_rows(elsewhere, five_stays(), Member(0)).tolist() == [0, 2, 3, 4]


def test_patients_that_a_model_has_met_before_it_came_here_are_met() -> None:
    grid = five_stays()
    checkpoint = make_checkpoint(grid, "final")
    fitted_elsewhere = dataclasses.replace(checkpoint, weights=checkpoint.weights | {MET_BEFORE: np.array([13])})
    assert unmet_rows(grid, grid, FINAL, fitted_elsewhere).tolist() == [3]
    assert unmet_rows(grid, grid, FINAL).tolist() == [3, 4]


@pytest.mark.parametrize(("theirs", "ours"), [("ward b", "ward a"), ("", "ward a"), ("", "")])
def test_equal_numbers_of_other_or_unknown_populations_are_other_patients(theirs: str, ours: str) -> None:
    elsewhere, training_grid = five_stays(population=theirs), five_stays(population=ours)
    assert unmet_rows(elsewhere, training_grid, FINAL).tolist() == [0, 1, 2, 3, 4]


def shuffled(grid: GridDataset) -> GridDataset:
    """The same stays with their variables in another order, and one variable and one descriptor more."""
    order = [2, 0, 1]
    more = np.full((*grid.values.shape[:2], 1), 7.0, np.float32)
    return dataclasses.replace(
        grid,
        values=np.concatenate([grid.values[:, :, order], more], axis=2),
        counts=np.concatenate([grid.counts[:, :, order], np.ones_like(more, np.uint16)], axis=2),
        variables=(*(grid.variables[place] for place in order), STUDY_VARIABLES[9]),
        statics=np.concatenate([np.full((len(grid.labels), 1), 1.0, np.float32), grid.statics], axis=1),
        static_names=("sex_male", "age_years"),
    )


def test_variables_and_descriptors_are_matched_by_name() -> None:
    grid = make_grid(40)
    checkpoint = make_checkpoint(grid, "final", inputs=INPUTS)
    aligned = align_grid(shuffled(grid), checkpoint)
    for name in ("values", "counts", "statics"):
        np.testing.assert_array_equal(getattr(aligned, name), getattr(grid, name))
    assert (aligned.variables, aligned.static_names) == (grid.variables, ("age_years",))
    assert aligned.stays.equals(grid.stays)
    assert missing_names(shuffled(grid), checkpoint) == ()
    assert unused_names(shuffled(grid), checkpoint) == (STUDY_VARIABLES[9].name,)
    assert np.shares_memory(align_grid(grid, checkpoint).values, grid.values), "a mapped file is not read as a whole"


def test_what_is_missing_is_filled_with_the_training_median() -> None:
    grid = make_grid(40)
    checkpoint = make_checkpoint(grid, "final", inputs=dataclasses.replace(INPUTS, channels=("value",)))
    lacking = dataclasses.replace(
        grid,
        values=grid.values[:, :, [0, 2]],
        counts=grid.counts[:, :, [0, 2]],
        variables=(grid.variables[0], grid.variables[2]),
        statics=np.zeros((40, 0), np.float32),
        static_names=(),
    )
    assert missing_names(lacking, checkpoint) == (grid.variables[1].name, "age_years")
    aligned = align_grid(lacking, checkpoint)
    assert not aligned.counts[:, :, 1].any()
    values, statics = grid.values.copy(), np.full_like(grid.statics, checkpoint.scaler.static_median[0])
    inside = np.arange(N_HOURS) < grid.lengths[:, None]
    values[:, :, 1] = np.where(inside, checkpoint.scaler.median[1], np.nan)
    by_hand = dataclasses.replace(grid, values=values, statics=statics)
    rows = np.arange(40)
    np.testing.assert_array_equal(risks(checkpoint, aligned, rows, "cpu"), risks(checkpoint, by_hand, rows, "cpu"))


def test_a_variable_that_nobody_has_charted_is_missing() -> None:
    grid = make_grid(20)
    checkpoint = make_checkpoint(grid, "final", inputs=INPUTS)
    counts = grid.counts.copy()
    counts[:, :, 1] = 0
    assert missing_names(dataclasses.replace(grid, counts=counts), checkpoint) == (grid.variables[1].name,)


def test_what_cannot_be_aligned_is_refused() -> None:
    grid = make_grid(20)
    checkpoint = make_checkpoint(grid, "final")
    with pytest.raises(StageError, match=r"hold 5 hours a stay; the checkpoint expects 6"):
        align_grid(dataclasses.replace(grid, values=grid.values[:, :5]), checkpoint)
    first = grid.variables[0]
    other = (dataclasses.replace(first, unit="mg/dL"), *grid.variables[1:])
    with pytest.raises(StageError, match=rf"{first.name} in 'mg/dL'; the checkpoint expects it in '{first.unit}'"):
        align_grid(dataclasses.replace(grid, variables=other), checkpoint)
    strange = tuple(dataclasses.replace(variable, name=f"my_{variable.name}") for variable in grid.variables)
    with pytest.raises(StageError, match="none in common"):
        align_grid(dataclasses.replace(grid, variables=strange), checkpoint)


def test_each_patient_belongs_to_the_member_that_left_their_fold_out() -> None:
    """Patient 10 was in fold 0, 11 in fold 1; 12 was held out and 99 is new: neither is any fold's."""
    elsewhere = five_stays((11, 10, 10, 12, 99), folds=np.array([0, 1, 1, 0, 1], np.int8))
    found = rows_by_fold(elsewhere, five_stays())
    assert {str(member): rows.tolist() for member, rows in found.items()} == {"fold-0": [1, 2], "fold-1": [0]}
    strangers = rows_by_fold(dataclasses.replace(elsewhere, population="ward b"), five_stays())
    assert [len(rows) for rows in strangers.values()] == [0, 0]


def test_a_patient_of_two_folds_is_scored_by_neither() -> None:
    straddling = five_stays((10, 11, 11, 12, 13), folds=np.array([0, 0, 1, -1, -1], np.int8))
    assert {str(member): rows.tolist() for member, rows in rows_by_fold(straddling, straddling).items()} == {
        "fold-0": [0],
        "fold-1": [],
    }


def test_the_very_same_data_set_needs_no_population_and_any_other_does() -> None:
    grid = five_stays(population="")
    assert unmet_rows(grid, grid, FINAL).tolist() == [3, 4]
    require_populations(grid, grid)
    for theirs, ours, whose in (
        ("", "ward a", "the data"), ("ward a", "", "the data of the training"), ("", "", "the data"),
    ):  # fmt: skip
        with pytest.raises(StageError, match=f"population of {whose} is unknown"):
            require_populations(five_stays(population=theirs), five_stays(population=ours))
    require_populations(five_stays(population="ward b"), five_stays())


def test_populations_that_share_patients_under_other_ids_are_known() -> None:
    challenge, hospital = five_stays(population="physionet-2012"), five_stays(population="mimic-iii")
    assert shared_under_other_ids(challenge, hospital)
    assert shared_under_other_ids(hospital, challenge)
    assert shared_under_other_ids(hospital, five_stays(population="mimic-iv"))
    assert not shared_under_other_ids(hospital, hospital)
    assert not shared_under_other_ids(hospital, five_stays())


@pytest.mark.parametrize("fold", [-1, 0])
def test_nothing_of_a_patient_who_is_unmet_reaches_the_member(fold: int, tmp_path: Path) -> None:
    """Teacher, validation, calibration, threshold and second fit included: other stays of theirs change no byte."""
    grid = make_grid(160, n_folds=3)
    member = Member.of_fold(fold)
    unmet = ~np.isin(grid.patient_ids, met_patients(grid, member))
    other = dataclasses.replace(
        grid,
        values=np.where(unmet[:, None, None], grid.values * 3 + 50, grid.values).astype(np.float32),
        statics=np.where(unmet[:, None], np.float32(1), grid.statics),
        labels=np.where(unmet, 1 - grid.labels, grid.labels).astype(np.int8),
    )
    before, after = (_fitted(each, fold, tmp_path / name) for each, name in ((grid, "before"), (other, "after")))
    assert before.threshold == after.threshold
    assert before.curve is not None
    assert before.curve.tobytes() == after.curve.tobytes()
    assert {name: array.tobytes() for name, array in before.weights.items()} == {
        name: array.tobytes() for name, array in after.weights.items()
    }
    for name in ("lower", "upper", "median", "offset", "scale", "static_median", "static_offset", "static_scale"):
        assert getattr(before.scaler, name).tobytes() == getattr(after.scaler, name).tobytes()


def _fitted(grid: GridDataset, fold: int, scratch: Path) -> Checkpoint:
    scratch.mkdir()
    training = TrainingOptions(
        max_epochs=2, teacher="logistic_regression", calibration="isotonic", fit_again=True, ema_decay=0.0
    )
    plan = Plan(
        grid=grid, inputs=INPUTS, model=LstmOptions(hidden_size=4, fc_size=4), training=training, seed=3, device="cpu",
        scratch=scratch,
    )  # fmt: skip
    checkpoint = run_member(plan, MemberJob(fold=fold), ignore_ticks).checkpoint
    assert checkpoint is not None
    return checkpoint


def test_values_that_lie_elsewhere_are_named() -> None:
    """Of four variables one is in another unit, one is a little higher, one is new and one has too few values."""
    home = make_grid(60, n_hours=N_HOURS, n_variables=4)
    values = home.values.copy()
    values[..., 0] *= 0.0113  # as creatinine in mg/dL is of that in umol/L, around a median that is not 0
    values[..., 1] += 0.2
    values[..., 3] = np.where(np.arange(60)[:, None] < 3, values[..., 3] + 99, np.nan)
    home = dataclasses.replace(home, values=np.where(np.arange(4) == 0, home.values + 90, home.values))
    values[..., 0] += np.float32(90 * 0.0113)
    names = ("heartrate", "ph", "other", "lactate")
    variables = tuple(
        dataclasses.replace(variable, name=name) for variable, name in zip(home.variables, names, strict=True)
    )
    away = dataclasses.replace(home, values=values.astype(np.float32), variables=variables)
    there = (*variables[:2], dataclasses.replace(variables[2], name="another"), variables[3])
    home = dataclasses.replace(home, values=home.values.astype(np.float32), variables=there)
    [told] = shifted_names(away, home)
    assert told.startswith("heartrate (median 1.0")
    assert shifted_names(home, home) == []
    back = dataclasses.replace(away, variables=(there[2], *variables[1:3], variables[0]))
    assert shifted_names(back, home) == [], "variables are matched by name, not by place"


def test_a_median_at_the_edge_of_the_training_is_no_other_place() -> None:
    home = make_grid(60, n_hours=N_HOURS, n_variables=1)
    home = dataclasses.replace(home, values=np.full_like(home.values, 80.0))
    assert shifted_names(home, home) == []
    higher = dataclasses.replace(home, values=home.values + 1)
    assert shifted_names(higher, home) == [f"{home.variables[0].name} (median 81; 80 to 80 in training)"]


def test_a_median_is_of_stays_at_equal_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icudl.training.external.STAYS_FOR_A_MEDIAN", 30)
    home = make_grid(90, n_hours=N_HOURS, n_variables=1)
    home = dataclasses.replace(home, values=np.full_like(home.values, 80.0))
    # Every third stay is as in the training, the others are not.
    values = home.values.copy()
    values[np.arange(90) % 3 > 0] = 500.0
    assert shifted_names(dataclasses.replace(home, values=values), home) == []
