"""Which examples are analysed together: the direction of the flip, first or best, and the filters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import polars as pl

from icudl.analysis.options import AnalysisOptions
from icudl.artifacts import AttackResult, AttackStatus

SURVIVAL_TO_DEATH = "survival_to_death"
DEATH_TO_SURVIVAL = "death_to_survival"
CONDITIONS = (SURVIVAL_TO_DEATH, DEATH_TO_SURVIVAL)
EXAMPLES = ("first", "best")


@dataclasses.dataclass(frozen=True, eq=False)
class ExampleSet:
    """The examples of N stays under one condition; ``changes.read_changes`` reads what they change.

    Attributes:
        condition: One of ``CONDITIONS``.
        example: ``"first"`` or ``"best"``.
        stays: ``stay_id, length`` and the columns of ``attacked_stays`` for the N examples, sorted by stay_id.
        shape: (T, F).
    """

    condition: str
    example: str
    stays: pl.DataFrame
    shape: tuple[int, int]

    @property
    def n(self) -> int:
        """Number N of stays."""
        return self.stays.height


def attacked_stays(
    attack: AttackResult, options: AnalysisOptions, thresholds: Mapping[str, float] | None = None
) -> pl.DataFrame:
    """Return the attacked stays that are long enough, sorted by stay_id, with their ``condition``.

    The probabilities of an example give its direction. The direction of a stay that was never flipped follows from its
    label or, where misclassified stays were attacked too, from its probability and its member's threshold.

    Args:
        attack: The examples that the attack found.
        options: The function applies ``min_length``.
        thresholds: Decision threshold on the probability of death by member; 0.5 for a member without one.

    Returns:
        Columns of ``ATTACKED_SCHEMA`` and ``condition``.
    """
    attacked = attack.ask(
        "stays",
        lambda stays: stays.filter(
            pl.col("status").is_in([AttackStatus.SUCCESS.value, AttackStatus.FAILED.value]),
            pl.col("length") >= options.min_length,
        ).sort("stay_id"),
    )
    without_example = pl.col("label") == 1
    if attack.options.get("attack_misclassified", False):
        threshold = pl.col("member").replace_strict(dict(thresholds or {}), default=0.5, return_dtype=pl.Float64)
        without_example = pl.col("probability_before") >= threshold
    falls = pl.coalesce(pl.col("best_probability"), pl.col("first_probability")) < pl.col("probability_before")
    condition = pl.when(falls.fill_null(without_example))
    return attacked.with_columns(
        condition.then(pl.lit(DEATH_TO_SURVIVAL)).otherwise(pl.lit(SURVIVAL_TO_DEATH)).alias("condition")
    )


def example_sets(attacked: pl.DataFrame, attack: AttackResult, options: AnalysisOptions) -> list[ExampleSet]:
    """Return the four example sets; N counts the stays with an example that passes ``min_changed`` and ``max_changed``.

    Args:
        attacked: Result of ``attacked_stays``.
        attack: The same attack.
        options: Filters on the number of changed cells, applied to each example on its own.
    """
    shape = (attack.n_hours, len(attack.variables))
    most = options.max_changed or shape[0] * shape[1]
    return [
        ExampleSet(
            condition,
            example,
            attacked.lazy()
            .filter(pl.col("condition") == condition, pl.col(f"{example}_l0").is_between(options.min_changed, most))
            .select("stay_id", "length", pl.col(f"^{example}_.*$"))
            .collect(),
            shape,
        )
        for condition in CONDITIONS
        for example in EXAMPLES
    ]
