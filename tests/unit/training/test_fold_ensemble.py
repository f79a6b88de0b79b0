"""The final member made of the folds' models, and isotonic calibration: predicted and attacked like any other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from icudl.artifacts import Checkpoint
from icudl.attacks.options import ProximalOptions
from icudl.attacks.run.runner import run_attack
from icudl.errors import ConfigError
from icudl.execution.context import RunContext
from icudl.models.options import LstmOptions
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on, prepare_inputs
from icudl.stages.train import train
from icudl.training.data import stays_of
from icudl.training.external import unmet_rows
from icudl.training.fold_ensemble import rescaling, spanning_scaler
from icudl.training.options import TrainingOptions
from icudl.training.scores.risk_curve import risks_at
from icudl.training.scores.scoring import differences, predictions, risks
from training_grids import make_grid

MODEL = LstmOptions(hidden_size=4, fc_size=4)
FOLDS = TrainingOptions(max_epochs=3, bootstrap_samples=10, learning_rate=0.03, baselines=False, final="folds")
INPUTS = [
    InputOptions(),
    InputOptions(scaling="standard", channels=("value", "observed", "hours_since"), statics=("age_years",)),
    InputOptions(imputation="forward", statics=("age_years",)),
]


@pytest.fixture(scope="module")
def grid():
    return make_grid()


def _train(grid, context: RunContext, inputs=INPUTS[0], training=FOLDS, model=MODEL):
    return train(grid, inputs, model, training, context)


@pytest.mark.parametrize("inputs", INPUTS)
def test_charted_cells_reach_each_network_exactly_as_it_was_fitted_on_them(grid, inputs):
    scalers = [fit_scaler_on(grid, ~grid.is_test & (grid.folds != fold), inputs) for fold in range(3)]
    common = spanning_scaler(scalers, 99)
    assert not np.array_equal(scalers[0].lower, scalers[1].lower)
    everyone = np.arange(len(grid.labels))
    shared = stays_of(grid, everyone, common, inputs).features.numpy()
    charted = ~np.isnan(grid.values)
    n_variables = grid.values.shape[2]
    for own in scalers:
        line = rescaling(common, own, inputs)
        moved = np.clip(shared * line["gain"] + line["bias"], line["low"], line["high"])
        alone = stays_of(grid, everyone, own, inputs).features.numpy()
        within = np.arange(grid.values.shape[1]) < grid.lengths[:, None]
        values = np.abs(moved - alone)[..., :n_variables]
        assert values[charted].max() < 1e-5
        # Every other column is exact; imputed values lie apart by less than the limits of the folds do.
        assert np.abs(moved - alone)[..., n_variables:][within].max(initial=0) < 1e-5
        assert values[within].max() < 0.5
        assert np.median(values[within]) < 1e-5


def test_the_final_member_is_the_mean_of_the_folds_and_scores_the_test_stays(grid, context):
    result = _train(grid, context)
    final = result.checkpoints["final"]
    assert (final.folds, set(result.checkpoints)) == (3, {"final", "fold-0", "fold-1", "fold-2"})
    assert set(result.history["member"]) == {"fold-0", "fold-1", "fold-2"}
    test = np.flatnonzero(grid.is_test)
    apart = np.mean([differences(result.checkpoints[f"fold-{k}"], grid, test, "cpu") for k in range(3)], axis=0)
    assert np.abs(differences(final, grid, test, "cpu") - apart).max() < 0.05
    part = result.predictions.filter(split="test")
    assert sorted(part["stay_id"].to_list()) == sorted(grid.stay_ids[grid.is_test].tolist())
    assert unmet_rows(grid, grid, final.member).tolist() == test.tolist()
    assert predictions(final, grid, test, "cpu", "test").sort("stay_id")["probability"].to_list() == (
        part.sort("stay_id")["probability"].to_list()
    )


def test_out_of_fold_predictions_are_those_of_single_folds(grid, context, tmp_path):
    other = tmp_path / "refit"
    other.mkdir()
    refit = _train(
        grid, dataclasses.replace(context, scratch=other), training=dataclasses.replace(FOLDS, final="refit")
    )
    folds = _train(grid, context)
    assert folds.predictions.filter(split="out-of-fold").equals(refit.predictions.filter(split="out-of-fold"))
    assert not folds.predictions.filter(split="test").equals(refit.predictions.filter(split="test"))


@pytest.mark.parametrize("calibration", ["platt", "isotonic"])
def test_test_stays_change_neither_weights_nor_threshold_nor_curve(grid, context, tmp_path, calibration):
    training = dataclasses.replace(FOLDS, calibration=calibration)
    labels, values = grid.labels.copy(), grid.values.copy()
    labels[grid.is_test] = 1 - labels[grid.is_test]
    values[grid.is_test] = values[grid.is_test] * 3 + 50
    scratch = tmp_path / "other"
    scratch.mkdir()
    before = _train(grid, context, training=training).checkpoints["final"]
    changed = dataclasses.replace(grid, labels=labels, values=values)
    after = _train(changed, dataclasses.replace(context, scratch=scratch), training=training).checkpoints["final"]
    assert before.threshold == after.threshold
    assert {key: value.tobytes() for key, value in before.weights.items()} == {
        key: value.tobytes() for key, value in after.weights.items()
    }
    if calibration == "isotonic":
        assert before.curve.tolist() == after.curve.tolist()


def test_an_ensemble_of_folds_of_seeds_survives_its_files(grid, context, tmp_path):
    training = dataclasses.replace(FOLDS, calibration="isotonic", max_epochs=1)
    model = dataclasses.replace(MODEL, ensemble_size=2)
    final = _train(grid, context, INPUTS[1], training, model).checkpoints["final"]
    final.write(tmp_path)
    again = Checkpoint.read_member(tmp_path, "final")
    test = np.flatnonzero(grid.is_test)
    assert (risks(again, grid, test, "cpu") == risks(final, grid, test, "cpu")).all()
    assert len([name for name in final.weights if name.endswith("head.out.bias")]) == 6


@pytest.mark.parametrize("final", ["refit", "folds"])
def test_isotonic_risks_are_those_of_the_curve_and_decide_as_the_logits_do(grid, context, final):
    training = dataclasses.replace(FOLDS, calibration="isotonic", final=final)
    result = _train(grid, context, training=training)
    for member, rows in (("fold-1", np.flatnonzero(grid.folds == 1)), ("final", np.flatnonzero(grid.is_test))):
        checkpoint = result.checkpoints[member]
        expected = risks_at(checkpoint.curve, differences(checkpoint, grid, rows, "cpu"))
        part = result.predictions.filter(member=member).sort("stay_id")
        order = np.argsort(grid.stay_ids[rows])
        assert part["probability"].to_numpy() == pytest.approx(expected[order])


@pytest.mark.parametrize(
    ("final", "calibration"),
    [
        pytest.param("refit", "isotonic", marks=pytest.mark.slow),
        pytest.param("folds", "platt", marks=pytest.mark.exhaustive),
        pytest.param("folds", "isotonic", marks=pytest.mark.slow),
    ],
)
def test_the_attack_flips_the_calibrated_decision(context, tmp_path, final, calibration):
    grid = make_grid(80, ragged=False, signal=2.0)
    training = dataclasses.replace(FOLDS, final=final, calibration=calibration, max_epochs=6)
    result = _train(grid, context, training=training)
    rows = np.arange(len(grid.labels))
    attack = run_attack(result.checkpoints, grid, rows, ProximalOptions(iterations=60), context)
    thresholds = {member: checkpoint.threshold for member, checkpoint in result.checkpoints.items()}
    predicted = dict(result.predictions.select("stay_id", "probability").iter_rows())
    flipped = attack.stays.filter(status="success")
    assert {"final", "fold-0"} <= set(flipped["member"])
    for stay in attack.stays.iter_rows(named=True):
        assert stay["probability_before"] == pytest.approx(predicted[stay["stay_id"]], abs=2e-5)
    for stay in flipped.iter_rows(named=True):
        threshold = thresholds[stay["member"]]
        assert (stay["best_probability"] >= threshold) != (stay["probability_before"] >= threshold)


def test_the_ensemble_is_differentiable_through_every_network(grid, context):
    from icudl.models.build import load_model

    final = _train(grid, context).checkpoints["final"]
    model = load_model(final, "cpu")
    inputs = InputOptions.from_dict(final.inputs)
    rows = np.flatnonzero(grid.is_test)
    prepared = prepare_inputs(final.scaler, inputs, grid.values[rows], grid.lengths[rows], np.zeros((len(rows), 0)))
    features = torch.from_numpy(prepared.unit).clamp(0.2, 0.8).requires_grad_()
    model(features, torch.from_numpy(grid.lengths[rows].astype(np.int64)))[:, 1].sum().backward()
    assert (features.grad[:, 0].abs() > 0).any()


def test_an_estimator_without_folds_says_so():
    from icudl.interop.sklearn import _fitted

    with pytest.raises(ConfigError, match=r"training\.final = 'folds'"):
        _fitted(None, {"training": FOLDS}, 0, "cpu")
