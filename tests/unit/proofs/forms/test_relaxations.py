"""Every relaxation encloses its function, and a rule that is changed is noticed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icudl.proofs.forms import compiled, relaxations
from icudl.proofs.forms.relaxations import Line, clamp, gelu, inverse_root, relu, sigmoid, tanh


def _positive(x: Tensor) -> Tensor:
    return x.abs() + 1e-5


def _inverse_root(x: Tensor) -> Tensor:
    return x.rsqrt()


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Line]]] = {
    "sigmoid": (torch.sigmoid, sigmoid),
    "tanh": (torch.tanh, tanh),
    "relu": (torch.relu, relu),
    "gelu": (torch.nn.functional.gelu, gelu),
    "inverse_root": (_inverse_root, lambda low, high: inverse_root(_positive(low), _positive(low) + (high - low))),
    "clamp": (
        lambda x: x.clamp(-0.5, 1.5),
        lambda low, high: clamp(low, high, torch.tensor(-0.5).double(), torch.tensor(1.5).double()),
    ),
}
ENDS = st.floats(-30, 30) | st.floats(-2, 2) | st.sampled_from([0.0, -800.0, 800.0])
WIDTHS = st.floats(0, 40) | st.floats(0, 0.25) | st.floats(0, 1e-4) | st.just(0.0)


def points_outside(name: str, low: float, width: float) -> int:
    """How many of 401 points of an interval lie farther from the line than its error."""
    function, relaxation = FUNCTIONS[name]
    if name == "inverse_root":
        low = abs(low)
    ends = torch.tensor([[low]], dtype=torch.float64), torch.tensor([[low + width]], dtype=torch.float64)
    line = relaxation(*ends)
    assert all(bool(part.isfinite().all()) for part in line)
    x = torch.linspace(low, low + width, 401, dtype=torch.float64).clamp(low, low + width)
    if name == "inverse_root":
        x = x + 1e-5
    return int(((function(x) - line.slope * x - line.offset).abs() > line.error).sum())


@pytest.mark.parametrize("name", FUNCTIONS)
@given(low=ENDS, width=WIDTHS)
@settings(deadline=None, max_examples=60)
def test_no_point_lies_outside(name: str, low: float, width: float) -> None:
    assert points_outside(name, low, width) == 0


TANGENTS = {"sigmoid": relaxations._TANGENT, "tanh": relaxations._TANGENT / 2}
"""Below which width each function gets the tangent."""

THIRD = {"sigmoid": 1 / 8, "tanh": 2.0}
"""The largest third derivative of each."""


def narrow_intervals(name: str) -> tuple[Tensor, Tensor]:
    """Both ends of intervals about as wide as the widest that get a tangent, and narrower ones."""
    widths = TANGENTS[name] * torch.tensor([1 + 1e-9, 1 - 1e-9, 0.5, 0.1], dtype=torch.float64)[:, None]
    middle = torch.linspace(-12, 12, 961, dtype=torch.float64)
    return middle - widths / 2, middle + widths / 2


def narrow_outside(name: str) -> int:
    """How many points of these intervals lie farther from the line than its error, but for rounding."""
    lower, upper = narrow_intervals(name)
    line, wrong = FUNCTIONS[name][1](lower, upper), 0
    for share in torch.linspace(0, 1, 41, dtype=torch.float64).tolist():
        x = lower + share * (upper - lower)
        distance = (FUNCTIONS[name][0](x) - line.slope * x - line.offset).abs()
        wrong += int((distance > line.error - relaxations.EVALUATION).sum())
    return wrong


@pytest.mark.parametrize("fast", [True, False], ids=["compiled", "torch"])
@pytest.mark.parametrize("name", TANGENTS)
def test_no_point_lies_outside_of_tangents(name: str, monkeypatch: pytest.MonkeyPatch, *, fast: bool) -> None:
    if not fast:
        monkeypatch.setattr(compiled, "relaxations", lambda: None)
    assert narrow_outside(name) == 0


@pytest.mark.parametrize("name", TANGENTS)
def test_a_tangent_without_its_remainder_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "relaxations", lambda: None)
    for changed in (1 / 2, 0.0):
        arguments = {"tangent": relaxations._tangent, "changed": changed}
        monkeypatch.setattr(relaxations, "_tangent", functools.partial(_with_less, **arguments))
        assert narrow_outside(name) > 0
        monkeypatch.setattr(relaxations, "_tangent", arguments["tangent"])


def _with_less(*arguments: Any, tangent: Callable[..., Line], changed: float) -> Line:
    """The tangent with a part of what the third derivative makes of it."""
    return tangent(*arguments[:-1], changed * arguments[-1])


@pytest.mark.parametrize("name", TANGENTS)
def test_tangents_are_nearly_as_close_as_chords(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "relaxations", lambda: None)
    lower, upper = narrow_intervals(name)
    tangent = FUNCTIONS[name][1](lower, upper)
    monkeypatch.setattr(relaxations, "_tangent", lambda line, *_: line)
    chord = FUNCTIONS[name][1](lower, upper)
    assert bool((tangent.slope != chord.slope)[1:].any())
    remainder = THIRD[name] / 6 * ((upper - lower) / 2) ** 3
    assert bool((tangent.error <= chord.error + 1.05 * remainder).all())
    # A tenth more where the function bends most; a multiple where it hardly bends.
    bends = chord.error > 0.9 * chord.error.amax(dim=1, keepdim=True)
    assert bool((tangent.error <= 1.15 * chord.error)[bends].all())


@pytest.mark.parametrize("name", TANGENTS)
def test_no_third_derivative_is_larger_than_what_a_tangent_allows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "relaxations", lambda: None)
    allowed: list[float] = []
    tangent = relaxations._tangent

    def noted(*arguments: Any) -> Line:
        allowed.append(arguments[-1])
        return tangent(*arguments)

    monkeypatch.setattr(relaxations, "_tangent", noted)
    lower, upper = (ends[1:] for ends in narrow_intervals(name))
    FUNCTIONS[name][1](lower, upper)
    closest = torch.zeros_like(lower)
    for share in torch.linspace(0, 1, 21, dtype=torch.float64).tolist():
        x = (lower + share * (upper - lower)).requires_grad_()
        found = FUNCTIONS[name][0](x)
        for _ in range(3):
            (found,) = torch.autograd.grad(found.sum(), x, create_graph=True)
        closest = torch.maximum(closest, found.detach().abs() - 1e-15)
    assert 0.99 * allowed[0] < float(closest.amax()) <= allowed[0]


@pytest.mark.skipif(compiled.relaxations() is None, reason="There is no compiler.")
@pytest.mark.parametrize("name", TANGENTS)
def test_compiled_lines_are_those_of_torch_on_both_sides_of_the_width(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = narrow_intervals(name)
    fast = FUNCTIONS[name][1](*ends)
    monkeypatch.setattr(compiled, "relaxations", lambda: None)
    for array, same in zip(fast, FUNCTIONS[name][1](*ends), strict=True):
        assert torch.allclose(array, same, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("fast", [True, False], ids=["compiled", "torch"])
@pytest.mark.parametrize("name", TANGENTS)
def test_ends_that_are_no_numbers_are_no_lines(name: str, monkeypatch: pytest.MonkeyPatch, *, fast: bool) -> None:
    if not fast:
        monkeypatch.setattr(compiled, "relaxations", lambda: None)
    strange = torch.tensor([-torch.inf, 0.0, torch.inf, torch.nan], dtype=torch.float64)
    lower, upper = (array.flatten() for array in torch.meshgrid(strange, strange, indexing="ij"))
    chosen = ~(lower.isfinite() & upper.isfinite())
    assert bool(FUNCTIONS[name][1](lower[chosen], upper[chosen]).error.isnan().all())


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "gelu"])
def test_the_error_is_small_where_the_interval_is(name: str) -> None:
    ends = torch.tensor([[0.4]], dtype=torch.float64), torch.tensor([[0.41]], dtype=torch.float64)
    assert float(FUNCTIONS[name][1](*ends).error) < 2e-5


def test_relu_is_exact_on_either_side_of_zero() -> None:
    low, high = torch.tensor([[-2.0, 1.0]]).double(), torch.tensor([[-1.0, 3.0]]).double()
    line = relu(low, high)
    assert line.slope.tolist() == [[0.0, 1.0]]
    assert float(line.error.max()) < 1e-5


BETWEEN = relaxations._between


def _without_tangency(function: Any, slope: Tensor, lower: Tensor, upper: Tensor, _: Tensor) -> Line:
    return BETWEEN(function, slope, lower, upper, [])


def _halved(*arguments: Any) -> Line:
    line = BETWEEN(*arguments)
    return line._replace(error=line.error / 2)


MUTATIONS = {"no points of tangency": ("_line", _without_tangency), "half the distance": ("_between", _halved)}


@pytest.mark.parametrize(
    ("name", "mutation"),
    [
        *((name, mutation) for name in ("sigmoid", "tanh") for mutation in MUTATIONS),
        ("inverse_root", "half the distance"),
    ],
)
def test_a_changed_rule_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str, mutation: str) -> None:
    monkeypatch.setattr(compiled, "relaxations", lambda: None)
    monkeypatch.setattr(relaxations, *MUTATIONS[mutation])
    assert sum(points_outside(name, low, 3.0) for low in (-4.0, -1.5, 0.5)) > 0


def test_a_gelu_without_its_curvature_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaxations, "GELU_CURVATURE", 0.0)
    monkeypatch.setattr(relaxations, "EVALUATION", 0.0)
    assert sum(points_outside("gelu", low, 3.0) for low in (-4.0, -1.5, -0.2)) > 0
