"""For authors of plug-ins: a model whose smallest adversarial change is a formula, and checks of the attack contract.

from icudl.testing import ATTACK_CHECKS
@pytest.mark.parametrize("check", ATTACK_CHECKS, ids=lambda check: check.__name__)
def test_my_attack(check):
    check(MyAttack)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from icudl.attacks import distances
from icudl.attacks.base import Attack, Perturbation
from icudl.attacks.options import AttackOptions

AttackFactory = Callable[[AttackOptions], Attack]


@dataclasses.dataclass(frozen=True, eq=False)
class LinearOracle:
    """A target whose margin is linear: margin = sum of weights x values + bias, stay by stay.

    Cell i can lower the margin by at most a_i = |w_i| r_i, r_i being the room to the bound on the side that lowers it
    (zero where the cell may not change). The margin m must fall below -kappa, so changes must gain g = m + kappa:

    * smallest L0: the fewest of the largest a_i whose sum exceeds g;
    * smallest L1: fill the cells with the largest |w_i| first, each up to r_i (a fractional knapsack);
    * smallest L2: change_i = min(t |w_i|, r_i) with the t at which the gain is g (Lagrange conditions with a box);
    * smallest Linf: change_i = min(e, r_i) with the e at which the gain is g.

    Attributes:
        values: (B, T, F).
        lower: (B, T, F).
        upper: (B, T, F).
        attackable: (B, T, F) bool.
        weights: (B, T, F) slope of each stay's margin.
        bias: (B,).
    """

    values: Tensor
    lower: Tensor
    upper: Tensor
    attackable: Tensor
    weights: Tensor
    bias: Tensor

    @classmethod
    def draw(cls, n_stays: int, n_hours: int, n_variables: int, *, seed: int, reach: float = 0.3) -> Self:
        """Draw stays, weights, lengths and masks; ``reach`` of all that the cells can gain flips a stay.

        Stays differ in length, a quarter of the cells is locked, and the dtype is float64.
        """
        rng = torch.Generator().manual_seed(seed)
        shape = (n_stays, n_hours, n_variables)

        def uniform(size: tuple[int, ...]) -> Tensor:
            return torch.rand(size, generator=rng, dtype=torch.float64)

        values = uniform(shape)
        weights = uniform(shape) ** 3 * torch.sign(uniform(shape) - 0.5)
        lengths = torch.randint(max(1, n_hours // 2), n_hours + 1, (n_stays,), generator=rng)
        inside = torch.arange(n_hours) < lengths[:, None]
        attackable = (uniform(shape) < 0.75) & inside[:, :, None]
        values = torch.where(inside[:, :, None], values, torch.zeros_like(values))
        weights = torch.where(inside[:, :, None], weights, torch.zeros_like(weights))
        lower, upper = torch.zeros_like(values), torch.ones_like(values)
        oracle = cls(values, lower, upper, attackable, weights, torch.zeros(n_stays, dtype=torch.float64))
        wanted = reach * oracle.gains().sum(dim=(1, 2))
        return dataclasses.replace(oracle, bias=wanted - oracle.margin(values))

    def margin(self, values: Tensor) -> Tensor:
        """Return the (B,) margins at ``values``."""
        return (self.weights * values).sum(dim=(1, 2)) + self.bias

    def margin_and_gradient(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margins and the weights."""
        return self.margin(values), self.weights.clone()

    def select(self, indices: Tensor) -> Self:
        """Return the oracle of the stays at ``indices``."""
        fields = {field.name: getattr(self, field.name)[indices] for field in dataclasses.fields(self)}
        return type(self)(**fields)

    def room(self) -> Tensor:
        """Return r (B, T, F): how far each cell can move in the direction that lowers the margin."""
        room = torch.where(self.weights > 0, self.values - self.lower, self.upper - self.values)
        return torch.where(self.attackable, room, torch.zeros_like(room))

    def gains(self) -> Tensor:
        """Return a = |w| r (B, T, F): what each cell can take off the margin."""
        return self.weights.abs() * self.room()

    def smallest(self, norm: str, kappa: float = 0.0) -> Tensor:
        """Return the (B,) smallest distances (``"l0"``, ``"l1"``, ``"l2"``, ``"linf"``) that flip; inf where none does.

        For L1, L2 and Linf it is the infimum: the margin there equals -kappa exactly.
        """
        goal = self.margin(self.values) + kappa
        slope, room = self.weights.abs().flatten(1), self.room().flatten(1)
        if norm == "l0":
            smallest = _fewest(slope * room, goal)
        elif norm == "l1":
            smallest = _knapsack(slope, room, goal)
        elif norm == "l2":
            smallest = distances.l2(torch.minimum(_level(slope, slope, room, goal)[:, None] * slope, room))
        elif norm == "linf":
            smallest = _level(slope, torch.ones_like(slope), room, goal)
        else:
            raise ValueError(f"norm = {norm!r} is not one of 'l0', 'l1', 'l2', 'linf'.")
        return torch.where((slope * room).sum(dim=1) > goal, smallest, torch.full_like(smallest, torch.inf))


def _fewest(gains: Tensor, goal: Tensor) -> Tensor:
    gained = gains.sort(dim=1, descending=True).values.cumsum(dim=1)
    return ((gained <= goal[:, None]).sum(dim=1) + 1).to(goal.dtype)


def _knapsack(slope: Tensor, room: Tensor, goal: Tensor) -> Tensor:
    order = slope.argsort(dim=1, descending=True)
    slope, room = slope.gather(1, order), room.gather(1, order)
    before = (slope * room).cumsum(dim=1) - slope * room
    missing = (goal[:, None] - before).clamp(min=0.0)
    return torch.minimum(room, missing / slope.clamp(min=1e-300)).sum(dim=1)


def _level(slope: Tensor, direction: Tensor, room: Tensor, goal: Tensor) -> Tensor:
    """Solve sum_i slope_i min(t direction_i, room_i) = goal for t: piecewise linear and rising in t."""
    level = (room / direction.clamp(min=1e-300)).sort(dim=1)
    slope, direction, room = (part.gather(1, level.indices) for part in (slope, direction, room))
    full = (slope * room).cumsum(dim=1)
    rate = (slope * direction).flip(1).cumsum(dim=1).flip(1)
    # Before breakpoint k (in order) cells 0..k-1 are at their bounds and the others rise at the common rate.
    filled = torch.cat([torch.zeros_like(full[:, :1]), full[:, :-1]], dim=1)
    reached = filled + level.values * rate
    index = (reached < goal[:, None]).sum(dim=1, keepdim=True).clamp(max=slope.shape[1] - 1)
    return ((goal[:, None] - filled.gather(1, index)) / rate.gather(1, index).clamp(min=1e-300)).squeeze(1)


def _require(kept: object, broken: str) -> None:
    """Raise AssertionError by hand: an assert statement vanishes under ``python -O``."""
    if not kept:
        raise AssertionError(broken)


def check_stays_in_bounds(make: AttackFactory) -> None:
    """First and best examples lie inside the bounds, on attackable cells only, and are zero on padding."""
    oracle = LinearOracle.draw(5, 7, 4, seed=11)
    oracle = dataclasses.replace(oracle, lower=(oracle.values - 0.3).clamp(min=0.0))
    found = make(AttackOptions())(oracle, range(5))
    for change in (found.first, found.best):
        moved = oracle.values + change
        _require(not change[~oracle.attackable].any(), "a locked or padded cell was changed")
        _require(bool((moved >= oracle.lower).all()), "a cell lies below its lower bound")
        _require(bool((moved <= oracle.upper).all()), "a cell lies above its upper bound")


def check_examples_flip(make: AttackFactory) -> None:
    """Every example reported flips the prediction, with the confidence that was asked for."""
    for kappa in (0.0, 0.05):
        oracle = LinearOracle.draw(8, 6, 3, seed=3)
        found = make(AttackOptions(kappa=kappa))(oracle, range(8))
        _require(bool(found.found.any()), "no stay was flipped although every one can be")
        for change, iteration in ((found.first, found.first_iteration), (found.best, found.best_iteration)):
            margin = oracle.margin(oracle.values + change)
            _require(bool((margin[iteration >= 0] < -kappa).all()), "a reported example does not flip the prediction")
            _require(not change[iteration < 0].any(), "a change is reported for a stay without an example")
        _require(bool((found.first_iteration <= found.best_iteration).all()), "the best example precedes the first")


def check_flips_every_stay(make: AttackFactory) -> None:
    """Every stay of the oracle is flipped, in batches of 1, 3 and 8: for attacks that find a change if any can.

    Not among ``ATTACK_CHECKS``: a control or a search among few changes may fail on a stay.
    """
    for n_stays in (1, 3, 8):
        oracle = LinearOracle.draw(n_stays, 6, 3, seed=n_stays)
        found = make(AttackOptions())(oracle, range(n_stays))
        _require(bool(found.found.all()), f"a stay of a batch of {n_stays} was not flipped")


def check_independent_of_batch_mates(make: AttackFactory) -> None:
    """What is found for a stay is the same alone, in company, and in any order."""
    oracle = LinearOracle.draw(6, 8, 3, seed=5)
    seeds = list(range(100, 106))
    together = make(AttackOptions())(oracle, seeds)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    shuffled = make(AttackOptions())(oracle.select(order), [seeds[index] for index in order.tolist()])
    _require_same(together, order, shuffled, "in another order")
    for index in range(6):
        position = torch.tensor([index])
        alone = make(AttackOptions())(oracle.select(position), [seeds[index]])
        _require_same(together, position, alone, "alone")


def _require_same(together: Perturbation, positions: Tensor, other: Perturbation, how: str) -> None:
    for name in ("first", "best"):
        ours, theirs = getattr(together, name)[positions], getattr(other, name)
        _require(torch.allclose(ours, theirs, rtol=0.0, atol=1e-8), f"the {name} example differs {how}")
    _require(torch.equal(together.first_iteration[positions], other.first_iteration), f"the discovery differs {how}")


def check_repeats_itself(make: AttackFactory) -> None:
    """Two calls with the same seeds give the same examples, bit by bit."""
    oracle = LinearOracle.draw(4, 6, 3, seed=8)
    once, again = (make(AttackOptions())(oracle, range(4)) for _ in range(2))
    for name in ("first", "best", "first_iteration", "best_iteration"):
        _require(torch.equal(getattr(once, name), getattr(again, name)), f"{name} differs")
    for table, columns in once.tables.items():
        for column, values in columns.items():
            _require(torch.equal(values, again.tables[table][column]), f"{table}.{column} differs")


def check_leaves_target_and_random_state(make: AttackFactory) -> None:
    """The target's tensors and the global random state are as they were."""
    oracle = LinearOracle.draw(4, 6, 3, seed=9)
    before = {field.name: getattr(oracle, field.name).clone() for field in dataclasses.fields(oracle)}
    state = torch.get_rng_state()
    make(AttackOptions())(oracle, range(4))
    _require(torch.equal(state, torch.get_rng_state()), "the global random state was used")
    for name, value in before.items():
        _require(torch.equal(value, getattr(oracle, name)), f"the target's {name} was changed")


def check_unreachable_is_no_example(make: AttackFactory) -> None:
    """Nothing is reported where no change can reach the confidence, and where no cell may change."""
    oracle = LinearOracle.draw(3, 6, 3, seed=10)
    locked = dataclasses.replace(oracle, attackable=torch.zeros_like(oracle.attackable))
    for target, kappa in ((oracle, 50.0), (locked, 0.0)):
        found = make(AttackOptions(kappa=kappa, iterations=30))(target, range(3))
        _require(not bool(found.found.any()), "an example is reported that cannot exist")
        _require(not found.first.any(), "a change is reported that flips nothing")
        _require(not found.best.any(), "a change is reported that flips nothing")


ATTACK_CHECKS: tuple[Callable[[AttackFactory], None], ...] = (
    check_stays_in_bounds,
    check_examples_flip,
    check_independent_of_batch_mates,
    check_repeats_itself,
    check_leaves_target_and_random_state,
    check_unreachable_is_no_example,
)
"""The contract of attacks, one function a promise; each raises AssertionError where the promise is broken."""


def excess_over_optimum(make: AttackFactory, norm: str, target: LinearOracle) -> Tensor:
    """Return the (B,) ratios of the best examples' distances to the smallest possible ones; inf where none is."""
    found = make(AttackOptions())(target, range(len(target.values)))
    reached = getattr(distances, norm)(found.best).to(target.values.dtype)
    return torch.where(found.found, reached / target.smallest(norm), torch.full_like(reached, torch.inf))
