"""Recorded passes against autograd, on a CPU: what is recorded there is the work itself."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from icudl.attacks.engine import AutogradEngine, make_engine
from icudl.attacks.engine.choice import device_engine
from icudl.attacks.engine.device import DeviceEngine
from icudl.attacks.engine.device import engine as module
from icudl.attacks.engine.known import Known
from icudl.attacks.engine.parts import NotWrittenByHandError
from icudl.execution.recording import CudaRecorder, Rerun
from icudl.models.base import SequenceClassifier
from icudl.models.build import build_model
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.options import GROUP, LstmOptions
from icudl.models.recurrent.classifier import LstmClassifier
from icudl.models.rescaled import RescaledClassifier
from icudl.plugins import options_of
from waiting import NoWaiting, WaitedError

READOUTS = ("final", "last_hour", "mean", "max", "attention")
N_HOURS, N_FEATURES = 7, 4
SUMMARIES = {"hidden_size": 5, "fc_size": 0, "dropout": 0.3}
RAGGED, WHOLE = [3, 7, 1, 5], [7, 7, 7]


def model_of(name: str = "lstm", **options: object) -> SequenceClassifier:
    torch.manual_seed(0)
    chosen = options_of(GROUP, name)(**{"hidden_size": 6, "fc_size": 5} | options)
    model = build_model(chosen, N_FEATURES).double()
    features, lengths = stays_of([7, 4, 6, 7, 2, 7, 7, 5])
    networks = model.networks if isinstance(model, EnsembleClassifier) else [model]
    for network in networks:
        network.prepare(features, lengths, {"value": range(2), "observed": range(2, 4)})
    return model.eval()


def stays_of(lengths: list[int], seed: int = 1) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    features = torch.rand(len(lengths), N_HOURS, N_FEATURES, generator=rng, dtype=torch.float64)
    return features, torch.tensor(lengths)


def engine_of(model: SequenceClassifier) -> DeviceEngine:
    return device_engine(model, Rerun())


def rescaled(network: SequenceClassifier) -> RescaledClassifier:
    model = RescaledClassifier(network.options, network).double()
    model.gain.fill_(1.25)
    model.bias.fill_(-0.1)
    model.low.fill_(0.0)
    model.high.fill_(0.9)
    return model.eval()


def build_summary() -> SequenceClassifier:
    torch.manual_seed(0)
    return build_model(options_of(GROUP, "summary")(), N_FEATURES).double().eval()


MODELS: dict[str, Callable[[], SequenceClassifier]] = {
    f"{name}-{readout}-{'bi' if both else 'uni'}-{n_layers}": (
        lambda name=name, readout=readout, both=both, n_layers=n_layers: model_of(
            name, readout=readout, bidirectional=both, n_layers=n_layers
        )
    )
    for name in ("lstm", "gru")
    for readout in READOUTS
    for both in (True, False)
    for n_layers in (1, 2)
} | {
    "dropout": lambda: model_of(n_layers=2, dropout=0.5, activation="relu"),
    "lstm_summary": lambda: model_of("lstm_summary", **SUMMARIES),
    "gru_summary": lambda: model_of("gru_summary", **SUMMARIES),
    "summary": build_summary,
    "ensemble": lambda: model_of("lstm_summary", **SUMMARIES, readout="attention", ensemble_size=3),
    "rescaled": lambda: rescaled(model_of("lstm_summary", **SUMMARIES)),
}


def same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_equal_to_autograd(name: str) -> None:
    model = MODELS[name]()
    engine, reference = engine_of(model), AutogradEngine(model)
    # The second batch of a size goes through the arrays that the first one left behind.
    for lengths, seed in ((RAGGED, 1), (WHOLE, 2), ([5, 2], 3)):
        stays = stays_of(lengths, seed)
        expected = reference.difference_and_gradient(*stays)
        same(engine.difference_and_gradient(*stays), expected)
        same((engine.difference(*stays),), expected[:1])


def test_more_stays_than_any_recorded_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    stays = stays_of([7, 3, 5, 6, 2])
    expected = AutogradEngine(model).difference_and_gradient(*stays)
    monkeypatch.setattr(module, "SIZES", (2, 4))
    engine = engine_of(model)
    same(engine.difference_and_gradient(*stays), expected)
    same((engine.difference(*stays),), expected[:1])
    features, lengths = stays
    same(engine.difference_and_gradient(features[1:4], lengths[1:4]), tuple(part[1:4] for part in expected))


def test_large_batches_go_to_the_other_engine() -> None:
    model = model_of()
    large = AutogradEngine(model)
    engine = DeviceEngine(refused, Rerun(), large, large_from=3)
    features, lengths = stays_of(WHOLE)
    same(engine.difference_and_gradient(features, lengths), large.difference_and_gradient(features, lengths))
    known = Known(engine.remember(features, lengths, 2), torch.tensor([2, 1, 0]))
    backwards = features.flip(0)
    difference, gradient = large.difference_and_gradient(backwards, lengths)
    same(engine.difference_and_gradient(backwards[..., :2], lengths, known), (difference, gradient[..., :2]))
    same((engine.difference(backwards[..., :2], lengths, known),), (difference,))
    with pytest.raises(AssertionError, match="small"):
        engine.difference(features[:2], lengths[:2])


def refused(features: Tensor, lengths: Tensor, *, whole: bool) -> Tensor:
    raise AssertionError(f"small: {features.shape}, {lengths}, {whole}")


@pytest.mark.parametrize("lengths", [RAGGED, [7, 7, 7, 7]], ids=["ragged", "whole"])
def test_variants_of_known_stays(lengths: list[int]) -> None:
    model = model_of("lstm_summary", **SUMMARIES)
    engine = engine_of(model)
    features, hours = stays_of(lengths)
    memory = engine.remember(features, hours, 2)
    assert memory.whole == (lengths != RAGGED)
    rows = torch.tensor([3, 0, 0, 2, 1])
    changed = stays_of([7] * 5, seed=9)[0]
    variants = torch.cat([changed[..., :2], features[rows, :, 2:]], dim=2)
    difference, gradient = AutogradEngine(model).difference_and_gradient(variants, hours[rows])
    known = Known(memory, rows)
    moving = changed[..., :2]
    same(engine.difference_and_gradient(moving, hours[rows], known), (difference, gradient[..., :2]))
    assert engine.survey(moving, hours[rows], 0.1, known)[2] is None
    same((engine.difference(moving, hours[rows], known),), (difference,))


def test_padding_changes_nothing_and_gets_no_gradient() -> None:
    engine = engine_of(rescaled(model_of("lstm_summary", **SUMMARIES)))
    features, hours = stays_of(RAGGED)
    expected, gradient = engine.difference_and_gradient(features, hours)
    padding = torch.arange(N_HOURS) >= hours[:, None]
    spoiled = features.clone()
    spoiled[padding] = torch.nan
    found, found_gradient = engine.difference_and_gradient(spoiled, hours)
    assert torch.equal(found, expected)
    assert torch.equal(found_gradient, gradient)
    assert not gradient[padding].any()
    # Stays that are not numbers leave nothing behind in the arrays.
    features[0] = torch.nan
    engine.difference_and_gradient(features, hours)
    again = engine.difference_and_gradient(spoiled[1:], hours[1:])
    assert torch.equal(again[0], expected[1:])


def test_results_are_kept_by_the_caller() -> None:
    engine = engine_of(model_of())
    first = engine.difference_and_gradient(*stays_of(WHOLE))
    before = [part.clone() for part in first]
    engine.difference_and_gradient(*stays_of(WHOLE, seed=5))
    assert all(torch.equal(*pair) for pair in zip(first, before, strict=True))


def test_the_model_and_the_flags_are_left_alone() -> None:
    model = model_of(n_layers=2, dropout=0.5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.enabled
    engine_of(model).difference_and_gradient(*stays_of(RAGGED))
    assert not any(part.training for part in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.enabled) == flags


@pytest.mark.parametrize("name", MODELS)
def test_nothing_waits_for_the_host(name: str) -> None:
    engine = engine_of(MODELS[name]())
    for lengths in (RAGGED, WHOLE):
        features, hours = stays_of(lengths)
        known = Known(engine.remember(features, hours, 2), torch.arange(len(hours)))
        moving = features[..., :2].clone()
        engine.difference(moving, hours, known)
        engine.difference_and_gradient(moving, hours, known)
        with NoWaiting():
            engine.difference(moving, hours, known)
            engine.difference_and_gradient(moving, hours, known)


def test_waiting_is_noticed() -> None:
    features, hours = stays_of(RAGGED)
    for wait in (
        lambda: bool((hours == 3).any()),
        lambda: features[hours > 3],
        hours.nonzero,
        lambda: make_engine(model_of()).difference(features, hours),
        lambda: model_of()(features, hours),
    ):
        with pytest.raises(WaitedError), NoWaiting():
            wait()


class Broken:
    """Cannot record, as a device cannot whose driver refuses."""

    def __init__(self) -> None:
        self.asked = 0

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.asked += 1
        work()
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


class Stale:
    """Records passes that do not look at the arrays again but leave ``shift`` more in the results."""

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        recorded = work.__self__  # type: ignore[attr-defined]

        def again() -> None:
            work()
            recorded.difference.add_(self.shift * recorded.difference.abs().max())

        return again


def test_a_failed_recording_costs_one_line_and_no_number(caplog: pytest.LogCaptureFixture) -> None:
    model, recorder = model_of(), Broken()
    engine, expected = device_engine(model, recorder), engine_of(model)
    with caplog.at_level(logging.WARNING):
        for seed in range(3):
            stays = stays_of(RAGGED, seed)
            found = engine.difference_and_gradient(*stays)
            assert all(torch.equal(*pair) for pair in zip(found, expected.difference_and_gradient(*stays), strict=True))
            assert torch.equal(engine.difference(*stays), expected.difference(*stays))
    assert recorder.asked == 1
    (line,) = caplog.messages
    assert line == "Passes of attacks are not recorded on cpu: operation not permitted when stream is capturing"


@pytest.mark.parametrize(("shift", "is_dropped"), [(1e-6, False), (1e-3, True), (float("nan"), True)])
def test_a_recording_of_other_numbers_is_dropped(
    shift: float, is_dropped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model = model_of()
    engine, expected = device_engine(model, Stale(shift)), engine_of(model)
    stays = stays_of(RAGGED)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            same_numbers = torch.equal(engine.difference(*stays), expected.difference(*stays))
            assert same_numbers == is_dropped
    assert len(caplog.messages) == is_dropped


def test_recorded_passes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PASSES", 3)
    model = model_of()
    engine, reference = engine_of(model), AutogradEngine(model)
    for n_hours in (1, 2, 3, 4, 5, 1):
        features, hours = stays_of([7, 7])
        features, hours = features[:, :n_hours], hours.clamp(max=n_hours)
        same((engine.difference(features, hours),), (reference.difference(features, hours),))
        assert len(engine._passes) <= 3


class Doubled(LstmClassifier):
    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        return 2 * super().forward(features, lengths)


def test_models_of_others_are_refused() -> None:
    doubled = Doubled(LstmOptions(hidden_size=3), N_FEATURES)
    for model in (doubled, EnsembleClassifier(LstmOptions(), [doubled, doubled])):
        with pytest.raises(NotWrittenByHandError):
            engine_of(model)


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
def test_a_graph_gives_the_numbers_of_its_work(name: str, caplog: pytest.LogCaptureFixture) -> None:
    model = MODELS[name]().float().cuda()
    device = next(model.parameters()).device
    graphs, plain = device_engine(model, CudaRecorder(device)), device_engine(model, Rerun())
    reference = AutogradEngine(model)
    for lengths, seed in ((RAGGED, 1), (WHOLE, 2), (RAGGED, 3), ([7] * 40, 4)):
        features, hours = (part.to(device) for part in stays_of(lengths, seed))
        features = features.float()
        found = graphs.difference_and_gradient(features, hours)
        same_up_to_rounding(found, plain.difference_and_gradient(features, hours), 1e-6)
        same_up_to_rounding(found, reference.difference_and_gradient(features, hours), 1e-5)
        same_up_to_rounding((graphs.difference(features, hours),), found[:1], 1e-5)
    assert not caplog.messages


def same_up_to_rounding(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


@pytest.mark.gpu
def test_models_on_a_device_get_the_engine_of_devices() -> None:
    assert isinstance(make_engine(model_of().float().cuda()), DeviceEngine)
