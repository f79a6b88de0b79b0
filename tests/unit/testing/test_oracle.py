"""The oracle's formulae against brute force and against general-purpose solvers."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from icudl.testing import LinearOracle


def one_stay(seed: int) -> tuple[LinearOracle, np.ndarray, np.ndarray, float]:
    oracle = LinearOracle.draw(1, 3, 3, seed=seed)
    slope = oracle.weights.abs().flatten().numpy()
    return oracle, slope, oracle.room().flatten().numpy(), float(oracle.margin(oracle.values))


def test_drawn_stays_are_correct_and_can_be_flipped() -> None:
    oracle = LinearOracle.draw(20, 6, 4, seed=0)
    assert (oracle.margin(oracle.values) > 0).all()
    for norm in ("l0", "l1", "l2", "linf"):
        assert torch.isfinite(oracle.smallest(norm)).all()
        assert torch.isinf(oracle.with_confidence(1e3).smallest(norm)).all()


def test_worked_by_hand() -> None:
    # margin = 3 a - 1 b + 2 c + 0.5 with a = .5, b = .2, c = .1: margin 2.0
    # room towards a lower margin: a .5 (gain 1.5), b .8 (gain .8), c .1 (gain .2)
    def row(*cells: float) -> torch.Tensor:
        return torch.tensor([[list(cells)]], dtype=torch.float64)

    oracle = LinearOracle(
        values=row(0.5, 0.2, 0.1),
        lower=row(0, 0, 0),
        upper=row(1, 1, 1),
        attackable=torch.ones(1, 1, 3, dtype=torch.bool),
        weights=row(3, -1, 2),
        bias=torch.tensor([0.5], dtype=torch.float64),
    )
    assert oracle.margin(oracle.values).item() == pytest.approx(2.0)
    assert oracle.smallest("l0").item() == 2  # a and b: 2.3 > 2
    assert oracle.smallest("l1").item() == pytest.approx(0.5 + 0.1 + 0.3)  # a, then c, then .3 of b
    assert oracle.smallest("linf").item() == pytest.approx(0.45)  # 3 x .45 + .45 + 2 x .1 (c is at its bound)
    assert oracle.smallest("l2").item() == pytest.approx(np.sqrt(0.5**2 + 0.3**2 + 0.1**2))
    confident = oracle.with_confidence(0.4)
    assert confident.margin(confident.values).item() == pytest.approx(2.4)
    assert confident.smallest("l0").item() == 3  # a, b and c: 2.5 > 2.4
    assert confident.smallest("l1").item() == pytest.approx(0.5 + 0.1 + 0.7)


@pytest.mark.parametrize("seed", range(8))
def test_l0_against_all_subsets(seed: int) -> None:
    oracle, slope, room, margin = one_stay(seed)
    gains = slope * room
    best = min(
        len(subset)
        for size in range(1, 10)
        for subset in itertools.combinations(range(9), size)
        if gains[list(subset)].sum() > margin
    )
    assert oracle.smallest("l0").item() == best


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_l1_and_linf_against_linear_programming(seed: int) -> None:
    oracle, slope, room, margin = one_stay(seed)
    # A stay on the boundary with no room to move is not flipped, but linear programming has no strict inequality.
    assume(margin > 0)
    sparse = linprog(np.ones(9), A_ub=[-slope], b_ub=[-margin], bounds=list(zip(np.zeros(9), room, strict=True)))
    assert oracle.smallest("l1").item() == pytest.approx(sparse.fun, abs=1e-7)
    # variables: nine changes and their common bound e
    rows = np.vstack([np.append(-slope, 0.0), np.hstack([np.eye(9), -np.ones((9, 1))])])
    flat = linprog(
        np.append(np.zeros(9), 1.0),
        A_ub=rows,
        b_ub=np.append(-margin, np.zeros(9)),
        bounds=[*zip(np.zeros(9), room, strict=True), (0, None)],
    )
    assert oracle.smallest("linf").item() == pytest.approx(flat.fun, abs=1e-7)


@pytest.mark.parametrize("seed", range(6))
def test_l2_against_quadratic_programming(seed: int) -> None:
    oracle, slope, room, margin = one_stay(seed)
    solved = minimize(
        lambda change: change @ change,
        room * 0.5,
        jac=lambda change: 2 * change,
        bounds=list(zip(np.zeros(9), room, strict=True)),
        constraints={"type": "ineq", "fun": lambda change: slope @ change - margin, "jac": lambda _: slope},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert oracle.smallest("l2").item() == pytest.approx(np.sqrt(solved.fun), rel=1e-4)


def test_locked_and_padded_cells_do_not_count() -> None:
    oracle = LinearOracle.draw(4, 8, 3, seed=2)
    assert not oracle.room()[~oracle.attackable].any()
