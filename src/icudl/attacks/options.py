"""Options of the attack stage. Free of torch: the configuration schema imports this module at start-up."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackOptions(Options):
    """Attack, threat model and stays. Distances are in unit coordinates: 0 and 1 are a variable's winsor limits."""

    table: ClassVar[str] = "attack"

    name: str = option("proximal", "Attack plug-in: proximal, greedy, pgd, sweep, entry_errors, noise; foolbox or art.")
    threat_model: str = option(
        "grid",
        "What may change: grid (any cell of the imputed matrix) or measured (charted values only, one wrong entry an "
        "hour, within the plausible range of the variable; the change flows through imputation).",
        choices=("grid", "measured"),
    )
    variables: tuple[str, ...] = option((), "Names of the variables that may change; empty: all of them.")
    split: str = option(
        "both",
        "Stays to attack: test, out-of-fold, or both. Each is attacked through a model that was not fitted on it.",
        choices=("both", "test", "out-of-fold"),
    )
    kappa: float = option(
        0.0, "Confidence: the margin in logits by which the other class must win.", low=0.0, high=50.0
    )
    lambda_1: float = option(
        0.05,
        "Weight of the L1 penalty: the soft threshold of a full step. fista adapts it to each stay from this start.",
        low=0.0,
        high=10.0,
    )
    optimizer: str = option(
        "fista",
        "Step rule: ista and fista normalise each stay's gradient; adam, rmsprop and sgd are the original's.",
        choices=("ista", "fista", "adam", "rmsprop", "sgd"),
    )
    learning_rate: float = option(0.2, "Length of a step.", low=1e-6, high=10.0)
    iterations: int = option(60, "Most iterations per stay.", low=1, high=100_000)
    patience: int = option(
        20,
        "Iterations without a better example after which a stay that has one leaves the search; 0 never stops early.",
        low=0,
        high=100_000,
    )
    norm: str = option("linf", "Distance of pgd's budgets.", choices=("l1", "l2", "linf"))
    budgets: tuple[float, ...] = option(
        (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0), "Radii that pgd tries.", low=1e-6, high=1e6
    )
    noise_draws: int = option(100, "Random errors per stay that the noise control tries.", low=1, high=1_000_000)
    sweep_points: int = option(
        9,
        "Values that sweep tries over the range of each cell; intervals narrower than their spacing go unseen.",
        low=2,
        high=100_000,
    )
    peer: str = option("", "For foolbox and art: class of the library's attack, such as L0FMNAttack or ElasticNet.")
    peer_arguments: Mapping[str, Any] = option({}, "For foolbox and art: arguments of that class by name.")
    batch_size: int = option(128, "Stays attacked at once.", low=1, high=65536)
    refine: bool = option(True, "Prune, polish and shrink the examples found.")
    max_stays: int = option(
        0,
        "Attack at most so many stays (drawn at random, both classes in their proportion); 0 attacks all.",
        low=0,
        high=1_000_000_000,
    )
    attack_misclassified: bool = option(False, "Attack stays that the model gets wrong, too.")
