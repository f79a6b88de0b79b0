"""A model from outside in the stages: nothing is fitted, and no stay of a patient whom it has met is scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import outside_cases as cases
from icudl.artifacts import FINAL, TrainingResult
from icudl.attacks.options import ExactValueOptions, GreedyOptions
from icudl.errors import StageError
from icudl.models.outside.options import OutsideOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.stages.attack import attack
from icudl.stages.train import train
from icudl.training.external import unmet_rows
from icudl.training.options import TrainingOptions

GRID = cases.clinical_grid()
TRAINING = TrainingOptions(bootstrap_samples=20)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(cases.xgboost_file(tmp_path, cases.stays_of(GRID), GRID.labels)[0])


def trained(context, **declared) -> TrainingResult:
    return train(GRID, InputOptions(), OutsideOptions(**declared), TRAINING, context)


def test_one_that_has_met_nobody_scores_all_stays_with_the_risks_of_its_file(context, file: str, tmp_path) -> None:
    result = trained(context, file=file, trained_on="elsewhere")
    assert sorted(result.checkpoints) == ["final", "fold-0", "fold-1", "fold-2"]
    assert set(result.predictions["model"]) == {"outside"}  # no baselines, which would have to be fitted
    rows = np.searchsorted(GRID.stay_ids, result.predictions["stay_id"].to_numpy())
    assert sorted(rows) == list(range(len(GRID.labels)))
    theirs = cases.xgboost_file(tmp_path, cases.stays_of(GRID), GRID.labels)[1]
    np.testing.assert_allclose(result.predictions["probability"].to_numpy(), theirs[rows], rtol=1e-5, atol=1e-6)


def test_calibration_is_fitted_where_it_is_asked_for(context, file: str) -> None:
    result = trained(context, file=file, trained_on="elsewhere", recalibrate=True)
    assert not np.array_equal(result.checkpoints["final"].weights["line"], [1.0, 0.0])


def test_one_that_was_trained_on_the_training_stays_scores_and_is_attacked_on_test_stays_only(
    context, file: str
) -> None:
    result = trained(context, file=file, trained_on="training_stays", threshold=0.3)
    test = GRID.stay_ids[GRID.is_test]
    assert list(result.checkpoints) == ["final"]
    assert result.checkpoints["final"].threshold == 0.3
    np.testing.assert_array_equal(np.sort(result.predictions["stay_id"].to_numpy()), test)
    options = ExactValueOptions(threat_model="measured")
    np.testing.assert_array_equal(np.sort(attack(GRID, result, options, context).stays["stay_id"].to_numpy()), test)


@pytest.mark.parametrize("column", ["stay_id", "patient_id"])
def test_the_patients_of_listed_stays_are_left_out_everywhere(column: str, context, file: str, tmp_path) -> None:
    ids = GRID.stay_ids if column == "stay_id" else GRID.patient_ids
    (tmp_path / "met.csv").write_text("\n".join([column, *map(str, ids[::9]), "999999"]))
    met = np.isin(GRID.patient_ids, GRID.patient_ids[::9])  # both stays of a patient
    result = trained(context, file=file, trained_on="listed", trained_stays=str(tmp_path / "met.csv"))
    np.testing.assert_array_equal(np.sort(result.predictions["stay_id"].to_numpy()), GRID.stay_ids[~met])
    options = GreedyOptions(threat_model="measured", max_stays=40)
    attacked = attack(GRID, result, options, context).stays["stay_id"].to_numpy()
    assert not np.isin(attacked, GRID.stay_ids[met]).any()
    rows = unmet_rows(GRID, GRID, FINAL, result.checkpoints["final"])
    np.testing.assert_array_equal(rows, np.flatnonzero(GRID.is_test & ~met))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("subject\n1\n", "Expected whole numbers in a column stay_id or patient_id"),
        ("stay_id\nA1\n", "Expected whole numbers"),
        ("stay_id\n5\n", "None of the 1 numbers"),
        ("", "cannot be read as CSV"),
    ],
)
def test_a_list_that_tells_nothing_is_refused(text: str, words: str, context, file: str, tmp_path) -> None:
    (tmp_path / "met.csv").write_text(text)
    with pytest.raises(StageError, match=words):
        trained(context, file=file, trained_on="listed", trained_stays=str(tmp_path / "met.csv"))


def test_without_validation_stays_a_threshold_has_to_be_given(context, file: str, tmp_path) -> None:
    listed = GRID.stay_ids[~GRID.is_test]
    (tmp_path / "met.csv").write_text("\n".join(["stay_id", *map(str, listed)]))
    declared = {"file": file, "trained_on": "listed", "trained_stays": str(tmp_path / "met.csv")}
    with pytest.raises(StageError, match="nothing can choose its threshold"):
        trained(context, **declared)
    result = trained(context, threshold=0.4, **declared)
    assert set(result.predictions["split"]) == {"test"}
