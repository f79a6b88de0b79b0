"""Networks trained on altered records and on values changed on purpose."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from icudl.models.build import build_model
from icudl.models.options import LstmOptions, LstmSummaryOptions, SummaryOptions
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on
from icudl.training.data import stays_of
from icudl.training.loop import fit
from icudl.training.members import MemberJob, Plan, divide, run_member
from icudl.training.options import TrainingOptions
from icudl.training.robust.lessons import RobustLessons
from icudl.training.robust.options import RobustOptions
from training_grids import make_grid

INPUTS = InputOptions(channels=("value", "observed", "hours_since"), imputation="forward", scaling="standard")
TRAINING = TrainingOptions(max_epochs=2, patience=2, learning_rate=0.02, batch_size=32, bootstrap_samples=20)
MODEL = LstmSummaryOptions(hidden_size=4, fc_size=0)
EVERYTHING = RobustOptions(
    error_rate=0.1,
    value_dropout=0.1,
    variable_dropout=0.1,
    adversarial_share=0.5,
    consistency=1.0,
    changed_values=2,
    tries=3,
)
JOB = MemberJob(fold=1)


def _plan(scratch: Path, robust: RobustOptions = EVERYTHING, **changes) -> Plan:
    scratch.mkdir(exist_ok=True)
    whole = {"grid": make_grid(), "inputs": INPUTS, "model": MODEL, "training": TRAINING} | changes
    return Plan(seed=3, device="cpu", scratch=scratch, robust=robust, **whole)


def _weights(finished) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in finished.checkpoint.weights.items()}


def _lessons(grid, rows, robust: RobustOptions, inputs: InputOptions = INPUTS):
    scaler = fit_scaler_on(grid, rows, inputs)
    lessons = RobustLessons.of(grid, rows, scaler, inputs, robust)
    assert lessons is not None
    return lessons, stays_of(grid, rows, scaler, inputs)


def test_what_is_off_changes_no_byte(tmp_path):
    plain = run_member(_plan(tmp_path / "plain", RobustOptions(changed_values=5, tries=9)), JOB, [].append)
    usual = Plan(
        grid=make_grid(), inputs=INPUTS, model=MODEL, training=TRAINING, seed=3, device="cpu", scratch=tmp_path
    )
    assert _weights(run_member(usual, JOB, [].append)) == _weights(plain)


@pytest.mark.parametrize(
    "part",
    [
        {"error_rate": 0.5},
        {"value_dropout": 0.5},
        {"variable_dropout": 0.5},
        {"adversarial_share": 0.5},
        {"consistency": 1.0},
    ],
    ids=lambda part: next(iter(part)),
)
def test_each_part_changes_the_weights_and_the_same_seed_gives_them_again(tmp_path, part):
    usual = run_member(_plan(tmp_path / "usual", RobustOptions()), JOB, [].append)
    first, second = (
        run_member(_plan(tmp_path / name, RobustOptions(**part)), JOB, [].append) for name in ("first", "second")
    )
    assert _weights(first) != _weights(usual)
    assert _weights(first) == _weights(second)


def test_a_killed_run_ends_with_the_same_bytes(tmp_path):
    grid = make_grid()
    division = divide(grid, 1, 0.15, 3)
    lessons, train = _lessons(grid, division.fit, EVERYTHING)

    def die(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    whole = fit(MODEL, TRAINING, train, None, seed=5, epochs=4, robust=lessons)
    path = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(MODEL, TRAINING, train, None, seed=5, epochs=4, robust=lessons, snapshot=path, on_epoch=die)
    resumed = fit(MODEL, TRAINING, train, None, seed=5, epochs=4, robust=lessons, snapshot=path)
    assert [t.numpy().tobytes() for t in resumed.model.state_dict().values()] == [
        t.numpy().tobytes() for t in whole.model.state_dict().values()
    ]


@pytest.mark.parametrize("again", [False, True], ids=["fitted once", "fitted again"])
def test_no_stay_is_altered_that_the_network_is_not_fitted_on(tmp_path, again):
    """What stands in the records of other stays reaches no weight: theirs are scrambled, and nothing moves."""
    training = dataclasses.replace(TRAINING, fit_again=again, monitor="log_loss", max_epochs=2, patience=2)
    grid = make_grid()
    division = divide(grid, JOB.fold, training.validation_fraction, 3)
    others = np.ones(len(grid.labels), bool)
    others[np.r_[division.fit, division.valid]] = False
    scrambled = grid.values.copy()
    scrambled[others] = np.random.default_rng(9).normal(50, 20, scrambled[others].shape)
    first = run_member(_plan(tmp_path / "as-it-is", training=training), JOB, [].append)
    second = run_member(
        _plan(tmp_path / "scrambled", training=training, grid=dataclasses.replace(grid, values=scrambled)),
        JOB,
        [].append,
    )
    assert _weights(first) == _weights(second)


def test_validation_stays_are_read_as_they_are(tmp_path, monkeypatch):
    seen: list[np.ndarray] = []
    original = RobustLessons.batch

    def spy(self, train, chosen, rng):
        seen.append(self.rows[chosen.numpy()])
        return original(self, train, chosen, rng)

    monkeypatch.setattr(RobustLessons, "batch", spy)
    plan = _plan(tmp_path / "run")
    run_member(plan, JOB, [].append)
    division = divide(plan.grid, JOB.fold, TRAINING.validation_fraction, plan.seed)
    assert seen
    assert set(np.concatenate(seen)) <= set(division.fit)


@pytest.mark.parametrize("imputation", ["forward", "linear"])
def test_a_batch_that_nothing_alters_is_the_batch(imputation):
    grid = make_grid(40)
    inputs = dataclasses.replace(INPUTS, imputation=imputation)
    lessons, train = _lessons(grid, np.flatnonzero(~grid.is_test), RobustOptions(adversarial_share=0.5), inputs)
    chosen = torch.tensor([3, 1, 7])
    batch = lessons.batch(train, chosen, np.random.default_rng(0))
    assert torch.equal(batch.stays.features, train.features[chosen])
    assert torch.equal(batch.stays.labels, train.labels[chosen])
    assert torch.allclose(batch.changed(batch.means.values), train.features[chosen], atol=1e-6)


@pytest.mark.parametrize("model", [LstmOptions(hidden_size=4, fc_size=4), SummaryOptions()], ids=["lstm", "summary"])
@pytest.mark.parametrize("changed", [1, 3])
def test_changes_stay_within_the_threat_model_and_never_help(model, changed):
    grid = make_grid(60)
    options = RobustOptions(adversarial_share=1.0, changed_values=changed, tries=5)
    lessons, train = _lessons(grid, np.flatnonzero(~grid.is_test), options)
    torch.manual_seed(0)
    network = build_model(model, train.features.shape[2])
    network.prepare(train.features, train.lengths, train.columns)
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.3)
    network.train()
    batch = lessons.batch(train, torch.arange(20), np.random.default_rng(0))
    seen: list[torch.Tensor] = []

    @dataclasses.dataclass(frozen=True)
    class Watched:
        stays = batch.stays
        means = batch.means

        def changed(self, values):
            seen.append(values.detach())
            return batch.changed(values)

    from icudl.training.robust.worst import worst_change

    features = worst_change(network, Watched(), options, np.random.default_rng(1))
    assert network.training
    assert len(seen) == 1 + options.tries + 1
    means = batch.means
    for values in seen:
        moved = values != means.values
        assert not (moved & ~means.changeable).any()
        assert (moved.flatten(1).sum(dim=1) <= changed).all()
        assert ((values >= means.lower) & (values <= means.upper)).all()
        at_an_end = (values == means.lower) | (values == means.upper)
        assert (at_an_end | ~moved).all()
    network.eval()
    before = network(batch.stays.features, batch.stays.lengths).diff(dim=1)[:, 0]
    after = network(features, batch.stays.lengths).diff(dim=1)[:, 0]
    wrongness = torch.where(batch.stays.labels == 1, before - after, after - before)
    assert (wrongness > -1e-5).all()
    assert (wrongness > 1e-4).any()


def test_the_first_try_of_a_linear_model_is_its_worst_single_change():
    """Where the gradient tells everything, the search finds what trying every value finds."""
    grid = make_grid(40, ragged=False)
    inputs = InputOptions(channels=("value",))
    options = RobustOptions(adversarial_share=1.0, tries=1)
    lessons, train = _lessons(grid, np.flatnonzero(~grid.is_test), options, inputs)

    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.Parameter(torch.randn(train.features.shape[1:], generator=torch.manual_seed(4)))

        def forward(self, features, _lengths):
            score = (features * self.weights).sum(dim=(1, 2))
            return torch.stack([-score, score], dim=1)

    network = Linear()
    batch = lessons.batch(train, torch.arange(10), np.random.default_rng(0))
    found = lessons.worst(network, batch, np.random.default_rng(0))
    towards = 1 - 2 * batch.stays.labels
    means = batch.means
    best = torch.full((10,), -torch.inf)
    with torch.no_grad():
        for cell in np.ndindex(*means.values.shape[1:]):
            for ends in (means.lower, means.upper):
                tried = means.values.clone()
                tried[:, *cell] = torch.where(means.changeable[:, *cell], ends[:, *cell], tried[:, *cell])
                best = torch.maximum(best, towards * network(batch.changed(tried), None).diff(dim=1)[:, 0])
        assert torch.allclose(towards * network(found, None).diff(dim=1)[:, 0], best, atol=1e-5)
