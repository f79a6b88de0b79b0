"""Threshold, calibration, teacher: what is chosen after the fit, and from which stays.

Each case computes the choice once from the stays that it must come from and once from those that it must not come
from, makes sure that the two differ, and compares.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from icudl.artifacts import Member
from icudl.execution.context import seed_for
from icudl.models.baselines import fit_baseline
from icudl.models.charted.window import summarise
from icudl.models.options import LstmOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.stages.train import train
from icudl.training import teacher
from icudl.training.data import stays_of
from icudl.training.loop import logits_of
from icudl.training.members import MemberJob, Plan, divide, run_member, train_model
from icudl.training.options import TrainingOptions
from icudl.training.scores.calibration import calibrated_risks
from icudl.training.scores.metrics import choose_threshold
from icudl.training.scores.risk_curve import fit_curve, risks_at
from icudl.training.scores.scoring import differences
from training_grids import make_grid

PLAIN = TrainingOptions(max_epochs=4, learning_rate=0.03, bootstrap_samples=10, baselines=False)
MODEL = LstmOptions(hidden_size=4, fc_size=4)
JOB = MemberJob(fold=1)


def plan_of(folder: Path, training: TrainingOptions = PLAIN, **grid: float) -> Plan:
    return Plan(
        grid=make_grid(240, **grid),  # type: ignore[arg-type]
        inputs=InputOptions(),
        model=MODEL,
        training=training,
        seed=3,
        device="cpu",
        scratch=folder,
    )


@pytest.mark.parametrize("calibration", ["none", "platt", "isotonic"])
def test_curve_and_threshold_come_from_the_validation_stays(calibration: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, dataclasses.replace(PLAIN, calibration=calibration))
    finished = run_member(plan, JOB, lambda _: None)
    checkpoint, division = finished.checkpoint, divide(plan.grid, JOB.fold, PLAIN.validation_fraction, plan.seed)
    assert checkpoint is not None
    chosen = {}
    for name, rows in (("valid", division.valid), ("fit", division.fit)):
        labels, logits = plan.grid.labels[rows], differences(checkpoint, plan.grid, rows, "cpu")
        curve = fit_curve(labels, logits) if calibration == "isotonic" else None
        risks = 1 / (1 + np.exp(-logits)) if curve is None else risks_at(curve, logits)
        chosen[name] = (choose_threshold(labels, risks, plan.training.threshold), curve)
    assert abs(chosen["valid"][0] - chosen["fit"][0]) > 1e-4
    assert finished.threshold == checkpoint.threshold == pytest.approx(chosen["valid"][0], abs=1e-5)
    if calibration == "isotonic":
        assert checkpoint.curve is not None
        assert checkpoint.curve.shape == chosen["valid"][1].shape  # type: ignore[union-attr]
        np.testing.assert_allclose(checkpoint.curve, chosen["valid"][1], atol=1e-5)


@pytest.mark.parametrize("calibration", ["platt", "isotonic"])
def test_a_fold_ensemble_chooses_by_stays_that_the_deciding_model_has_not_met(calibration, context) -> None:
    grid = make_grid(240)
    options = dataclasses.replace(PLAIN, final="folds", calibration=calibration)
    result = train(grid, InputOptions(), MODEL, options, context)
    final = result.checkpoints["final"]
    rows = {"unseen": [], "seen": []}
    for fold in range(3):
        checkpoint = result.checkpoints[f"fold-{fold}"]
        for name, own in (("unseen", grid.folds == fold), ("seen", (grid.folds != fold) & ~grid.is_test)):
            chosen = np.flatnonzero(own)
            rows[name].append((grid.labels[chosen], differences(checkpoint, grid, chosen, "cpu")))
    thresholds = {}
    for name, parts in rows.items():
        labels, logits = (np.concatenate(each) for each in zip(*parts, strict=True))
        curve = fit_curve(labels, logits) if calibration == "isotonic" else None
        risks = 1 / (1 + np.exp(-logits)) if curve is None else risks_at(curve, logits)
        thresholds[name] = choose_threshold(labels, risks, options.threshold)
    assert abs(thresholds["seen"] - thresholds["unseen"]) > 1e-4
    assert final.threshold == pytest.approx(thresholds["unseen"], abs=1e-9)


def test_the_baseline_of_a_member_chooses_its_threshold_by_validation_stays(tmp_path: Path) -> None:
    """Trees know the stays they were fitted on by heart: a threshold from those would lie elsewhere."""
    plan = plan_of(tmp_path, signal=0.5)
    grid, division = plan.grid, divide(plan.grid, JOB.fold, PLAIN.validation_fraction, plan.seed)
    finished = run_member(plan, MemberJob(fold=1, baseline="boosted_trees"), lambda _: None)
    none = np.zeros((len(grid.labels), 0), np.float32)
    summaries = summarise(grid.values, grid.lengths, none)
    seed = seed_for(plan.seed, "boosted_trees", JOB.fold)
    model = fit_baseline("boosted_trees", summaries[division.fit], grid.labels[division.fit], seed)
    by_stays = {
        name: choose_threshold(grid.labels[rows], model.predict_proba(summaries[rows])[:, 1], plan.training.threshold)
        for name, rows in (("valid", division.valid), ("fit", division.fit))
    }
    assert abs(by_stays["valid"] - by_stays["fit"]) > 1e-3
    assert finished.threshold == pytest.approx(by_stays["valid"], abs=1e-12)
    np.testing.assert_allclose(finished.probabilities, model.predict_proba(summaries[division.scored])[:, 1])


def test_a_baseline_learns_from_the_stays_of_the_network_beside_it(tmp_path: Path) -> None:
    """With ``training.fit_again`` both learn from training and validation stays; the threshold stays where it was."""
    plan = plan_of(tmp_path)
    grid, division = plan.grid, divide(plan.grid, JOB.fold, PLAIN.validation_fraction, plan.seed)
    job = MemberJob(fold=1, baseline="logistic_regression")
    once = run_member(plan, job, lambda _: None)
    other = tmp_path / "again"
    other.mkdir()
    options = dataclasses.replace(PLAIN, fit_again=True)
    again = run_member(dataclasses.replace(plan, training=options, scratch=other), job, lambda _: None)
    summaries = summarise(grid.values, grid.lengths, np.zeros((len(grid.labels), 0), np.float32))
    every = np.sort(np.concatenate([division.fit, division.valid]))
    seed = seed_for(plan.seed, "logistic_regression", JOB.fold)
    for rows, finished in ((division.fit, once), (every, again)):
        model = fit_baseline("logistic_regression", summaries[rows], grid.labels[rows], seed)
        np.testing.assert_array_equal(finished.probabilities, model.predict_proba(summaries[division.scored])[:, 1])
    assert again.threshold == once.threshold
    assert not np.array_equal(once.probabilities, again.probabilities)


def test_a_teacher_never_sees_a_label_of_a_validation_stay(tmp_path: Path) -> None:
    """Without calibration and with a single epoch, validation stays have no say in the weights at all."""
    options = dataclasses.replace(
        PLAIN, max_epochs=1, calibration="none", teacher="logistic_regression", teacher_share=0.8
    )
    plan = plan_of(tmp_path, options)
    division = divide(plan.grid, JOB.fold, options.validation_fraction, plan.seed)
    labels, values = plan.grid.labels.copy(), plan.grid.values.copy()
    labels[division.valid] = 1 - labels[division.valid]
    values[division.valid] *= 3
    changed = dataclasses.replace(plan, grid=dataclasses.replace(plan.grid, labels=labels, values=values))
    weights = [
        train_model(each, division, JOB, snapshot=tmp_path / f"{name}.epochs").model.state_dict()
        for name, each in (("before", plan), ("after", changed))
    ]
    assert {key: value.numpy().tobytes() for key, value in weights[0].items()} == {
        key: value.numpy().tobytes() for key, value in weights[1].items()
    }


def test_no_patient_is_on_both_sides_of_a_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every patient has two stays. A teacher that was fitted on one of them knows the outcome of the other."""
    grid = make_grid(200)
    rows = np.flatnonzero(~grid.is_test)
    summaries = teacher.summarise(grid.values[rows], grid.lengths[rows], np.zeros((len(rows), 0), np.float32))
    where = {summary.tobytes(): row for summary, row in zip(summaries, rows, strict=True)}
    assert len(where) == len(rows), "a stay has to be known by its summaries"
    parts: list[tuple[set[int], set[int]]] = []
    real = teacher.fit_baseline

    class Watched:
        def __init__(self, fitted: np.ndarray, model) -> None:
            self.fitted, self.model = fitted, model

        def predict_proba(self, asked: np.ndarray) -> np.ndarray:
            parts.append((patients(self.fitted), patients(asked)))
            return self.model.predict_proba(asked)

    def patients(of: np.ndarray) -> set[int]:
        return {int(grid.patient_ids[where[summary.tobytes()]]) for summary in of}

    def watched(name: str, fitted: np.ndarray, labels: np.ndarray, seed: int) -> Watched:
        return Watched(fitted, real(name, fitted, labels, seed))

    monkeypatch.setattr(teacher, "fit_baseline", watched)
    options = TrainingOptions(teacher="logistic_regression", teacher_share=0.5)
    teacher.soft_targets(grid, rows, InputOptions(), options, seed=1)
    assert len(parts) == teacher.FOLDS
    assert not any(fitted & asked for fitted, asked in parts)
    assert all(len(fitted) > 3 * len(asked) for fitted, asked in parts)
    assert set().union(*(asked for _, asked in parts)) == set(grid.patient_ids[rows].tolist())


def test_the_member_of_a_fold_meets_no_patient_of_its_fold() -> None:
    grid = make_grid(240)
    for fold in (-1, 0, 1, 2):
        division = divide(grid, fold, 0.2, seed=3)
        parts = [set(grid.patient_ids[rows].tolist()) for rows in (division.fit, division.valid, division.scored)]
        assert not parts[0] & parts[1]
        assert not (parts[0] | parts[1]) & parts[2]
        assert Member.of_fold(fold).fold == (fold if fold >= 0 else None)


def test_calibrated_risks_are_those_that_the_threshold_was_chosen_by(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, dataclasses.replace(PLAIN, calibration="isotonic"))
    division = divide(plan.grid, JOB.fold, PLAIN.validation_fraction, plan.seed)
    trained = train_model(plan, division, JOB, snapshot=tmp_path / "state.epochs")
    valid = stays_of(plan.grid, division.valid, trained.scaler, plan.inputs)
    risks = calibrated_risks(logits_of(trained.model, valid), trained.curve)
    assert trained.threshold == choose_threshold(plan.grid.labels[division.valid], risks, plan.training.threshold)
