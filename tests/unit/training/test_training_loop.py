"""Training of one model: order of visits, early stopping, resumption, divergence."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icudl.errors import StageError
from icudl.models.options import LstmOptions
from icudl.training.data import Stays, epoch_order, hold_out_patients
from icudl.training.loop import fit, learning_rate_at, logits_of, loss_of, probabilities_of
from icudl.training.options import TrainingOptions
from icudl.training.snapshot import Snapshot
from icudl.training.steps import optimizer_of

SMALL = LstmOptions(hidden_size=4, fc_size=4, dropout=0.3)
QUICK = TrainingOptions(max_epochs=5, patience=5, batch_size=16)


def _stays(n=60, *, seed=0, deaths=True) -> Stays:
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(n) % 3 == 0).long() if deaths else torch.zeros(n, dtype=torch.int64)
    features = torch.randn(n, 5, 2, generator=generator)
    features[:, :, 0] += 2.0 * labels[:, None]
    return Stays(features, torch.randint(1, 6, (n,), generator=generator), labels)


def _weights(fitted) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in fitted.model.state_dict().items()}


def test_a_signal_is_learnt():
    valid = _stays(seed=1)
    fitted = fit(SMALL, TrainingOptions(max_epochs=30, patience=30, learning_rate=0.02), _stays(120), valid, seed=1)
    assert fitted.history[fitted.best_epoch - 1].valid_auroc > 0.9
    assert max(epoch.valid_auroc for epoch in fitted.history) == fitted.history[fitted.best_epoch - 1].valid_auroc


def test_the_weights_returned_are_those_of_the_best_epoch():
    valid = _stays(seed=1)
    fitted = fit(SMALL, dataclasses.replace(QUICK, max_epochs=12, learning_rate=0.05), _stays(), valid, seed=1)
    loss = torch.nn.functional.cross_entropy(logits_of(fitted.model, valid).double(), valid.labels)
    assert float(loss) == pytest.approx(fitted.history[fitted.best_epoch - 1].valid_loss, abs=1e-12)


def test_training_stops_after_its_patience():
    options = TrainingOptions(max_epochs=50, patience=3, learning_rate=1e-8)
    ticks = []
    fitted = fit(SMALL, options, _stays(), _stays(seed=1), seed=1, tick=ticks.append)
    assert len(fitted.history) == fitted.best_epoch + 3 < 50
    assert sum(ticks) == 50


@pytest.mark.parametrize(
    "change", [{}, {"optimizer": "rmsprop"}, {"optimizer": "sgd"}, {"ema_decay": 0.9}, {"precision": "bfloat16"}]
)
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, change):
    options = dataclasses.replace(QUICK, schedule="cosine", **change)
    train, valid = _stays(), _stays(seed=1)
    straight = fit(SMALL, options, train, valid, seed=5)

    class KilledError(Exception):
        pass

    deaths = [2, 3]

    def die(epoch):
        if deaths and epoch.epoch == deaths[0]:
            deaths.pop(0)
            raise KilledError

    path = tmp_path / "epochs.safetensors"
    for _ in range(2):
        with pytest.raises(KilledError):
            fit(SMALL, options, train, valid, seed=5, snapshot=path, on_epoch=die)
    assert len(Snapshot.read(path).history) == 3
    resumed = fit(SMALL, options, train, valid, seed=5, snapshot=path)
    assert _weights(resumed) == _weights(straight)
    assert resumed.history == straight.history


def test_a_number_of_epochs_is_trained_without_validation_stays(tmp_path):
    train = _stays()
    options = dataclasses.replace(QUICK, ema_decay=0.9, max_epochs=9)
    ticks = []
    fitted = fit(SMALL, options, train, None, seed=5, epochs=4, tick=ticks.append)
    assert (len(fitted.history), fitted.best_epoch, sum(ticks)) == (4, 4, 9)
    path = tmp_path / "epochs.safetensors"

    class KilledError(Exception):
        pass

    def die(epoch):
        if epoch.epoch == 2:
            raise KilledError

    with pytest.raises(KilledError):
        fit(SMALL, options, train, None, seed=5, epochs=4, snapshot=path, on_epoch=die)
    assert len(Snapshot.read(path).history) == 2
    assert _weights(fit(SMALL, options, train, None, seed=5, epochs=4, snapshot=path)) == _weights(fitted)
    # The same steps as beside validation stays, which never change what is learnt.
    looked_at = fit(SMALL, dataclasses.replace(options, max_epochs=4, patience=4), train, _stays(seed=1), seed=5)
    assert looked_at.best_epoch < 4 or _weights(looked_at) == _weights(fitted)
    assert [epoch.train_loss for epoch in looked_at.history] == [epoch.train_loss for epoch in fitted.history]


def test_the_seed_decides_and_the_global_random_state_does_not():
    train, valid = _stays(), _stays(seed=1)
    state = torch.get_rng_state()
    first = fit(SMALL, QUICK, train, valid, seed=5)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(99)
    assert _weights(fit(SMALL, QUICK, train, valid, seed=5)) == _weights(first)
    assert _weights(fit(SMALL, QUICK, train, valid, seed=6)) != _weights(first)


def test_divergence_is_told_with_the_learning_rate():
    options = TrainingOptions(max_epochs=30, optimizer="sgd", learning_rate=10.0, gradient_clip=0.0)
    stays = _stays()
    wild = Stays(stays.features * 1e18, stays.lengths, stays.labels)
    wild.features[0, 0, 0] = torch.inf
    with pytest.raises(StageError, match=r"fold-1 diverged in epoch 1: .*learning_rate \(now 10\)"):
        fit(SMALL, options, wild, wild, seed=1, name="fold-1")


def test_one_class_cannot_be_learnt_from():
    with pytest.raises(StageError, match="60 training stays of fold-2 hold 0 deaths"):
        fit(SMALL, QUICK, _stays(deaths=False), _stays(), seed=1, name="fold-2")


def test_validation_stays_of_one_class_fall_back_on_the_loss():
    fitted = fit(SMALL, QUICK, _stays(), _stays(20, seed=1, deaths=False), seed=1)
    losses = [epoch.valid_loss for epoch in fitted.history]
    assert losses.index(min(losses)) + 1 == fitted.best_epoch


def test_a_batch_of_one_and_stays_of_one_hour():
    stays = _stays(9)
    short = Stays(stays.features[:, :1], torch.ones(9, dtype=torch.int64), stays.labels)
    fitted = fit(SMALL, dataclasses.replace(QUICK, batch_size=1, max_epochs=1), short, short, seed=1)
    assert logits_of(fitted.model, short).shape == (9, 2)


def test_no_stays_give_no_logits():
    stays = _stays(6)
    fitted = fit(SMALL, dataclasses.replace(QUICK, max_epochs=1), stays, stays, seed=1)
    none = stays.select(torch.zeros(0, dtype=torch.int64))
    assert probabilities_of(logits_of(fitted.model, none)).shape == (0,)


def test_probabilities_are_the_softmax_in_double_precision():
    risks = probabilities_of(torch.tensor([[0.0, 0.0], [0.0, np.log(3.0)], [40.0, 0.0]]))
    assert risks.dtype == np.float64
    assert risks == pytest.approx([0.5, 0.75, np.exp(-40.0)], rel=1e-6)


def test_loss_is_the_cross_entropy_of_logits():
    """Defect 2 of the original: a softmax before it would keep the loss of a right answer above .31."""
    loss = loss_of(TrainingOptions(class_balance="none"), torch.tensor([0, 1]))
    assert float(loss(torch.tensor([[30.0, -30.0]]), torch.tensor([0]))) < 1e-6
    assert float(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([0]))) == pytest.approx(np.log(2))


def test_class_weights_make_both_classes_count_the_same():
    labels = torch.tensor([0, 0, 0, 1])
    loss = loss_of(TrainingOptions(class_balance="weight"), labels)
    assert loss.weight.tolist() == pytest.approx([4 / 6, 2.0])


def test_learning_rate_by_hand():
    warm = TrainingOptions(learning_rate=0.8, warmup_epochs=3, max_epochs=8, schedule="cosine")
    rates = [learning_rate_at(warm, epoch) for epoch in range(1, 9)]
    half = 0.8 * (0.01 + 0.99 * 0.5)
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert (rates[5], rates[7]) == pytest.approx((half, 0.008))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
def test_an_oversampled_epoch_is_balanced_and_fair(n_deaths, n_survivors, seed):
    labels = np.array([1] * n_deaths + [0] * n_survivors)
    order = epoch_order(labels, "oversample", np.random.default_rng(seed))
    visits = np.bincount(order, minlength=len(labels))
    half = (len(labels) + 1) // 2
    assert len(order) == 2 * half
    assert (visits[labels == 1].sum(), visits[labels == 0].sum()) == (half, half)
    for value in (0, 1):
        assert np.ptp(visits[labels == value]) <= 1


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), min_size=2, max_size=40), st.floats(0.05, 0.5))
def test_validation_patients_are_not_training_patients(stays, fraction):
    patients, labels = np.array(stays).T
    if len(set(patients)) < 2:
        return
    held = hold_out_patients(patients, labels, fraction, np.random.default_rng(0))
    assert not set(patients[held]) & set(patients[~held])
    assert held.any()
    assert not held.all()


def test_one_patient_cannot_be_divided():
    with pytest.raises(StageError, match=r"1 patient\(s\)"):
        hold_out_patients(np.array([4, 4]), np.array([0, 1]), 0.2, np.random.default_rng(0))


def test_the_running_mean_of_the_weights_is_what_is_scored_and_kept():
    train, valid = _stays(), _stays(seed=1)
    one_epoch = dataclasses.replace(QUICK, max_epochs=1, learning_rate=0.05)
    plain = fit(SMALL, one_epoch, train, valid, seed=5)
    averaged = fit(SMALL, dataclasses.replace(one_epoch, ema_decay=0.9), train, valid, seed=5)
    assert _weights(averaged) != _weights(plain)
    loss = torch.nn.functional.cross_entropy(logits_of(averaged.model, valid).double(), valid.labels)
    assert float(loss) == pytest.approx(averaged.history[0].valid_loss, abs=1e-12)
    assert averaged.history[0].train_loss == plain.history[0].train_loss


def test_half_precision_is_close_to_single():
    train, valid = _stays(), _stays(seed=1)
    half, single = (
        fit(SMALL, dataclasses.replace(QUICK, max_epochs=2, precision=name), train, valid, seed=5)
        for name in ("bfloat16", "float32")
    )
    assert _weights(half) != _weights(single)
    assert half.history[-1].valid_loss == pytest.approx(single.history[-1].valid_loss, abs=0.01)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd"])
def test_an_optimiser_steps_as_that_of_torch_without_loading_the_compiler(name, monkeypatch):
    def weights(make):
        model = torch.nn.Linear(5, 3, bias=False)
        torch.nn.init.constant_(model.weight, 0.5)
        optimizer = make(model)
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            model(torch.ones(2, 5)).square().mean().backward()
            optimizer.step()
        return model.weight.detach(), optimizer.state_dict()["state"]

    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}
    more = {"momentum": 0.9} if name == "sgd" else {"fused": True} if name.startswith("adam") else {}
    kind = kinds.get(name, torch.optim.SGD)
    options = TrainingOptions(optimizer=name, weight_decay=0.01, learning_rate=0.05)
    expected, state = weights(lambda model: kind(model.parameters(), weight_decay=0.01, **more))
    torch.manual_seed(0)  # the compiler, which the optimiser of torch has loaded, puts a guard here
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # importing it is an error from here on
    found, own_state = weights(lambda model: optimizer_of(options, model))
    assert torch.equal(found, expected)
    assert own_state.keys() == state.keys()
    assert fit(SMALL, options, _stays(), _stays(seed=1), seed=1).history
