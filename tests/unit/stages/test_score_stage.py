"""The score stage: an external data set through the final member, and nobody whom the training has met."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from icudl.artifacts import FINAL, METRICS_SCHEMA, Scores, check_schema
from icudl.errors import StageError
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.models.options import LstmOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.stages.score import score
from icudl.stages.train import train
from icudl.training.external import met_patients
from icudl.training.options import TrainingOptions
from icudl.training.scores.scoring import risks
from training_grids import make_grid

TRAINING = TrainingOptions(max_epochs=2, baselines=False, bootstrap_samples=20)
HOME = make_grid(80)


def external(seed: int = 9, **changes):
    """A data set of other patients, without folds."""
    grid = make_grid(50, seed=seed)
    split = {"is_test": np.ones(50, bool), "folds": np.full(50, -1, np.int8)}
    return dataclasses.replace(grid, **split, **{"population": "elsewhere"} | changes)


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    model, inputs = LstmOptions(hidden_size=4, fc_size=4), InputOptions(statics=("age_years",))
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=7)
    return train(HOME, inputs, model, TRAINING, context)


def test_every_stay_of_other_patients_is_scored_by_the_final_member(training, context):
    grid = external()
    scores = score(grid, HOME, training, TRAINING, context)
    final = training.checkpoints["final"]
    assert scores.predictions["stay_id"].to_list() == sorted(grid.stay_ids)
    expected = {"model": "lstm", "member": "final", "split": "external", "fold": -1, "threshold": final.threshold}
    for column, value in expected.items():
        assert scores.predictions[column].unique().to_list() == [value]
    found = dict(scores.predictions.select("stay_id", "probability").iter_rows())
    rows = np.arange(len(grid.labels))
    np.testing.assert_array_equal([found[stay] for stay in grid.stay_ids], risks(final, grid, rows, "cpu"))
    assert (scores.left_out, scores.missing, scores.unused) == (0, (), ())


def test_the_metrics_are_those_that_the_test_stays_have(training, context):
    """The test stays, given once more as data of another hospital, score the same by the same subgroups."""
    again = dataclasses.replace(HOME, population="elsewhere")
    held_out = np.flatnonzero(HOME.is_test)
    arrays = {name: getattr(again, name)[held_out] for name in ("values", "counts", "lengths", "labels", "statics")}
    split = {"is_test": again.is_test[held_out], "folds": again.folds[held_out], "stays": again.stays[held_out]}
    scores = score(dataclasses.replace(again, **arrays, **split), HOME, training, TRAINING, context)
    check_schema("metrics", scores.metrics, METRICS_SCHEMA)
    columns = ["subgroup", "metric", "value", "stays", "deaths"]
    here = scores.metrics.filter(split="external").select(columns).sort("subgroup", "metric")
    there = training.metrics.filter(split="test", model="lstm").select(columns).sort("subgroup", "metric")
    assert here.equals(there)
    assert scores.metrics["low"].is_not_null().any()


def test_patients_whom_the_training_has_met_are_left_out_whatever_the_split(training, context):
    """The training's own data come back as external data: its test patients alone may be scored."""
    again = dataclasses.replace(
        HOME, is_test=np.ones_like(HOME.is_test), folds=np.full_like(HOME.folds, -1), values=HOME.values * 1.1
    )
    scores = score(again, HOME, training, TRAINING, context)
    scored = HOME.stays.filter(pl.col("stay_id").is_in(scores.predictions["stay_id"].to_list()))
    assert scored["stay_id"].to_list() == HOME.stay_ids[HOME.is_test].tolist()
    assert not np.isin(scored["patient_id"].to_numpy(), met_patients(HOME, FINAL)).any()
    assert scores.left_out == int((~HOME.is_test).sum())
    assert scores.metrics.filter(subgroup="all", metric="auroc")["stays"].to_list() == [len(scored)]


def test_data_of_met_patients_alone_are_refused(training, context):
    fitted = dataclasses.replace(HOME, stays=HOME.stays.with_columns(patient_id=pl.lit(met_patients(HOME, FINAL)[0])))
    with pytest.raises(StageError, match=r"has met the patients of all 80 stays.*'synthetic'"):
        score(fitted, HOME, training, TRAINING, context)


def test_other_variables_are_named_in_the_result_and_survive_its_files(training, context, tmp_path):
    grid = external()
    renamed = (dataclasses.replace(grid.variables[0], name="my_own"), *grid.variables[1:])
    scores = score(dataclasses.replace(grid, variables=renamed), HOME, training, TRAINING, context)
    assert (scores.missing, scores.unused) == ((grid.variables[0].name,), ("my_own",))
    scores.write(tmp_path)
    again = Scores.read(tmp_path)
    assert again.predictions.equals(scores.predictions)
    assert again.metrics.equals(scores.metrics)
    for name in ("left_out", "missing", "unused", "warnings"):
        assert getattr(again, name) == getattr(scores, name)
    missing, unused = again.warnings
    assert grid.variables[0].name in missing
    assert "does not read my_own" in unused


def test_populations_that_share_patients_are_a_warning(training, context):
    home = dataclasses.replace(HOME, population="mimic-iii")
    there = dataclasses.replace(external(), population="physionet-2012")
    assert any("patients in common" in text for text in score(there, home, training, TRAINING, context).warnings)
    assert not score(external(), home, training, TRAINING, context).warnings


def test_another_window_is_refused(training, context):
    grid = external()
    with pytest.raises(StageError, match="hold 4 hours a stay; the checkpoint expects 6"):
        score(dataclasses.replace(grid, values=grid.values[:, :4]), HOME, training, TRAINING, context)
