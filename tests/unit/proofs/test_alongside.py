"""Bounds alongside the unchanged stay: no point outside, near the truth, and a rule that is changed is noticed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from icudl.models.base import SequenceClassifier
from icudl.models.options import GruOptions, GruSummaryOptions, LstmOptions, LstmSummaryOptions, ModelOptions
from icudl.proofs.forms import compiled
from icudl.proofs.forms.alongside import apart, hours, travel
from icudl.proofs.forms.alongside.noisy import Noisy
from icudl.proofs.forms.networks import Band, Passes, Prepared, make_network
from icudl.proofs.forms.passes import Track
from icudl.proofs.forms.relaxations import Line, sigmoid, tanh
from proof_cases import LENGTHS, band_of, make_model, moving, window_model, wrong_points


def prepared(model: SequenceClassifier, features: Tensor) -> Prepared:
    return make_network(model, 8).prepare(Track.exact(features.double()), LENGTHS)


def elsewhere(passes: Passes, by: float) -> Passes:
    """The same passes, the middle of whose ranges is not the value of the unchanged stay."""
    track = passes.track
    return passes._replace(track=Track(track.centre + by * track.slope[:, 0], track.slope, track.own))


def bounds(model: SequenceClassifier, half: float, by: float = 0.0) -> tuple[Band, Passes]:
    features, passes = moving(half)
    passes = elsewhere(passes, by)
    return prepared(model, features).alongside(passes), passes


OPTIONS = [
    kind(hidden_size=5, fc_size=fc_size, readout=readout, bidirectional=both, activation=first, fc_activation=last)
    for kind, readout, both, fc_size, first, last in (
        (LstmOptions, "last_hour", True, 4, "relu", "tanh"),
        (LstmOptions, "last_hour", False, 0, "tanh", "identity"),
        (LstmOptions, "final", True, 4, "identity", "relu"),
        (LstmOptions, "final", True, 0, "gelu", "identity"),
        (LstmOptions, "mean", True, 4, "tanh", "gelu"),
        (LstmOptions, "mean", False, 0, "identity", "identity"),
        (LstmOptions, "attention", True, 0, "identity", "identity"),
        (LstmOptions, "attention", False, 4, "relu", "tanh"),
        (LstmOptions, "attention", True, 4, "identity", "tanh"),
        (GruOptions, "last_hour", True, 4, "identity", "relu"),
        (GruOptions, "final", False, 4, "tanh", "gelu"),
        (GruOptions, "mean", True, 0, "relu", "identity"),
        (GruOptions, "attention", True, 0, "identity", "identity"),
    )
]


def names(options: ModelOptions) -> str:
    return "-".join(str(getattr(options, key)) for key in ("name", "readout", "bidirectional", "fc_size"))


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (compiled, hours, apart):
        monkeypatch.setattr(module, "relaxations", lambda: None)


@pytest.mark.parametrize("options", OPTIONS, ids=names)
def test_no_point_lies_outside(options: ModelOptions) -> None:
    model = make_model(options)
    for half, by in ((0.0, 0.9), (0.02, 0.0), (0.5, 0.9), (5.0, 0.0)):
        band, passes = bounds(model, half, by)
        assert wrong_points(model, band, passes, 9) == 0


@pytest.mark.parametrize("options", OPTIONS, ids=names)
def test_no_point_lies_outside_alongside_stays_of_their_own(
    options: ModelOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(options)
    features, passes = moving(0.1)
    passes, network = elsewhere(passes, 5.0), prepared(model, features)
    apart_from_this, near = network.alongside(passes), network.centred(passes)
    assert wrong_points(model, near, passes, 9) == 0
    assert float(near.rest.median()) <= float(apart_from_this.rest.median())
    # Errors that are merged are never smaller.
    monkeypatch.setattr(apart, "MOST", 2)
    monkeypatch.setattr(apart, "KEPT", 1)
    monkeypatch.setattr(apart, "AT_ONCE", 3)
    merged = network.centred(passes)
    assert wrong_points(model, merged, passes, 9) == 0
    assert bool((merged.rest >= near.rest * (1 - 1e-4)).all())
    assert float((merged.rest - near.rest).max()) > 0


@pytest.mark.parametrize("options", OPTIONS, ids=names)
def test_packs_change_nothing(options: ModelOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(options)
    whole, _ = bounds(model, 0.3)
    monkeypatch.setattr(travel, "CHUNK", 2)
    packed, _ = bounds(model, 0.3)
    for array, other in zip(whole, packed, strict=True):
        assert torch.allclose(array, other, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(compiled.relaxations() is None, reason="There is no compiler.")
@pytest.mark.parametrize("options", OPTIONS, ids=names)
def test_compiled_and_torch_bound_alike(options: ModelOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(options)
    features, passes = moving(0.4)
    network = prepared(model, features)
    fast = network.alongside(passes), network.centred(passes)
    without_compiler(monkeypatch)
    for band, other in zip(fast, (network.alongside(passes), network.centred(passes)), strict=True):
        for array, same in zip(band, other, strict=True):
            assert torch.allclose(array, same, rtol=1e-5, atol=1e-9)


@pytest.mark.skipif(compiled.relaxations() is None, reason="There is no compiler.")
def test_compiled_lines_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    middle = 20 * torch.randn(4000, generator=generator, dtype=torch.float64)
    half = 10 ** (14 * torch.rand(4000, generator=generator, dtype=torch.float64) - 12)
    half[:50] = 0
    lower, upper = (
        torch.cat([middle - half, torch.tensor([-torch.inf, torch.nan])]),
        torch.cat([middle + half, torch.tensor([0.0, 1.0])]),
    )
    fast = [kind(lower, upper) for kind in (sigmoid, tanh)]
    without_compiler(monkeypatch)
    for line, other in zip(fast, (kind(lower, upper) for kind in (sigmoid, tanh)), strict=True):
        assert bool((line.error[:-2] > 0).all())
        for array, same in zip(line, other, strict=True):
            assert torch.allclose(array[:-2], same[:-2], rtol=1e-6, atol=1e-9)
        assert bool(line.error[-2:].isnan().all())


@pytest.mark.skipif(compiled.relaxations() is None, reason="There is no compiler.")
def test_compiled_and_torch_merge_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (LstmOptions, GruOptions):
        features, passes = moving(0.4)
        network = prepared(make_model(kind(hidden_size=5, readout="attention")), features)
        monkeypatch.setattr(apart, "MOST", 2)
        monkeypatch.setattr(apart, "KEPT", 1)
        with monkeypatch.context() as context:
            fast = network.centred(passes)
            without_compiler(context)
            for array, same in zip(fast, network.centred(passes), strict=True):
                assert torch.allclose(array, same, rtol=1e-5, atol=1e-9)


def test_bounds_of_small_changes_are_those_of_forms() -> None:
    model = make_model(LstmOptions(hidden_size=5, fc_size=4, readout="final"))
    features, passes = moving(0.05)
    band, forms = prepared(model, features).alongside(passes), band_of(model, features, passes, 100)
    assert torch.allclose(band.slope, forms.slope, rtol=0.02, atol=1e-4)
    assert bool((band.rest <= 1.5 * forms.rest + 1e-4).all())
    # Wider changes make more noise.
    wider, _ = bounds(model, 0.2)
    assert bool((wider.rest > band.rest).all())


def test_noise_without_end_says_nothing() -> None:
    model = make_model(LstmOptions(hidden_size=5, fc_size=4, readout="final"), scale=300.0)
    band, _ = bounds(model, 1e30)
    assert not bool(torch.stack([band.centre, band.rest]).isnan().any())


@pytest.mark.parametrize("fast", [True, False], ids=["compiled", "torch"])
@pytest.mark.parametrize("kind", [LstmOptions, GruOptions])
@pytest.mark.parametrize("strange", [torch.inf, torch.nan])
def test_values_that_are_no_numbers_are_no_proof(
    kind: Callable[..., Any], strange: float, monkeypatch: pytest.MonkeyPatch, *, fast: bool
) -> None:
    monkeypatch.setattr(apart, "MOST", 2)
    monkeypatch.setattr(apart, "KEPT", 1)
    if not fast:
        without_compiler(monkeypatch)
    for readout in ("final", "mean", "attention"):
        model = make_model(kind(hidden_size=5, fc_size=4, readout=readout, bidirectional=False))
        features, passes = moving(0.1)
        network = prepared(model, features)
        for name in ("slope", "own"):
            # The value reaches the last hours only; of it, one number is none.
            track = dataclasses.replace(passes.track, **{name: getattr(passes.track, name).clone()})
            getattr(track, name)[4, ..., 3, 1] = strange
            for band in (
                network.alongside(passes._replace(track=track)),
                network.centred(passes._replace(track=track)),
            ):
                assert float(band.rest[4]) == torch.inf
                assert bool(band.rest[:4].isfinite().all())


def test_which_networks_run_alongside() -> None:
    features, _ = moving(0.1)
    small: dict[str, Any] = {"hidden_size": 3, "fc_size": 0}
    runs = {
        "one layer": LstmOptions(**small, readout="final"),
        "ensemble": LstmOptions(**small, readout="final", ensemble_size=2),
        "windows": LstmSummaryOptions(**small, readout="final"),
        "gru": GruOptions(**small),
        "attention": LstmOptions(**small, readout="attention"),
    }
    others = {"layers": LstmOptions(**small, n_layers=2), "max": GruOptions(**small, readout="max")}
    for wanted, cases in ((True, runs), (False, others)):
        for options in cases.values():
            windows = isinstance(options, LstmSummaryOptions)
            model = window_model(options, observed=False) if windows else make_model(options)
            assert prepared(model, features).runs_alongside is wanted


def test_products_of_reduced_precision_are_not_relied_on() -> None:
    features, _ = moving(0.1)
    network, before = prepared(make_model(GruOptions(hidden_size=3)), features), torch.get_float32_matmul_precision()
    assert network.runs_alongside
    try:
        torch.set_float32_matmul_precision("medium")
        assert not network.runs_alongside
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("kind", ["ensemble", "windows"])
def test_means_of_networks_are_bounded(kind: str) -> None:
    if kind == "windows":
        model = window_model(GruSummaryOptions(hidden_size=4, fc_size=0, readout="attention"), observed=False)
    else:
        model = make_model(LstmOptions(hidden_size=4, fc_size=0, readout="final", ensemble_size=2))
    band, passes = bounds(model, 0.3)
    assert wrong_points(model, band, passes, 21) == 0
    features, _ = moving(0.3)
    assert wrong_points(model, prepared(model, features).centred(passes), passes, 21) == 0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_bounds_of_a_path_that_does_not_count_are_not_asked(share: float) -> None:
    options = GruSummaryOptions(hidden_size=4, fc_size=0, readout="attention", summary_share=share)
    model = window_model(options, observed=False)
    # So wide, the recurrent layers have bounds that say nothing.
    band, passes = bounds(model, 500.0)
    assert not bool(band.rest.isnan().any())
    assert bool(band.rest.isfinite().all()) is (share == 1.0)
    assert wrong_points(model, band, passes, 9) == 0


def _certain(rule: Callable[..., Line]) -> Callable[..., Line]:
    """The relaxation without its error."""

    def changed(lower: Tensor, upper: Tensor) -> Line:
        line = rule(lower, upper)
        return line._replace(error=torch.zeros_like(line.error))

    return changed


def _same_slopes(form: Noisy, line: Line, slope: Tensor) -> Noisy:
    """``through`` as if the slopes were those of the unchanged stay."""
    found = THROUGH(form, line, slope)
    return dataclasses.replace(found, fresh=(found.fresh - (line.slope - slope).abs() * form.known).clamp(min=0))


def _first_order(form: Noisy, other: Noisy, at: Tensor, other_at: Tensor) -> Noisy:
    """``times`` without the product of what moves."""
    found = TIMES(form, other, at, other_at)
    return dataclasses.replace(found, fresh=(found.fresh - (form.moves * other.moves).abs() / 2).clamp(min=0))


def _unchanged_values(form: Noisy, other: Noisy, at: Tensor, other_at: Tensor) -> Noisy:
    """``times`` as if both factors were where they are in the unchanged stay."""
    found = TIMES(form, other, at, other_at)
    away = (form.middle - at).abs() * other.known + (other.middle - other_at).abs() * form.known
    away = away + form.moves.abs() * other.noise + other.moves.abs() * form.noise
    return dataclasses.replace(found, fresh=(found.fresh - away).clamp(min=0))


def outside_of_product(times: Callable[..., Noisy], seed: int) -> int:
    """How many products of members of two random sets lie outside of what ``times`` says."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(2, 4, 1, 3, generator=generator, dtype=torch.float64)
    one, other = (Noisy(each[0], each[1], each[2].abs(), each[3].abs()) for each in numbers)
    at, other_at = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    found = times(one, other, at, other_at)
    draws = 2 * torch.rand(5, 400, 3, generator=generator, dtype=torch.float64) - 1
    draws[:, :200] = draws[:, :200].sign()
    e, known, other_known = draws[0], draws[1] * one.known, draws[2] * other.known
    values = one.middle + e * one.moves + known + draws[3] * one.fresh
    other_values = other.middle + e * other.moves + other_known + draws[4] * other.fresh
    expected = found.middle + e * found.moves + at * other_known + other_at * known
    return int(((values * other_values - expected).abs() > found.fresh + 1e-12).sum())


THROUGH, TIMES = Noisy.through, Noisy.times


def test_no_product_lies_outside_and_a_changed_rule_is_noticed() -> None:
    assert sum(outside_of_product(TIMES, seed) for seed in range(50)) == 0
    for changed in (_first_order, _unchanged_values):
        assert sum(outside_of_product(changed, seed) for seed in range(50)) > 0


MUTATIONS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "sigmoid": (hours, "sigmoid", _certain(sigmoid)),
    "tanh": (hours, "tanh", _certain(tanh)),
    "slopes": (Noisy, "through", _same_slopes),
    "noise": (travel, "_noise", lambda errors, seen: torch.zeros(len(errors), len(seen), dtype=torch.float64)),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_changed_rule_is_noticed(monkeypatch: pytest.MonkeyPatch, mutation: str) -> None:
    # One unit, so that no other error covers for the one that is missing.
    options = LstmOptions(hidden_size=1, fc_size=0, activation="identity", bidirectional=False, readout="final")
    cases = [(make_model(options, scale=scale, seed=seed), half) for seed, scale, half in PLACES]
    without_compiler(monkeypatch)
    monkeypatch.setattr(*MUTATIONS[mutation])
    assert any(wrong_points(model, *bounds(model, half, 0.9), 21) > 0 for model, half in cases)


PLACES = [(seed, scale, half) for scale, half in ((4.0, 0.5), (8.0, 2.0), (4.0, 2.0)) for seed in range(4)]


def test_no_point_of_these_networks_lies_outside() -> None:
    options = LstmOptions(hidden_size=1, fc_size=0, activation="identity", bidirectional=False, readout="final")
    for seed, scale, half in PLACES:
        model = make_model(options, scale=scale, seed=seed)
        assert wrong_points(model, *bounds(model, half, 0.9), 21) == 0


@pytest.mark.parametrize("readout", ["attention", "max"])
def test_no_stays_are_nothing_to_read(readout: str) -> None:
    model = window_model(LstmSummaryOptions(hidden_size=4, fc_size=0, readout=readout), observed=False)
    features, passes = moving(0.1)
    network = make_network(model, 8).prepare(Track.exact(features[:0].double()), LENGTHS[:0])
    none = Passes(passes.rows[:0], passes.track.select(passes.rows[:0]), passes.reached[:0])
    assert len(network.band(none).centre) == 0
