"""Every relaxation encloses its function, and a rule that is changed is noticed."""

from __future__ import annotations

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
WIDTHS = st.floats(0, 40) | st.floats(0, 1e-4) | st.just(0.0)


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
