"""Every registered attack keeps the contract of attacks, and comes near the oracle's optimum."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from icudl.attacks.base import Attack, default_options, make_attack
from icudl.attacks.methods.greedy import GreedyAttack
from icudl.attacks.options import AttackOptions, GreedyOptions, ProximalOptions
from icudl.errors import AttackError, ConfigError
from icudl.plugins import load_plugin, options_of, registered
from icudl.search.space import parse_space
from icudl.testing import (
    ATTACK_CHECKS,
    AttackFactory,
    LinearOracle,
    check_flips_every_stay,
    excess_over_optimum,
)


def with_options(name: str, **options: object) -> AttackFactory:
    def factory() -> Attack:
        return make_attack(dataclasses.replace(default_options(name), **options))

    return factory


# entry_errors works on clinical values only, which an oracle does not have: tests/unit/attacks/test_attack_entries.py
NEEDS_ENTRIES = {"entry_errors"}
# Other libraries' attacks promise less: tests/unit/interop/peers/test_interop_peers.py
OF_PEERS = {"art", "foolbox"}
NAMES = set(registered("icudl.attacks")) - NEEDS_ENTRIES - OF_PEERS
FACTORIES: dict[str, AttackFactory] = {name: with_options(name) for name in sorted(NAMES)}
FACTORIES |= {f"proximal-{rule}": with_options("proximal", optimizer=rule) for rule in ("ista", "fista")}
FACTORIES |= {
    f"proximal-{rule}": with_options("proximal", optimizer=rule, learning_rate=rate, lambda_1=0.003, iterations=100)
    for rule, rate in (("adam", 0.03), ("rmsprop", 0.03), ("sgd", 0.1))
}
FACTORIES |= {f"pgd-{norm}": with_options("pgd", norm=norm) for norm in ("l1", "l2")}
FACTORIES |= {f"{name}-plain": with_options(name, refine=False) for name in ("proximal", "greedy")}


VARIANTS = {"proximal-ista", "proximal-rmsprop", "proximal-sgd", "pgd-l1"}
"""Rules and norms that differ little from others; the default suite only looks how near they come to the optimum."""


@pytest.mark.parametrize("check", ATTACK_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in VARIANTS else []) for name in FACTORIES]
)
def test_contract(name: str, check: object) -> None:
    check(FACTORIES[name])


@pytest.mark.parametrize("name", sorted(set(FACTORIES) - {"noise", "sweep", "exact_value"}))
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
    found = GreedyAttack(GreedyOptions(refine=False))(oracle, range(4))
    moved = (oracle.values + found.best)[found.best != 0]
    assert ((moved == 0) | (moved == 1)).all()


def test_cells_outside_their_bounds_are_an_error() -> None:
    oracle = LinearOracle.draw(2, 4, 3, seed=1)
    outside = dataclasses.replace(oracle, values=oracle.values + 1.5)
    with pytest.raises(AttackError, match="Clip the inputs"):
        GreedyAttack(GreedyOptions())(outside, range(2))


@pytest.mark.parametrize("name", sorted(registered("icudl.attacks")))
def test_an_attack_names_its_options_and_says_whether_it_needs_a_gradient(name: str) -> None:
    plugin, options = load_plugin("icudl.attacks", name), default_options(name)
    assert plugin.Options is options_of("icudl.attacks", name), "the configuration reads another class than the attack"
    assert options == plugin.Options(), "the options do not bear the name of the attack"
    assert isinstance(plugin.needs_gradient, bool)
    if name not in {"art", "foolbox"}:  # whose peers differ; a configuration takes all of them to need a gradient
        assert plugin.needs_gradient == options.needs_gradient
    assert parse_space("tune_attack", options.SPACE, {"attack": options})


@dataclasses.dataclass(frozen=True, eq=False)
class NoGradient:
    """The oracle as a model without a gradient: a target with all that ``TargetModel`` names and no more."""

    oracle: LinearOracle
    entries: None = None

    @property
    def values(self) -> torch.Tensor:
        return self.oracle.values

    @property
    def lower(self) -> torch.Tensor:
        return self.oracle.lower

    @property
    def upper(self) -> torch.Tensor:
        return self.oracle.upper

    @property
    def attackable(self) -> torch.Tensor:
        return self.oracle.attackable

    def margin(self, values: torch.Tensor) -> torch.Tensor:
        return self.oracle.margin(values)

    def select(self, indices: torch.Tensor) -> NoGradient:
        return NoGradient(self.oracle.select(indices))


@pytest.mark.parametrize("name", sorted(NAMES))
def test_only_attacks_that_say_so_ask_for_a_gradient(name: str) -> None:
    oracle = NoGradient(LinearOracle.draw(4, 6, 3, seed=1, reach=0.05))
    attack = FACTORIES[name]()
    if attack.Options.needs_pieces:
        with pytest.raises(AttackError, match="says where its score jumps or bends"):
            attack(oracle, range(4))
    elif attack.needs_gradient:
        with pytest.raises(AttackError, match="no gradient"):
            attack(oracle, range(4))
    else:
        assert attack(oracle, range(4)).found.any()


@pytest.mark.parametrize("options", [AttackOptions(name="greedy"), ProximalOptions(name="greedy")])
def test_options_of_another_attack_are_refused(options: AttackOptions) -> None:
    with pytest.raises(ConfigError, match=r"Expected icudl\.attacks\.options\.GreedyOptions"):
        make_attack(options)
