"""Options of the attacks. The module does not import torch, so that a configuration is read without it.

``AttackOptions`` holds what the runner reads for every attack. Each attack derives a class of its own from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from icudl.options import Options, option

NAME_DOC = "Attack plug-in: proximal, greedy, pgd, sweep, exact_value, entry_errors, noise; foolbox or art."
CHARTED_DOC = "What may change: measured (charted values only), the one threat model of this attack."
BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

KAPPA_SPACE: Mapping[str, Any] = {"attack.kappa": {"low": 0.0, "high": 2.0}}
"""The range of confidences in which a search looks, as in the original study."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackOptions(Options):
    """Attack, threat model and stays. Distances are in unit coordinates: 0 and 1 are a variable's winsor limits.

    A derived class adds the options of its attack, and its default of ``name`` is the name of the plug-in.

    Attributes:
        SPACE: Options that a search varies by default, by dotted path (``search.space.parse_space``).
        needs_gradient: Whether the attack needs a model with a gradient; a configuration is refused by it.
        needs_pieces: Whether the attack needs a model that says where its score jumps or bends; likewise.
    """

    table: ClassVar[str] = "attack"
    SPACE: ClassVar[Mapping[str, Any]] = KAPPA_SPACE
    needs_gradient: ClassVar[bool] = True
    needs_pieces: ClassVar[bool] = False

    name: str = option("proximal", NAME_DOC)
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
    batch_size: int = option(128, "Stays attacked at once; on a GPU at least 1,024.", low=1, high=65536)
    max_stays: int = option(
        0,
        "Attack at most this many stays (drawn at random, both classes in proportion); 0 attacks all.",
        low=0,
        high=1_000_000_000,
    )
    attack_misclassified: bool = option(False, "Also attack stays that the model gets wrong.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RefinedOptions(AttackOptions):
    """Options of attacks whose examples ``attacks.refinement`` makes smaller."""

    refine: bool = option(True, "Make the examples smaller after they are found.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class IterativeOptions(RefinedOptions):
    """Options of attacks that search step by step."""

    iterations: int = option(60, "Most iterations per stay.", low=1, high=100_000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProximalOptions(IterativeOptions):
    """Options of ``proximal``: many small changes, shrunk by a soft threshold."""

    SPACE: ClassVar[Mapping[str, Any]] = {
        **KAPPA_SPACE,
        "attack.lambda_1": {"low": 1e-7, "high": 1.0, "log": True},
        "attack.optimizer": {"choices": ["adam", "rmsprop", "sgd", "ista", "fista"]},
        "attack.learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
    }
    """The original's search space and two more step rules. Its batch size is left out, because here the result of an
    attack does not depend on it."""

    name: str = option("proximal", NAME_DOC)
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
    patience: int = option(
        20,
        "Iterations without a better example after which a stay that has one leaves the search; 0 never stops early.",
        low=0,
        high=100_000,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GreedyOptions(IterativeOptions):
    """Options of ``greedy``: the fewest changed cells."""

    needs_gradient: ClassVar[bool] = False
    SPACE: ClassVar[Mapping[str, Any]] = {**KAPPA_SPACE, "attack.iterations": {"low": 20, "high": 200}}

    name: str = option("greedy", NAME_DOC)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProjectedGradientOptions(IterativeOptions):
    """Options of ``pgd``: a flip inside each of a list of budgets."""

    SPACE: ClassVar[Mapping[str, Any]] = {
        **KAPPA_SPACE,
        "attack.norm": {"choices": ["l1", "l2", "linf"]},
        "attack.iterations": {"low": 20, "high": 200},
    }

    name: str = option("pgd", NAME_DOC)
    norm: str = option("linf", "Distance in which the budgets are measured.", choices=("l1", "l2", "linf"))
    budgets: tuple[float, ...] = option(BUDGETS, "Radii to try.", low=1e-6, high=1e6)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepOptions(AttackOptions):
    """Options of ``sweep``: every cell alone, over its whole range."""

    needs_gradient: ClassVar[bool] = False
    SPACE: ClassVar[Mapping[str, Any]] = {**KAPPA_SPACE, "attack.sweep_points": {"low": 3, "high": 65, "log": True}}

    name: str = option("sweep", NAME_DOC)
    sweep_points: int = option(
        9,
        "Values to try over the range of each cell; the search can miss intervals narrower than their spacing.",
        low=2,
        high=100_000,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactValueOptions(AttackOptions):
    """Options of ``exact_value``: every charted value alone, over its whole range, without a grid."""

    needs_gradient: ClassVar[bool] = False
    needs_pieces: ClassVar[bool] = True

    name: str = option("exact_value", NAME_DOC)
    threat_model: str = option("measured", CHARTED_DOC, choices=("measured",))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EntryErrorOptions(AttackOptions):
    """Options of ``entry_errors``: the mistakes that people make, which need charted values."""

    needs_gradient: ClassVar[bool] = False

    name: str = option("entry_errors", NAME_DOC)
    threat_model: str = option("measured", CHARTED_DOC, choices=("measured",))


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseOptions(GreedyOptions):
    """Options of ``noise``: random errors as large as the example that greedy finds with the same options."""

    name: str = option("noise", NAME_DOC)
    noise_draws: int = option(100, "Random errors per stay to try.", low=1, high=1_000_000)
