"""Errors of passes alongside stays of their own: which are kept, what merging loses, how they are read backwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from icudl.proofs.forms import compiled
from icudl.proofs.forms.alongside import apart, hours
from icudl.proofs.forms.alongside.apart import Fleet, changed_stays, travel_apart
from icudl.proofs.forms.alongside.hours import LstmHour, Unchanged, hour_at
from icudl.proofs.forms.alongside.travel import Asked, Inputs
from icudl.proofs.forms.cells import Cell, GruCell, LstmCell, make_cell

HAS_COMPILER = compiled.relaxations() is not None
WAYS = [pytest.param(True, marks=pytest.mark.skipif(not HAS_COMPILER, reason="There is no compiler.")), False]
CELLS: dict[str, type[nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU}
COLUMNS, UNITS, PLACES, READ = 2, 3, 9, 6
STARTS = torch.tensor([0, 4, PLACES, 0, 8, 2, 5])


@pytest.fixture(params=WAYS, ids=lambda found: "compiled" if found else "torch")
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        for module in (compiled, hours, apart):
            monkeypatch.setattr(module, "relaxations", lambda: None)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(kind: str, *, scale: float = 2.5) -> LstmCell | GruCell:
    torch.manual_seed(0)
    rnn = CELLS[kind](COLUMNS, UNITS)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.mul_(scale)
    cell = make_cell(rnn, 0, reverse=False)
    assert isinstance(cell, LstmCell | GruCell)
    return cell


def jacobian(cell: Cell, inputs: Tensor, state: Tensor) -> Tensor:
    """How the (S,) state before an hour moves the one after it: (S, S)."""
    return torch.autograd.functional.jacobian(lambda now: cell.after(inputs[None], now[None])[0], state)


def effect(kind: str, cell: LstmCell | GruCell, inputs: Tensor, state: Tensor) -> Tensor:
    """How errors that an hour makes move the (S,) state after it: (S, S)."""
    found = torch.eye(len(state), dtype=torch.float64)
    if kind == "lstm":
        raw = cell.raw(inputs[None], state[None, :UNITS]).sum(dim=0)[0]
        leave, memory = torch.sigmoid(raw[3 * UNITS :]), cell.after(inputs[None], state[None])[0, UNITS:]
        found[:UNITS, UNITS:] = torch.diag(leave * (1 - torch.tanh(memory) ** 2))
    return found


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("kind", CELLS)
def test_an_hour_backwards_is_the_transpose_of_the_hour(kind: str) -> None:
    cell = make(kind)
    total = cell.state_size
    inputs, before, after = drawn(4, COLUMNS, seed=1), drawn(4, total, seed=2), drawn(4, 5, total, seed=3)
    hour, nothing = hour_at(cell, inputs, before), torch.zeros(4, total).double()
    begun, onward, lost = hour.back(after, nothing, nothing)
    assert not bool(lost.any())
    # More errors than are carried side by side, and a few behind them.
    carried, errors = drawn(4, total, 37, seed=4).float(), drawn(4, 37, seed=5).abs().float()
    forward = torch.empty(4, total, 40)[:, :, :37]
    noise = hour.carry_apart(carried, errors, forward)
    for each in range(4):
        truth = jacobian(cell, inputs[each], before[each])
        assert torch.allclose(forward[each].double(), truth @ carried[each].double(), atol=1e-5)
        assert torch.allclose(onward[each], after[each] @ truth, atol=1e-12)
        units = carried[each, :UNITS].double()
        seen = [units, cell.weights.hidden @ units, *([forward[each, UNITS:].double()] if kind == "lstm" else [])]
        sums = torch.cat(seen).abs() @ errors[each].double()
        assert torch.allclose(noise[each, : len(sums)].double(), sums, rtol=1e-5)
        made = effect(kind, cell, inputs[each], before[each])
        assert torch.allclose(begun[each], after[each] @ made, atol=1e-12)
        assert torch.allclose(hour.beginnings()[each].double() if kind == "lstm" else made, made, atol=1e-6)


def test_what_rounding_loses_where_two_ways_cancel_is_allowed_for() -> None:
    """A number that an hour's memory moves in two ways, which nearly cancel."""
    cell, one = make("lstm"), slice(0, 1)
    hour = hour_at(cell, drawn(1, COLUMNS), drawn(1, 2 * UNITS, seed=5))
    assert isinstance(hour, LstmHour)
    # Of the hidden units before the hour, nothing reaches the gate that lets out.
    hour.weights.hidden[3 * UNITS :] = 0
    after, nothing = torch.zeros(1, 1, 2 * UNITS).double(), torch.zeros(1, 2 * UNITS).double()
    after[..., 0] = 1.0
    leave, curve = hour.gates[0, 3 * UNITS], hour.curve[0, 0]
    after[..., UNITS] = -(leave * curve)
    exact = abs(Fraction(float(leave)) * Fraction(float(curve)) + Fraction(float(after[0, 0, UNITS])))
    assert exact > 0
    noise = nothing.clone()
    noise[0, UNITS] = 1.0
    begun, onward, lost = hour.back(after, noise, nothing)
    assert float(onward[0, 0, UNITS]) == float(begun[0, 0, UNITS]) == 0.0
    assert Fraction(float(lost[0, 0])) >= exact * Fraction(float(hour.gates[0, UNITS]))
    # The same for an error of the memory, and for the gates that let the hidden units in.
    assert Fraction(float(hour.back(after, nothing, noise)[2][0, 0])) >= exact
    noise = nothing.clone()
    noise[0, one] = 1.0
    through = sum(
        abs(Fraction(float(hour.factor[0, gate * UNITS])) * Fraction(float(cell_weight)))
        for gate, cell_weight in enumerate(hour.weights.hidden[: 3 * UNITS : UNITS, 0])
    )
    assert Fraction(float(hour.back(after, noise, nothing)[2][0, 0])) >= exact * through


def _kept(carried: Tensor, errors: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    # The state's rows lie apart, as in a fleet.
    after = torch.full((len(carried), carried.shape[1], count + 3), torch.nan)[:, :, 2 : 2 + count]
    sums, sizes = apart._largest(carried, errors, after)
    return after, sums, sizes


def rows_of(carried: Tensor, errors: Tensor) -> list[tuple[float, ...]]:
    """Errors of one pass with all that they do, in an order of their own."""
    return sorted(map(tuple, torch.cat([carried, errors[None]]).T.tolist()))


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize(("known", "count"), [(5, 2), (16, 3), (33, 16), (47, 31), (64, 1), (40, 40), (7, 0)])
@pytest.mark.parametrize("values", ["any", "ties", "zeros"])
def test_the_largest_errors_are_kept_and_no_other_is_lost(known: int, count: int, values: str) -> None:
    generator = torch.Generator().manual_seed(known)
    room = torch.randn(3, 4, known + 5, generator=generator)
    errors = torch.rand(3, known, generator=generator) ** 4
    if values == "ties":
        room, errors = room.sign(), (errors > 0.3).float()
    if values == "zeros":
        room, errors = torch.zeros_like(room), errors * (errors > 0.5)
    carried = room[:, :, :known]
    after, sums, sizes = _kept(carried, errors, count)
    # Of each error either what it does is kept, or its size is in the sum: together they are the largest noise.
    whole = (carried.abs().double() @ errors.double()[:, :, None])[..., 0]
    parts = (after.abs().double() @ sizes.double()[:, :, None])[..., 0] + sums.double()
    assert torch.allclose(parts, whole, rtol=1e-5, atol=0)
    for each in range(3):
        rows, every = rows_of(after[each], sizes[each]), rows_of(carried[each], errors[each])
        for row in rows:
            every.remove(row)
        weight = [sum(map(abs, row[:-1])) * row[-1] for row in rows]
        assert (
            min(weight, default=torch.inf)
            >= max((sum(map(abs, row[:-1])) * row[-1] for row in every), default=0.0) - 1e-6
        )


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("strange", [torch.nan, torch.inf])
@pytest.mark.parametrize("count", [1, 4])
def test_errors_that_are_no_numbers_stay_so(strange: float, count: int) -> None:
    carried, errors = drawn(1, 3, 21).float(), torch.rand(1, 21, generator=torch.Generator().manual_seed(1))
    errors[0, [2, 17, 20]] = strange
    after, sums, sizes = _kept(carried, errors, count)
    assert int((~sizes.isfinite()).sum()) == min(count, 3)
    assert bool(sums.isfinite().all()) is (count >= 3)
    assert bool(after.isfinite().all())


@pytest.mark.skipif(not HAS_COMPILER, reason="There is no compiler.")
def test_compiled_and_torch_keep_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    carried = drawn(2, 6, 50).float()
    errors = torch.rand(2, 50, generator=torch.Generator().manual_seed(1))
    fast = _kept(carried, errors, 11)
    monkeypatch.setattr(apart, "relaxations", lambda: None)
    slow = _kept(carried, errors, 11)
    assert torch.allclose(fast[1], slow[1], rtol=1e-5)
    for each in range(2):
        assert rows_of(fast[0][each], fast[2][each]) == rows_of(slow[0][each], slow[2][each])


@dataclasses.dataclass
class Case:
    """Passes of several first places, and what is asked of their last places."""

    cell: LstmCell | GruCell
    stay: Unchanged
    inputs: Inputs
    asked: Asked

    def carried(self, rough: int = 0) -> Fleet:
        """The passes at their ends."""
        fleet = Fleet.of(self.cell, changed_stays(self.cell, self.stay, self.inputs), self.inputs, self.asked, rough)
        fleet.travel()
        return fleet


def case(kind: str, half: float = 0.1) -> Case:
    cell, count = make(kind), len(STARTS)
    features, states = drawn(PLACES, COLUMNS, seed=7), []
    state = torch.zeros(1, cell.state_size).double()
    for inputs in features:
        state = cell.after(inputs[None], state)
        states.append(state[0])
    stay = Unchanged(features, torch.stack(states), 1e-3 * drawn(PLACES, cell.state_size, seed=8).abs())
    slope = half * drawn(count, PLACES, COLUMNS, seed=9) * (torch.arange(PLACES) >= STARTS[:, None])[..., None]
    inputs = Inputs(features + 3 * slope, slope, torch.zeros_like(slope), STARTS)
    order = torch.argsort(STARTS, stable=True)
    asked = Asked(drawn(count, READ, 2, UNITS, seed=10), drawn(count, READ, 4, UNITS, seed=11))
    return Case(cell, stay, Inputs(*(array[order] for array in inputs)), asked)


def added_up_forwards(kind: str, given: Case, fleet: Fleet) -> Tensor:
    """The noise of the sums, each error carried to every later place: (B, r), in float64."""
    (count, places, total), inputs = fleet.stays.state.shape, given.inputs
    found = torch.zeros(count, given.asked.summed.shape[2]).double()
    for each, start in enumerate(inputs.start.tolist()):
        # Of each error what it has done to the sums, and what it does to the state.
        sums, done, sizes = (
            torch.zeros(len(found[0]), 0).double(),
            torch.zeros(total, 0).double(),
            torch.zeros(0).double(),
        )
        for place in range(places):
            if place < start:
                if place >= places - READ:
                    own = given.asked.summed[each, place - (places - READ)].abs() @ given.stay.own[place, :UNITS]
                    found[each] += own
                continue
            before = fleet.stays.state[each, place - 1] if place else torch.zeros(total).double()
            if place == start and place:
                done, sizes = torch.eye(total).double(), given.stay.own[place - 1]
                sums = torch.zeros(len(sums), total).double()
            onward = jacobian(given.cell, inputs.centre[each, place], before)
            made = effect(kind, given.cell, inputs.centre[each, place], before)
            passed = fleet.passed[place - start]
            done = torch.cat([onward @ done, made], dim=1)
            sizes = torch.cat([sizes, passed.errors[each].double()])
            sums = torch.cat([sums, torch.zeros(len(sums), total).double()], dim=1)
            if place >= places - READ:
                sums += given.asked.summed[each, place - (places - READ)] @ done[:UNITS]
        found[each] += sums.abs() @ sizes
    return found


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("kind", CELLS)
def test_sums_read_backwards_are_those_of_all_errors_carried_forwards(kind: str) -> None:
    given = case(kind)
    fleet = given.carried()
    found, expected = fleet.arrived.summed, added_up_forwards(kind, given, fleet)
    assert bool((found >= expected).all())
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("kind", CELLS)
def test_sums_read_backwards_are_no_larger_than_those_of_each_hour(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = case(kind)
    merged = given.carried().arrived
    monkeypatch.setattr(apart, "MOST", PLACES + 1)
    whole, rough = given.carried().arrived, given.carried(rough=4).arrived
    started = given.inputs.start < PLACES
    assert bool((whole.summed <= rough.summed * (1 + 1e-9) + 1e-20).all())
    assert float((whole.summed / rough.summed)[started].min()) < 0.8
    # What merging loses reaches the sums through later errors alone, which are no smaller.
    monkeypatch.setattr(apart, "MOST", 2)
    monkeypatch.setattr(apart, "KEPT", 0)
    boxes = given.carried().arrived
    for more, less in ((boxes, merged), (merged, whole)):
        for name in ("noise", "each", "summed"):
            assert bool((getattr(more, name) >= getattr(less, name) * (1 - 1e-5)).all())
    assert float((boxes.noise - whole.noise).max()) > 0


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(("most", "kept"), [(10, 3), (3, 2), (1, 0)])
def test_no_pass_leaves_what_has_arrived(kind: str, most: int, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "MOST", most)
    monkeypatch.setattr(apart, "KEPT", kept)
    monkeypatch.setattr(apart, "AT_ONCE", 3)
    for half in (1e-4, 0.3):
        assert outside(case(kind, half)) == 0


def outside(given: Case, points: int = 9) -> int:
    """At how many points one of the numbers asked lies outside of what arrives."""
    wrong, inputs = 0, given.inputs
    arrived = travel_apart(given.cell, changed_stays(given.cell, given.stay, inputs), inputs, given.asked, 2)
    generator = torch.Generator().manual_seed(3)
    for e in torch.linspace(-1, 1, points).tolist():
        state = torch.zeros(len(STARTS), given.cell.state_size).double()
        sums = torch.zeros_like(arrived.summed)
        for place in range(PLACES):
            state = given.cell.after(inputs.centre[:, place] + e * inputs.slope[:, place], state)
            # Before its first place, a pass knows of the state that it is near the unchanged one.
            ends = torch.rand(state.shape, generator=generator, dtype=torch.float64).round() * 2 - 1
            before = (inputs.start > place)[:, None]
            state = torch.where(before, given.stay.state[place] + ends * given.stay.own[place], state)
            number = place - (PLACES - READ)
            if number < 0:
                continue
            away = state[:, :UNITS] - arrived.middle[:, number] - e * arrived.moves[:, number]
            wrong += int((away.abs() > arrived.noise[:, number] + 1e-13).sum())
            numbers = (given.asked.each[:, number] @ away[:, :, None])[..., 0]
            wrong += int((numbers.abs() > arrived.each[:, number] + 1e-13).sum())
            sums += (given.asked.summed[:, number] @ away[:, :, None])[..., 0]
        wrong += int((sums.abs() > arrived.summed + 1e-13).sum())
    return wrong


BACK: dict[str, Callable[..., Any]] = {kind.__name__: kind.back for kind in (hours.LstmHour, hours.GruHour)}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("changed", ["errors of the hour", "hours before"])
def test_a_changed_way_back_is_noticed(kind: str, changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = {"lstm": hours.LstmHour, "gru": hours.GruHour}[kind]

    def back(hour: Any, *arrays: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        begun, onward, lost = BACK[cls.__name__](hour, *arrays)
        return (0 * begun, onward, lost) if changed == "errors of the hour" else (begun, 0 * onward, lost)

    monkeypatch.setattr(cls, "back", back)
    # What the hours before do is plain where most errors are those of the state at the first place.
    assert outside(case(kind, 0.5 if changed == "errors of the hour" else 1e-6)) > 0
