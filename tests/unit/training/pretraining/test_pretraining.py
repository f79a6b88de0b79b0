"""Networks whose recurrent layers are fitted without outcomes before the fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from icudl.errors import StageError
from icudl.models.build import build_model
from icudl.models.options import (
    ConvolutionalOptions,
    GruOptions,
    GruSummaryOptions,
    LstmOptions,
    LstmSummaryOptions,
    ModelOptions,
    SummaryOptions,
)
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on
from icudl.training import loop
from icudl.training.data import stays_of
from icudl.training.loop import fit
from icudl.training.members import MemberJob, Plan, divide, run_member, train_model
from icudl.training.options import TrainingOptions
from icudl.training.pretraining import fitting
from icudl.training.pretraining.fitting import pretrain, rate_at
from icudl.training.pretraining.options import PretrainOptions
from icudl.training.pretraining.unlabelled import UnlabelledStays
from icudl.training.steps import DivergenceError, optimizer_of, set_rate
from training_grids import make_grid

INPUTS = InputOptions(channels=("value", "observed", "hours_since"), imputation="forward", scaling="standard")
TRAINING = TrainingOptions(max_epochs=2, patience=2, learning_rate=0.02, batch_size=32, bootstrap_samples=20)
MODEL = LstmSummaryOptions(hidden_size=4, fc_size=0)
PRETRAIN = PretrainOptions(epochs=3, learning_rate=0.02)
JOB = MemberJob(fold=1)


def _plan(scratch: Path, pretrain: PretrainOptions = PRETRAIN, **changes) -> Plan:
    scratch.mkdir(exist_ok=True)
    whole = {"grid": make_grid(), "inputs": INPUTS, "model": MODEL, "training": TRAINING} | changes
    return Plan(seed=3, device="cpu", scratch=scratch, pretrain=pretrain, **whole)


def _weights(finished) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in finished.checkpoint.weights.items()}


def _bytes(model) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def _lessons(options: PretrainOptions = PRETRAIN, grid=None):
    grid = grid or make_grid()
    rows = divide(grid, 1, 0.15, 3).fit
    scaler = fit_scaler_on(grid, rows, INPUTS)
    return UnlabelledStays.of(grid, rows, scaler, INPUTS, options), stays_of(grid, rows, scaler, INPUTS)


def _network(options: ModelOptions, n_features: int):
    torch.manual_seed(0)
    return build_model(options, n_features)


def test_what_is_off_changes_no_byte(tmp_path):
    off = run_member(_plan(tmp_path / "off", PretrainOptions(value_share=0.5, encoder_rate=0.1)), JOB, [].append)
    usual = Plan(
        grid=make_grid(), inputs=INPUTS, model=MODEL, training=TRAINING, seed=3, device="cpu", scratch=tmp_path
    )
    assert _weights(run_member(usual, JOB, [].append)) == _weights(off)


@pytest.mark.parametrize(
    "other",
    [
        {"epochs": 4},
        {"learning_rate": 0.01},
        {"value_share": 0.5},
        {"run_share": 0.5},
        {"run_hours": 3},
        {"variable_share": 0.5},
        {"encoder_rate": 0.1},
    ],
    ids=lambda other: next(iter(other)),
)
def test_each_option_changes_the_weights_and_the_same_seed_gives_them_again(tmp_path, other):
    usual = run_member(_plan(tmp_path / "usual"), JOB, [].append)
    options = dataclasses.replace(PRETRAIN, **other)
    first, second = (run_member(_plan(tmp_path / name, options), JOB, [].append) for name in ("first", "second"))
    assert _weights(first) != _weights(usual)
    assert _weights(first) == _weights(second)


@pytest.mark.parametrize(
    "options",
    [
        LstmOptions(hidden_size=4, fc_size=4),
        GruOptions(hidden_size=4, fc_size=0, n_layers=2),
        LstmOptions(hidden_size=4, readout="last_hour", bidirectional=False),
        LstmSummaryOptions(hidden_size=4, readout="attention"),
        GruSummaryOptions(hidden_size=4, readout="last_hour"),
    ],
    ids=lambda options: options.name,
)
def test_only_recurrent_layers_are_pretrained_and_they_get_better_at_it(options):
    grid = make_grid()
    shape = (len(grid.labels), 1, grid.values.shape[2])  # one level a stay: what was charted tells what else was
    levels = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    grid = dataclasses.replace(grid, values=np.where(np.isnan(grid.values), np.float32(np.nan), levels))
    stays, train = _lessons(PretrainOptions(epochs=12, learning_rate=0.1, run_share=0.0), grid)
    model = _network(options, train.features.shape[2])
    before = _bytes(model)
    history = pretrain(model, stays, TRAINING, seed=1)
    changed = {name for name, weights in _bytes(model).items() if weights != before[name]}
    assert changed == {name for name in before if name.startswith("rnn.")}
    assert history[-1].train_loss < 0.9 * history[0].train_loss
    assert [epoch.epoch for epoch in history] == list(range(1, 13))


def test_the_fit_starts_from_the_pretrained_layers_and_from_nothing_else(monkeypatch):
    """Before the first epoch the network is the one that would be fitted without pretraining, but for these layers."""
    stays, train = _lessons()
    seen: list[dict[str, bytes]] = []
    advance = loop._Run.advance

    def spy(self):
        if not self.history:
            seen.append(_bytes(self.model))
            assert {name: mean.numpy().tobytes() for name, mean in self.mean.items()} == seen[-1]
        return advance(self)

    monkeypatch.setattr(loop._Run, "advance", spy)
    fit(MODEL, TRAINING, train, None, seed=5, epochs=1)
    fit(MODEL, TRAINING, train, None, seed=5, epochs=1, unlabelled=stays)
    plain, pretrained = seen
    torch.manual_seed(loop.seed_for(5, "weights"))
    alone = build_model(MODEL, train.features.shape[2])
    pretrain(alone, stays, TRAINING, seed=5, name="model")
    layers = {f"rnn.{name}" for name in alone.rnn.state_dict()}
    assert {name for name in plain if plain[name] != pretrained[name]} == layers
    assert {name: pretrained[name] for name in layers} == {name: _bytes(alone)[name] for name in layers}


def test_pretrained_layers_that_may_not_learn_stay_as_they_are():
    stays, train = _lessons(dataclasses.replace(PRETRAIN, encoder_rate=0.0))
    fitted = fit(MODEL, TRAINING, train, None, seed=5, epochs=2, unlabelled=stays)
    torch.manual_seed(loop.seed_for(5, "weights"))
    alone = build_model(MODEL, train.features.shape[2])
    pretrain(alone, stays, TRAINING, seed=5)
    kept = {name for name, weights in _bytes(alone).items() if weights == _bytes(fitted.model)[name]}
    assert kept >= {name for name in _bytes(alone) if name.startswith("rnn.")}
    assert "head.out.weight" not in kept


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("dies_after", range(1, 6))
@pytest.mark.parametrize("encoder_rate", [1.0, 0.2])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, dies_after, encoder_rate):
    """Whether it dies while it is pretrained (3 epochs) or fitted (4), and the ticks are those of one whole run."""
    stays, train = _lessons(dataclasses.replace(PRETRAIN, encoder_rate=encoder_rate))

    def run(**more):
        return fit(MODEL, TRAINING, train, None, seed=5, epochs=2, unlabelled=stays, **more)

    ticks: list[int] = []

    def die(n):
        ticks.append(n)
        if sum(ticks) == dies_after:
            raise _KilledError

    path = tmp_path / "state.safetensors"
    with pytest.raises(_KilledError):
        run(snapshot=path, tick=die)
    again: list[int] = []
    resumed = run(snapshot=path, tick=again.append)
    assert _bytes(resumed.model) == _bytes(run().model)
    assert sum(again) == TRAINING.max_epochs + PRETRAIN.epochs


def test_a_resumed_run_does_not_pretrain_again(tmp_path, monkeypatch):
    stays, train = _lessons()
    path = tmp_path / "state.safetensors"
    fit(MODEL, TRAINING, train, None, seed=5, epochs=1, unlabelled=stays, snapshot=path)
    monkeypatch.setattr(fitting._Run, "_epoch", None)
    fit(MODEL, TRAINING, train, None, seed=5, epochs=2, unlabelled=stays, snapshot=path)
    path.unlink()
    fit(MODEL, TRAINING, train, None, seed=5, epochs=1, unlabelled=stays, snapshot=path)


@pytest.mark.parametrize("again", [False, True], ids=["fitted once", "fitted again"])
def test_nothing_is_learnt_from_stays_that_a_member_scores(tmp_path, again):
    """Records of the own fold and of test patients are scrambled, and no weight moves."""
    training = dataclasses.replace(TRAINING, fit_again=again, monitor="log_loss")
    grid = make_grid()
    division = divide(grid, JOB.fold, training.validation_fraction, 3)
    others = np.ones(len(grid.labels), bool)
    others[np.r_[division.fit, division.valid]] = False
    assert set(grid.patient_ids[others]).isdisjoint(grid.patient_ids[~others])
    scrambled = grid.values.copy()
    scrambled[others] = np.random.default_rng(9).normal(50, 20, scrambled[others].shape)
    first = run_member(_plan(tmp_path / "as-it-is", training=training), JOB, [].append)
    second = run_member(
        _plan(tmp_path / "scrambled", training=training, grid=dataclasses.replace(grid, values=scrambled)),
        JOB,
        [].append,
    )
    assert _weights(first) == _weights(second)


@pytest.mark.parametrize("again", [False, True], ids=["fitted once", "fitted again"])
def test_the_patients_of_a_pretraining_are_those_of_the_fit_that_follows(tmp_path, monkeypatch, again):
    """No validation stay is read before it has chosen the epoch, and the second fit reads its own stays alone."""
    seen: list[np.ndarray] = []
    original = UnlabelledStays.riddle

    def spy(self, chosen, rng):
        seen.append(self.values[chosen])
        return original(self, chosen, rng)

    monkeypatch.setattr(UnlabelledStays, "riddle", spy)
    plan = _plan(tmp_path / "run", training=dataclasses.replace(TRAINING, fit_again=again))
    run_member(plan, JOB, [].append)
    division = divide(plan.grid, JOB.fold, TRAINING.validation_fraction, plan.seed)

    def records(rows) -> set[bytes]:
        return {plan.grid.values[row].tobytes() for row in rows}

    per_pass = len(division.fit)
    read = np.concatenate(seen)
    first = {record.tobytes() for record in read[: PRETRAIN.epochs * per_pass]}
    assert first == records(division.fit)
    rest = {record.tobytes() for record in read[PRETRAIN.epochs * per_pass :]}
    assert rest == (records(np.r_[division.fit, division.valid]) if again else set())


def test_outcomes_say_nothing_to_a_pretraining():
    grid = make_grid()
    turned = dataclasses.replace(grid, labels=1 - grid.labels)
    found = []
    for data in (grid, turned):
        rows = np.flatnonzero(~grid.is_test)
        stays = UnlabelledStays.of(data, rows, fit_scaler_on(data, rows, INPUTS), INPUTS, PRETRAIN)
        model = _network(MODEL, 9)
        pretrain(model, stays, TRAINING, seed=1)
        found.append(_bytes(model))
    assert found[0] == found[1]


def test_each_network_of_an_ensemble_is_pretrained_by_itself(tmp_path):
    model = dataclasses.replace(MODEL, ensemble_size=2)
    plan = _plan(tmp_path, dataclasses.replace(PRETRAIN, encoder_rate=0.0), model=model)
    ticks: list[int] = []
    weights = _weights(run_member(plan, JOB, ticks.append))
    assert weights["networks.0.rnn.weight_ih_l0"] != weights["networks.1.rnn.weight_ih_l0"]
    assert sum(ticks) == plan.most_epochs == 2 * (PRETRAIN.epochs + TRAINING.max_epochs)
    single = _weights(run_member(_plan(tmp_path / "one", plan.pretrain), JOB, [].append))
    assert single["rnn.weight_ih_l0"] == weights["networks.0.rnn.weight_ih_l0"]


@pytest.mark.parametrize("options", [SummaryOptions(), ConvolutionalOptions(hidden_size=4)], ids=["summary", "tcn"])
def test_a_network_without_recurrent_layers_is_refused(options):
    stays, train = _lessons()
    with pytest.raises(StageError, match="no recurrent layers"):
        fit(options, TRAINING, train, None, seed=1, epochs=1, unlabelled=stays)
    assert not options.pretrainable


def test_a_loss_that_diverges_is_an_error():
    grid = make_grid()
    grid.statics[:] = np.inf
    inputs = dataclasses.replace(INPUTS, statics=("age_years",))
    rows = np.flatnonzero(~grid.is_test)
    scaler = fit_scaler_on(make_grid(), rows, inputs)
    stays = UnlabelledStays.of(grid, rows, scaler, inputs, PRETRAIN)
    with pytest.raises(DivergenceError, match="Pretraining of fold-1 diverged in epoch 1"):
        pretrain(_network(MODEL, 10), stays, TRAINING, seed=1, name="fold-1")


def test_the_rate_falls_to_a_hundredth():
    options = PretrainOptions(epochs=5, learning_rate=0.1)
    rates = [rate_at(options, epoch) for epoch in range(1, 6)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.001)
    assert rate_at(dataclasses.replace(options, epochs=1), 1) == 0.1


def test_a_part_of_a_model_learns_at_its_share_of_the_rate():
    model = torch.nn.ModuleDict({"slow": torch.nn.Linear(2, 2), "fast": torch.nn.Linear(2, 2)})
    optimizer = optimizer_of(TrainingOptions(optimizer="sgd"), model, model["slow"], 0.25)
    set_rate(optimizer, 0.4)
    rates = {id(weights): group["lr"] for group in optimizer.param_groups for weights in group["params"]}
    assert {name: rates[id(weights)] for name, weights in model.named_parameters()} == {
        name: 0.1 if name.startswith("slow") else 0.4 for name, _ in model.named_parameters()
    }


def test_the_epochs_of_a_pretraining_are_told_network_by_network(tmp_path):
    told: list[tuple[int, int]] = []
    losses: list[float] = []

    def hear(network, epoch):
        told.append((network, epoch.epoch))
        losses.append(epoch.train_loss)

    plan = _plan(tmp_path, model=dataclasses.replace(MODEL, ensemble_size=2))
    division = divide(plan.grid, JOB.fold, TRAINING.validation_fraction, plan.seed)
    train_model(plan, division, JOB, snapshot=tmp_path / "fold-1.epochs", on_pretraining=hear)
    assert told == [(network, epoch) for network in range(2) for epoch in (1, 2, 3)]
    assert np.isfinite(losses).all()


def test_event_files_hold_the_loss_of_a_pretraining_beside_that_of_the_fit(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run_member(dataclasses.replace(_plan(tmp_path / "run"), logs=tmp_path / "logs"), JOB, [].append)
    events = accumulator.EventAccumulator(str(tmp_path / "logs" / "fold-1")).Reload()
    assert [scalar.step for scalar in events.Scalars("pretraining/loss")] == [1, 2, 3]
    assert [scalar.step for scalar in events.Scalars("loss/train")] == [1, 2]
