"""Steps from recorded work: on a CPU, where the work itself is done again, to the same bytes."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from icudl.execution.recording import CudaRecorder, Rerun
from icudl.models.base import are_whole, whole_stays
from icudl.models.encoding import SummaryEncoding, settled
from icudl.models.options import (
    ConvolutionalOptions,
    GruOptions,
    LstmOptions,
    LstmSummaryOptions,
    ModelOptions,
    SummaryOptions,
)
from icudl.models.recurrent.classifier import LstmClassifier
from icudl.training.data import Stays
from icudl.training.loop import Fitted, fit
from icudl.training.options import TrainingOptions
from icudl.training.recorded import can_be_recorded
from waiting import NoWaiting, WaitedError

SMALL = LstmOptions(hidden_size=4, fc_size=4, dropout=0.3)
QUICK = TrainingOptions(max_epochs=3, patience=3, batch_size=16)


def stays_of(n: int = 60, *, seed: int = 0, whole: bool = True) -> Stays:
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(n) % 3 == 0).long()
    features = torch.randn(n, 5, 2, generator=generator)
    features[:, :, 0] += 2.0 * labels[:, None]
    lengths = torch.randint(1, 6, (n,), generator=generator)
    columns = {"value": range(1), "observed": range(1, 2)}
    return Stays(features, torch.full_like(lengths, 5) if whole else lengths, labels, columns)


def weights(fitted: Fitted) -> dict[str, bytes]:
    return {name: tensor.cpu().numpy().tobytes() for name, tensor in fitted.model.state_dict().items()}


class Counted:
    """Counts what is recorded, and how often it is done again; as a graph, it leaves no gradients in parameters."""

    def __init__(self) -> None:
        self.recorded = self.again = 0

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1

        def again() -> None:
            self.again += 1
            work()
            for parameter in work.__self__._parameters:  # type: ignore[attr-defined]
                parameter.grad = None

        return again


@pytest.mark.parametrize(
    "model",
    [SMALL, GruOptions(hidden_size=4, readout="attention"), LstmSummaryOptions(hidden_size=4), SummaryOptions()],
    ids=lambda options: options.name,
)
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ema_decay": 0.9, "optimizer": "adamw", "label_smoothing": 0.1},
        {"precision": "bfloat16", "gradient_clip": 0},
    ],
    ids=["adam", "ema", "half"],
)
def test_recorded_steps_end_with_the_same_bytes(model: ModelOptions, change: dict[str, object]) -> None:
    options, train, valid = dataclasses.replace(QUICK, **change), stays_of(), stays_of(seed=1)
    recorder = Counted()
    found = fit(model, options, train, valid, seed=4, recorder=recorder)
    assert weights(found) == weights(fit(model, options, train, valid, seed=4))
    # 60 stays are three full batches and one smaller, which is not recorded.
    assert (recorder.recorded, recorder.again) == (1, 3 * 3)


def test_a_killed_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    train, valid, snapshot = stays_of(), stays_of(seed=1), tmp_path / "state.safetensors"
    whole = fit(SMALL, QUICK, train, valid, seed=4, recorder=Rerun())

    def die(epoch: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(SMALL, QUICK, train, valid, seed=4, recorder=Rerun(), snapshot=snapshot, on_epoch=die)
    assert weights(fit(SMALL, QUICK, train, valid, seed=4, recorder=Rerun(), snapshot=snapshot)) == weights(whole)


class Broken:
    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        work()
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


class Stale:
    """Leaves the numbers of the last batch in place."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        owner = work.__self__  # type: ignore[attr-defined]
        return owner._loss.zero_


@pytest.mark.parametrize("recorder", [Broken(), Stale()], ids=["broken", "stale"])
def test_a_failed_recording_costs_one_line_and_no_number(
    recorder: Broken | Stale, caplog: pytest.LogCaptureFixture
) -> None:
    train = stays_of()
    with caplog.at_level(logging.WARNING):
        found = fit(SMALL, QUICK, train, None, seed=4, epochs=2, recorder=recorder, name="fold-1")
    assert weights(found) == weights(fit(SMALL, QUICK, train, None, seed=4, epochs=2))
    (line,) = caplog.messages
    assert line.startswith("Training of fold-1 is not recorded on cpu: ")


class Doubled(LstmClassifier):
    pass


def test_what_cannot_be_recorded() -> None:
    stays = stays_of()
    assert can_be_recorded(LstmClassifier(SMALL, 2), stays, whole=True)
    assert not can_be_recorded(LstmClassifier(SMALL, 2), stays, whole=False)
    assert not can_be_recorded(LstmClassifier(dataclasses.replace(SMALL, n_layers=2), 2), stays, whole=True)
    assert not can_be_recorded(Doubled(SMALL, 2), stays, whole=True)


@pytest.mark.parametrize(("model", "whole"), [(SMALL, False), (ConvolutionalOptions(), True)], ids=["ragged", "tcn"])
def test_other_trainings_are_not_recorded(model: ModelOptions, whole: bool) -> None:
    recorder = Counted()
    train = stays_of(whole=whole)
    found = fit(model, QUICK, train, None, seed=4, epochs=1, recorder=recorder)
    assert recorder.recorded == 0
    assert weights(found) == weights(fit(model, QUICK, train, None, seed=4, epochs=1))


@pytest.mark.parametrize("model", [LstmOptions(hidden_size=4, readout="final"), LstmSummaryOptions(hidden_size=4)])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_no_step_waits_for_the_host(model: ModelOptions, ema_decay: float) -> None:
    options = dataclasses.replace(QUICK, ema_decay=ema_decay)
    counts = []
    for n in (33, 97):
        with NoWaiting(refuses=False) as mode:
            fit(model, options, stays_of(n), None, seed=4, epochs=1)
        counts.append(mode.counts)
    # What waits before and after an epoch does so once, however many steps there are.
    assert counts[0] == counts[1]


def test_a_promise_holds_inside_only() -> None:
    lengths = torch.tensor([5, 5])
    with whole_stays(), NoWaiting():
        assert are_whole(lengths, 5)
    with pytest.raises(WaitedError), NoWaiting():
        are_whole(lengths, 5)
    assert not are_whole(lengths, 6)


def test_columns_are_settled_inside_only() -> None:
    encoding = SummaryEncoding(2)
    encoding.used.view(8, 2)[:, 0] = 0
    with settled(encoding):
        with NoWaiting():
            assert encoding.active().tolist() == [1]
        assert encoding.settled is not None
    encoding.used.fill_(1)
    assert encoding.active().tolist() == [0, 1]


@pytest.mark.gpu
@pytest.mark.parametrize("model", [SMALL, LstmSummaryOptions(hidden_size=4)], ids=lambda options: options.name)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_graph_trains_as_its_work_does(model: ModelOptions, precision: str, caplog: pytest.LogCaptureFixture) -> None:
    options, train = dataclasses.replace(QUICK, precision=precision), stays_of(200)
    device = torch.device("cuda:0")
    first, again, plain = (
        fit(model, options, train, stays_of(seed=1), seed=4, device="cuda:0", recorder=recorder)
        for recorder in (None, CudaRecorder(device), Rerun())
    )
    assert not caplog.messages
    assert weights(first) == weights(again)
    expected = plain.model.state_dict()
    for name, tensor in first.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0.01)
