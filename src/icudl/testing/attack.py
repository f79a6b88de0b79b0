"""The contract of attacks as checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from icudl.attacks import distances
from icudl.attacks.base import Attack, Perturbation
from icudl.testing.oracle import LinearOracle
from icudl.testing.requirement import require

AttackFactory = Callable[[], Attack]
"""Makes the attack under test, with the options it is to be tested with."""


def check_stays_in_bounds(make: AttackFactory) -> None:
    """First and best examples lie inside the bounds, on attackable cells only, and are zero on padding."""
    oracle = LinearOracle.draw(5, 7, 4, seed=11)
    oracle = dataclasses.replace(oracle, lower=(oracle.values - 0.3).clamp(min=0.0))
    found = make()(oracle, range(5))
    for change in (found.first, found.best):
        moved = oracle.values + change
        require(not change[~oracle.attackable].any(), "a locked or padded cell was changed")
        require(bool((moved >= oracle.lower).all()), "a cell lies below its lower bound")
        require(bool((moved <= oracle.upper).all()), "a cell lies above its upper bound")


def check_examples_flip(make: AttackFactory) -> None:
    """Every example reported flips the prediction, with the confidence that was asked for."""
    for kappa in (0.0, 0.05):
        oracle = LinearOracle.draw(8, 6, 3, seed=3)
        found = make()(oracle.with_confidence(kappa), range(8))
        require(bool(found.found.any()), "no stay was flipped although every one can be")
        for change, iteration in ((found.first, found.first_iteration), (found.best, found.best_iteration)):
            margin = oracle.margin(oracle.values + change)[iteration >= 0]
            # What was added to the margin and taken off again may differ in the last bit.
            require(bool((margin < -kappa + kappa * 1e-9).all()), "a reported example does not flip the prediction")
            require(not change[iteration < 0].any(), "a change is reported for a stay without an example")
        require(bool((found.first_iteration <= found.best_iteration).all()), "the best example precedes the first")


def check_flips_every_stay(make: AttackFactory) -> None:
    """Every stay of the oracle is flipped, in batches of 1, 3 and 8: for attacks that find a change if any can.

    It is not among ``ATTACK_CHECKS``: a control or a search among few changes may fail on a stay.
    """
    for n_stays in (1, 3, 8):
        oracle = LinearOracle.draw(n_stays, 6, 3, seed=n_stays)
        found = make()(oracle, range(n_stays))
        require(bool(found.found.all()), f"a stay of a batch of {n_stays} was not flipped")


def check_independent_of_batch_mates(make: AttackFactory) -> None:
    """What is found for a stay is the same alone, in company, and in any order."""
    oracle = LinearOracle.draw(6, 8, 3, seed=5)
    seeds = list(range(100, 106))
    together = make()(oracle, seeds)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    shuffled = make()(oracle.select(order), [seeds[index] for index in order.tolist()])
    _require_same(together, order, shuffled, "in another order")
    for index in range(6):
        position = torch.tensor([index])
        alone = make()(oracle.select(position), [seeds[index]])
        _require_same(together, position, alone, "alone")


def _require_same(together: Perturbation, positions: Tensor, other: Perturbation, how: str) -> None:
    for name in ("first", "best"):
        ours, theirs = getattr(together, name)[positions], getattr(other, name)
        require(torch.allclose(ours, theirs, rtol=0.0, atol=1e-8), f"the {name} example differs {how}")
    require(torch.equal(together.first_iteration[positions], other.first_iteration), f"the discovery differs {how}")


def check_repeats_itself(make: AttackFactory) -> None:
    """Two calls with the same seeds give the same examples, bit by bit."""
    oracle = LinearOracle.draw(4, 6, 3, seed=8)
    once, again = (make()(oracle, range(4)) for _ in range(2))
    for name in ("first", "best", "first_iteration", "best_iteration"):
        require(torch.equal(getattr(once, name), getattr(again, name)), f"{name} differs")
    for table, columns in once.tables.items():
        for column, values in columns.items():
            require(torch.equal(values, again.tables[table][column]), f"{table}.{column} differs")


def check_leaves_target_and_random_state(make: AttackFactory) -> None:
    """The target's tensors and the global random state are as they were."""
    oracle = LinearOracle.draw(4, 6, 3, seed=9)
    tensors = ("values", "lower", "upper", "attackable", "weights", "bias")
    before = {name: getattr(oracle, name).clone() for name in tensors}
    state = torch.get_rng_state()
    make()(oracle, range(4))
    require(torch.equal(state, torch.get_rng_state()), "the global random state was used")
    for name, value in before.items():
        require(torch.equal(value, getattr(oracle, name)), f"the target's {name} was changed")


def check_unreachable_is_no_example(make: AttackFactory) -> None:
    """Nothing is reported where no change can reach the confidence, and where no cell may change."""
    oracle = LinearOracle.draw(3, 6, 3, seed=10)
    locked = dataclasses.replace(oracle, attackable=torch.zeros_like(oracle.attackable))
    for target in (oracle.with_confidence(50.0), locked):
        found = make()(target, range(3))
        require(not bool(found.found.any()), "an example is reported that cannot exist")
        require(not found.first.any(), "a change is reported that flips nothing")
        require(not found.best.any(), "a change is reported that flips nothing")


ATTACK_CHECKS: tuple[Callable[[AttackFactory], None], ...] = (
    check_stays_in_bounds,
    check_examples_flip,
    check_independent_of_batch_mates,
    check_repeats_itself,
    check_leaves_target_and_random_state,
    check_unreachable_is_no_example,
)
"""The contract of attacks, one function a promise. Each takes a function that makes the attack, and raises
AssertionError where the attack breaks the promise."""


def excess_over_optimum(make: AttackFactory, norm: str, target: LinearOracle) -> Tensor:
    """Return the (B,) ratios of the best examples' distances to the smallest possible ones; inf where none is."""
    found = make()(target, range(len(target.values)))
    reached = getattr(distances, norm)(found.best).to(target.values.dtype)
    return torch.where(found.found, reached / target.smallest(norm), torch.full_like(reached, torch.inf))
