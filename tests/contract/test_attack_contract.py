"""Every registered attack keeps the contract of attacks, and comes near the oracle's optimum."""

import dataclasses

import pytest
import torch

from icudl.attacks.base import Attack
from icudl.attacks.greedy import GreedyAttack
from icudl.attacks.options import AttackOptions
from icudl.attacks.proximal import ProximalAttack
from icudl.errors import AttackError
from icudl.plugins import load_plugin, registered
from icudl.testing import ATTACK_CHECKS, AttackFactory, LinearOracle, excess_over_optimum


def with_options(make: AttackFactory, **options: object) -> AttackFactory:
    def factory(given: AttackOptions) -> Attack:
        return make(dataclasses.replace(given, **options))

    return factory


FACTORIES: dict[str, AttackFactory] = {name: load_plugin("icudl.attacks", name) for name in registered("icudl.attacks")}
FACTORIES |= {f"proximal-{rule}": with_options(ProximalAttack, optimizer=rule) for rule in ("ista", "fista")}
FACTORIES |= {
    f"proximal-{rule}": with_options(ProximalAttack, optimizer=rule, learning_rate=rate, lambda_1=0.003)
    for rule, rate in (("adam", 0.03), ("rmsprop", 0.03), ("sgd", 0.1))
}
FACTORIES |= {f"{name}-plain": with_options(FACTORIES[name], refine=False) for name in ("proximal", "greedy")}


@pytest.mark.parametrize("check", ATTACK_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", FACTORIES)
def test_contract(name: str, check: object) -> None:
    check(FACTORIES[name])


@pytest.mark.parametrize(
    ("name", "norm", "factor"),
    [
        ("greedy", "l0", 1.0),
        ("proximal", "l1", 1.05),
        ("proximal-ista", "l1", 1.05),
        ("proximal-adam", "l1", 1.25),
    ],
)
def test_reaches_the_optimum(name: str, norm: str, factor: float) -> None:
    ratios = torch.cat(
        [excess_over_optimum(FACTORIES[name], norm, LinearOracle.draw(8, 6, 4, seed=seed)) for seed in (1, 2)]
    )
    assert ratios.min() >= 1 - 1e-9, "smaller than the smallest possible: the measure or the oracle is wrong"
    assert ratios.max() <= factor, ratios


def test_greedy_ends_on_bounds_without_refinement() -> None:
    oracle = LinearOracle.draw(4, 6, 3, seed=1)
    found = GreedyAttack(AttackOptions(refine=False))(oracle, range(4))
    moved = (oracle.values + found.best)[found.best != 0]
    assert ((moved == 0) | (moved == 1)).all()


def test_cells_outside_their_bounds_are_an_error() -> None:
    oracle = LinearOracle.draw(2, 4, 3, seed=1)
    outside = dataclasses.replace(oracle, values=oracle.values + 1.5)
    with pytest.raises(AttackError, match="Clip the inputs"):
        GreedyAttack(AttackOptions())(outside, range(2))
