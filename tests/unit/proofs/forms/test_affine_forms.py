"""Operations on affine forms: what is drawn from the operands lies in the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icudl.proofs.forms.affine import SINGLE, AffineForm
from icudl.proofs.forms.relaxations import tanh
from proof_cases import draws, members, outside, random_form

SEEDS = st.integers(0, 10_000)
SPREADS = st.sampled_from([1e-3, 0.3, 3.0])
WEIGHT = torch.randn(5, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
BIAS = torch.randn(5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

BINARY: dict[str, tuple[Callable[[AffineForm, AffineForm], AffineForm], Callable[[Tensor, Tensor], Tensor]]] = {
    "plus": (lambda a, b: a.plus(b), lambda x, y: x + y),
    "minus": (lambda a, b: a.minus(b), lambda x, y: x - y),
    "times": (lambda a, b: a.times(b), lambda x, y: x * y),
    "linear_with": (
        lambda a, b: b.linear_with(WEIGHT, BIAS, a, WEIGHT / 3, 2 * BIAS),
        lambda x, y: y @ WEIGHT.T + BIAS + x @ (WEIGHT / 3).T + 2 * BIAS,
    ),
}
HELD: dict[str, Callable[[AffineForm], AffineForm]] = {"double": lambda form: form, "single": AffineForm.single}
"""In which precision a form holds its coefficients."""
UNARY: dict[str, tuple[Callable[[AffineForm], AffineForm], Callable[[Tensor], Tensor]]] = {
    "linear": (lambda a: a.linear(WEIGHT, BIAS), lambda x: x @ WEIGHT.T + BIAS),
    "through": (lambda a: a.through(tanh(*a.bounds())), torch.tanh),
    "shared": (lambda a: a.shared(), lambda x: x),
    "single": (lambda a: a.single(), lambda x: x),
    "part": (lambda a: a.part(1, 3), lambda x: x[..., 1:3]),
}


def wrong_of_two(name: str, seed: int, spread: float, held: str = "double") -> int:
    first, second = random_form(seed, 4, spread=spread), random_form(seed + 1, 6, spread=spread)
    unknowns, own = draws(second)
    other_own = draws(first, seed=2)[1]
    form, plain = BINARY[name]
    return outside(
        form(HELD[held](first), HELD[held](second)),
        plain(members(first, unknowns, other_own), members(second, unknowns, own)),
        unknowns,
    )


def wrong_squares(seed: int, held: str = "double") -> int:
    """Of a number that depends on one unknown only, the square: the case in which the bound of products is tight."""
    form = _without_own(random_form(seed, 1, spread=3.0))
    unknowns, own = draws(form)
    kept = HELD[held](form)
    return outside(kept.times(kept), members(form, unknowns, own) ** 2, unknowns)


@pytest.mark.parametrize("held", HELD)
@given(seed=SEEDS)
@settings(deadline=None, max_examples=25)
def test_squares_are_held(held: str, seed: int) -> None:
    assert wrong_squares(seed, held) == 0


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("name", BINARY)
@given(seed=SEEDS, spread=SPREADS)
@settings(deadline=None, max_examples=25)
def test_of_two_forms_nothing_is_lost(name: str, held: str, seed: int, spread: float) -> None:
    assert wrong_of_two(name, seed, spread, held) == 0


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("name", UNARY)
@given(seed=SEEDS, spread=SPREADS)
@settings(deadline=None, max_examples=25)
def test_of_one_form_nothing_is_lost(name: str, held: str, seed: int, spread: float) -> None:
    first = random_form(seed, 5, spread=spread)
    unknowns, own = draws(first)
    form, plain = UNARY[name]
    found = form(HELD[held](first))
    assert outside(found, plain(members(first, unknowns, own)), unknowns) == 0
    # What a form says of its reach holds for the coefficients that it has.
    assert bool((found.terms.double().abs().sum(dim=1) + found.own <= found.radius).all())


@pytest.mark.parametrize("held", HELD)
@given(seed=SEEDS, spread=SPREADS)
@settings(deadline=None, max_examples=25)
def test_bounds_hold_every_member(held: str, seed: int, spread: float) -> None:
    form = random_form(seed, 5, spread=spread)
    low, high = HELD[held](form).bounds()
    vectors = members(form, *draws(form))
    assert bool(((vectors >= low) & (vectors <= high)).all())


@pytest.mark.parametrize("held", HELD)
@given(seed=SEEDS, most=st.integers(1, 12))
@settings(deadline=None, max_examples=25)
def test_fewer_unknowns_hold_more(held: str, seed: int, most: int) -> None:
    form = random_form(seed, 12)
    reduced = HELD[held](form).reduced(most)
    assert bool((reduced.terms.double().abs().sum(dim=1) + reduced.own <= reduced.radius).all())
    assert reduced.terms.shape[1] <= 1 + max(most, 3)
    unknowns, own = draws(form)
    # Of the new unknowns only the changed value's is the old one.
    assert outside(reduced.in_values_alone(), members(form, unknowns, own), unknowns[..., :1]) == 0
    assert torch.allclose(reduced.radius, form.radius, rtol=1e-9 if held == "double" else 1e-4)


@pytest.mark.parametrize("held", HELD)
@given(seed=SEEDS, spread=SPREADS)
@settings(deadline=None, max_examples=25)
def test_a_state_settles_the_errors_of_both_its_parts(held: str, seed: int, spread: float) -> None:
    memory = HELD[held](random_form(seed, 4, spread=spread))
    hidden = memory.shared().through(tanh(*memory.bounds()))
    state = AffineForm.settled(hidden, memory)
    # Unknowns of the errors as the settled form has them: those of the memory, then those of the hidden units.
    unknowns, own = draws(hidden)
    of_memory = unknowns[..., 4:]
    there = members(memory, unknowns[..., :4], of_memory)
    vectors = torch.cat([members(hidden, unknowns, own), there], dim=-1)
    # An error that is rounded up takes an unknown that is as much smaller.
    away = (vectors - members(state, torch.cat([unknowns, own], dim=-1), torch.zeros(()))).abs()
    assert bool((away <= (4 * SINGLE if held == "single" else 1e-12) * state.radius).all())
    assert bool((state.terms.double().abs().sum(dim=1) <= state.radius).all())


def test_products_in_reduced_precision_are_not_trusted() -> None:
    form = random_form(0)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert form.single().terms.dtype == torch.float64
    finally:
        torch.set_float32_matmul_precision(before)
    assert form.single().terms.dtype == torch.float32


def test_what_depends_on_the_same_number_cancels() -> None:
    form = random_form(0)
    difference = dataclasses.replace(form, own=torch.zeros_like(form.own))
    assert float(difference.minus(difference).radius.max()) < 1e-5


def _careless(form: AffineForm) -> AffineForm:
    return AffineForm(form.centre, form.terms.float(), form.own, form.freedom)


def test_coefficients_rounded_without_an_error_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    form = _without_own(random_form(3, 5, spread=3.0))
    unknowns, own = draws(form)
    vectors = members(form, unknowns, own)
    assert outside(form.single(), vectors, unknowns) == 0
    monkeypatch.setattr(AffineForm, "single", _careless)
    assert outside(form.single(), vectors, unknowns) > 0


TIMES, PLUS = AffineForm.times, AffineForm.plus
MUTATIONS: dict[str, tuple[str, Callable[[AffineForm, AffineForm], AffineForm]]] = {
    "no squares": ("times", lambda a, b: dataclasses.replace(TIMES(a, b), centre=a.centre * b.centre)),
    "no own error of a product": ("times", lambda a, b: _without_own(TIMES(a, b))),
    "no own error of a sum": ("plus", lambda a, b: _without_own(PLUS(a, b))),
}


def _without_own(form: AffineForm) -> AffineForm:
    return AffineForm(form.centre, form.terms, torch.zeros_like(form.own))


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_changed_rule_is_noticed(monkeypatch: pytest.MonkeyPatch, mutation: str) -> None:
    name, rule = MUTATIONS[mutation]
    monkeypatch.setattr(AffineForm, name, rule)
    assert sum(wrong_of_two(name, seed, 3.0) + wrong_squares(seed) for seed in range(5)) > 0
