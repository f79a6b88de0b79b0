"""Every registered attack keeps the contract of attacks, and comes near the oracle's optimum."""

import dataclasses

import pytest
import torch

from icudl.attacks.base import Attack
from icudl.attacks.methods.greedy import GreedyAttack
from icudl.attacks.methods.proximal import ProximalAttack
from icudl.attacks.options import AttackOptions
from icudl.errors import AttackError
from icudl.plugins import load_plugin, registered
from icudl.testing import (
    ATTACK_CHECKS,
    AttackFactory,
    LinearOracle,
    check_flips_every_stay,
    excess_over_optimum,
)


def with_options(make: AttackFactory, **options: object) -> AttackFactory:
    def factory(given: AttackOptions) -> Attack:
        return make(dataclasses.replace(given, **options))

    return factory


# entry_errors works on clinical values only, which an oracle does not have: tests/unit/attacks/test_attack_entries.py
NEEDS_ENTRIES = {"entry_errors"}
# Other libraries' attacks promise less: tests/unit/interop/peers/test_interop_peers.py
OF_PEERS = {"art", "foolbox"}
NAMES = set(registered("icudl.attacks")) - NEEDS_ENTRIES - OF_PEERS
FACTORIES: dict[str, AttackFactory] = {name: load_plugin("icudl.attacks", name) for name in sorted(NAMES)}
FACTORIES |= {f"proximal-{rule}": with_options(ProximalAttack, optimizer=rule) for rule in ("ista", "fista")}
FACTORIES |= {
    f"proximal-{rule}": with_options(ProximalAttack, optimizer=rule, learning_rate=rate, lambda_1=0.003, iterations=100)
    for rule, rate in (("adam", 0.03), ("rmsprop", 0.03), ("sgd", 0.1))
}
FACTORIES |= {f"pgd-{norm}": with_options(FACTORIES["pgd"], norm=norm) for norm in ("l1", "l2")}
FACTORIES |= {f"{name}-plain": with_options(FACTORIES[name], refine=False) for name in ("proximal", "greedy")}


@pytest.mark.parametrize("check", ATTACK_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", FACTORIES)
def test_contract(name: str, check: object) -> None:
    check(FACTORIES[name])


@pytest.mark.parametrize("name", sorted(set(FACTORIES) - {"noise", "sweep"}))
def test_flips_every_stay(name: str) -> None:
    check_flips_every_stay(FACTORIES[name])


@pytest.mark.parametrize(
    ("name", "norm", "factor"),
    [
        ("greedy", "l0", 1.0),
        ("proximal", "l1", 1.05),
        ("proximal-ista", "l1", 1.05),
        ("proximal-adam", "l1", 1.5),
        ("pgd", "linf", 1.15),
        ("pgd-l2", "l2", 1.15),
        ("pgd-l1", "l1", 1.5),
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
