"""``training.fit_again``: what the validation stays chose stays, and the weights come from them as well."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from icudl.models.options import BoostedTreesOptions, LstmOptions
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on
from icudl.training import members
from icudl.training.data import stays_of
from icudl.training.loop import fit
from icudl.training.members import MemberJob, Plan, divide, run_member
from icudl.training.options import TrainingOptions
from icudl.training.snapshot import Snapshot
from training_grids import make_grid

INPUTS = InputOptions()
PLAIN = TrainingOptions(max_epochs=5, patience=2, learning_rate=0.02, bootstrap_samples=20)
AGAIN = dataclasses.replace(PLAIN, fit_again=True)
JOB = MemberJob(fold=1)


def _plan(scratch: Path, training: TrainingOptions = AGAIN, ensemble: int = 1) -> Plan:
    scratch.mkdir(exist_ok=True)
    model = LstmOptions(hidden_size=4, fc_size=4, ensemble_size=ensemble)
    return Plan(grid=make_grid(), inputs=INPUTS, model=model, training=training, seed=3, device="cpu", scratch=scratch)


def _run(plan: Plan, ticks: list[int] | None = None):
    return run_member(plan, JOB, [].append if ticks is None else ticks.append)


def _bytes(finished) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in finished.checkpoint.weights.items()}


def test_epochs_and_threshold_are_those_of_the_first_fit(tmp_path):
    once, again = _run(_plan(tmp_path / "once", PLAIN)), _run(_plan(tmp_path / "again"))
    assert again.threshold == once.threshold
    assert again.checkpoint.threshold == once.threshold
    assert again.histories == once.histories
    assert _bytes(again) != _bytes(once)


def test_the_weights_come_from_training_and_validation_stays(tmp_path):
    training = dataclasses.replace(AGAIN, calibration="none")
    plan = _plan(tmp_path / "again", training)
    finished = _run(plan)
    division = divide(plan.grid, JOB.fold, training.validation_fraction, plan.seed)
    every = np.sort(np.r_[division.fit, division.valid])
    assert finished.checkpoint.scaler.fitted_on == len(every)
    best = int(np.nanargmax([epoch.valid_auroc for epoch in finished.histories[0]])) + 1
    scaler = fit_scaler_on(plan.grid, every, INPUTS)
    expected = fit(
        plan.model,
        training,
        stays_of(plan.grid, every, scaler, INPUTS),
        None,
        seed=members.seed_for(plan.seed, "network", JOB.fold, 0),
        epochs=best,
    )
    weights = expected.model.state_dict()
    assert _bytes(finished) == {name: tensor.numpy().tobytes() for name, tensor in weights.items()}


@pytest.mark.parametrize("calibration", ["platt", "isotonic"])
def test_labels_of_validation_stays_reach_the_weights_and_nothing_else_is_fitted_twice(
    tmp_path, calibration, monkeypatch
):
    """Calibration and threshold are read off a network that has not been fitted on the validation stays."""
    lines, fit_calibration = [], members.fit_calibration

    def spy(labels, logits, method):
        lines.append(fit_calibration(labels, logits, method))
        return lines[-1]

    monkeypatch.setattr(members, "fit_calibration", spy)
    once = _run(_plan(tmp_path / "once", dataclasses.replace(PLAIN, calibration=calibration)))
    again = _run(_plan(tmp_path / "again", dataclasses.replace(AGAIN, calibration=calibration)))
    assert len(lines) == 2
    assert lines[0] == lines[1]
    curves = [finished.checkpoint.curve for finished in (once, again)]
    assert (curves[0] is None) == (calibration == "platt")
    assert calibration == "platt" or np.array_equal(*curves)


@pytest.mark.parametrize(
    "share", [0.1, pytest.param(0.5, marks=pytest.mark.slow), 0.8, pytest.param(1.0, marks=pytest.mark.slow)]
)
def test_a_member_killed_in_either_fit_ends_with_the_same_bytes(tmp_path, share, monkeypatch):
    straight = _run(_plan(tmp_path / "straight", ensemble=2))
    epochs = sum(2 * len(history) - PLAIN.patience for history in straight.histories)
    last, write, written = max(1, round(share * epochs)), Snapshot.write, []

    class KilledError(Exception):
        pass

    def die(snapshot, path):
        write(snapshot, path)
        written.append(path.name)
        if len(written) == last:
            raise KilledError

    plan = _plan(tmp_path / "killed", ensemble=2)
    monkeypatch.setattr(Snapshot, "write", die)
    with pytest.raises(KilledError):
        _run(plan)
    resumed = _run(plan)
    assert _bytes(resumed) == _bytes(straight)
    assert resumed.probabilities.tobytes() == straight.probabilities.tobytes()
    assert {name.partition(".")[2] for name in written} == {
        f"{number}.{fit}safetensors" for number in range(2) for fit in ("", "again.")
    }


def test_the_bar_is_filled_once(tmp_path):
    plan = _plan(tmp_path / "again", ensemble=2)
    fresh, kept = [], []
    _run(plan, fresh)
    _run(plan, kept)
    assert sum(fresh) == sum(kept) == plan.most_epochs == 20


@pytest.mark.parametrize(
    ("model", "training", "most"),
    [
        (LstmOptions(), PLAIN, 5),
        (LstmOptions(ensemble_size=3), PLAIN, 15),
        (LstmOptions(ensemble_size=3), AGAIN, 30),
        (BoostedTreesOptions(), AGAIN, 1),
    ],
)
def test_a_member_takes_at_most_the_epochs_of_its_fits(tmp_path, model, training, most):
    assert dataclasses.replace(_plan(tmp_path, training), model=model).most_epochs == most


def test_trees_fill_the_bar_by_one_fit(tmp_path):
    plan = dataclasses.replace(_plan(tmp_path, PLAIN), model=BoostedTreesOptions(trees=3))
    ticks: list[int] = []
    _run(plan, ticks)
    assert ticks == [1]


def test_the_first_network_of_an_ensemble_is_the_single_one(tmp_path):
    training = dataclasses.replace(AGAIN, calibration="none")
    alone, pair = (_run(_plan(tmp_path / str(size), training, size)) for size in (1, 2))
    weights = _bytes(pair)
    assert all(weights[f"networks.0.{name}"] == array for name, array in _bytes(alone).items())
