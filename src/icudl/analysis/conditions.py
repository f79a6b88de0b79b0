"""Which examples are looked at together: the direction of the flip, first or best, and the filters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.options import AnalysisOptions
from icudl.artifacts import AttackResult, AttackStatus

SURVIVAL_TO_DEATH = "survival_to_death"
DEATH_TO_SURVIVAL = "death_to_survival"
CONDITIONS = (SURVIVAL_TO_DEATH, DEATH_TO_SURVIVAL)
EXAMPLES = ("first", "best")


@dataclasses.dataclass(frozen=True, eq=False)
class ExampleSet:
    """The examples of N stays under one condition, as a sparse list of K changes sorted by stay, hour, variable.

    Attributes:
        condition: One of ``CONDITIONS``.
        example: ``"first"`` or ``"best"``.
        stays: The N rows of ``attacked_stays``, sorted by stay_id.
        row: (K,) which of the N stays each change belongs to.
        hour: (K,).
        variable: (K,) index.
        change: (K,) signed, in unit coordinates.
        clinical: (K,) signed, in the variable's unit.
        shape: (T, F).
    """

    condition: str
    example: str
    stays: pl.DataFrame
    row: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    variable: npt.NDArray[np.int64]
    change: npt.NDArray[np.float64]
    clinical: npt.NDArray[np.float64]
    shape: tuple[int, int]

    @property
    def n(self) -> int:
        """Number N of stays."""
        return self.stays.height


def attacked_stays(
    attack: AttackResult, options: AnalysisOptions, thresholds: Mapping[str, float] | None = None
) -> pl.DataFrame:
    """Return the attacked stays that are long enough, sorted by stay_id, with their ``condition``.

    The direction of an example is that of its probability. A stay that was never flipped goes by its label, or, where
    misclassified stays were attacked too, by its probability before and its member's threshold.

    Args:
        attack: Examples found.
        options: ``min_length`` is applied here.
        thresholds: Decision threshold on the probability of death by member; 0.5 where none is given.

    Returns:
        Columns of ``ATTACKED_SCHEMA`` and ``condition``.
    """
    attacked = attack.stays.filter(
        pl.col("status").is_in([AttackStatus.SUCCESS.value, AttackStatus.FAILED.value]),
        pl.col("length") >= options.min_length,
    ).sort("stay_id")
    without_example = pl.col("label") == 1
    if attack.options.get("attack_misclassified", False):
        threshold = pl.col("member").replace_strict(dict(thresholds or {}), default=0.5, return_dtype=pl.Float64)
        without_example = pl.col("probability_before") >= threshold
    falls = pl.coalesce(pl.col("best_probability"), pl.col("first_probability")) < pl.col("probability_before")
    condition = pl.when(falls.fill_null(without_example))
    return attacked.with_columns(
        condition.then(pl.lit(DEATH_TO_SURVIVAL)).otherwise(pl.lit(SURVIVAL_TO_DEATH)).alias("condition")
    )


def example_sets(attacked: pl.DataFrame, attack: AttackResult, options: AnalysisOptions) -> Iterator[ExampleSet]:
    """Yield the four example sets; N counts the stays with an example that passes ``min_changed`` and ``max_changed``.

    Args:
        attacked: What ``attacked_stays`` gave.
        attack: The same attack.
        options: Filters on the number of changed cells, applied to each example on its own.
    """
    shape = (attack.n_hours, len(attack.variables))
    most = options.max_changed or shape[0] * shape[1]
    for condition in CONDITIONS:
        for example in EXAMPLES:
            stays = attacked.filter(
                pl.col("condition") == condition, pl.col(f"{example}_l0").is_between(options.min_changed, most)
            )
            yield _example_set(condition, example, stays, attack.perturbations, shape)


def _example_set(
    condition: str, example: str, stays: pl.DataFrame, perturbations: pl.DataFrame, shape: tuple[int, int]
) -> ExampleSet:
    changes = (
        perturbations.filter(pl.col("example") == example)
        .join(stays.select("stay_id").with_row_index("row"), on="stay_id", how="inner")
        .sort("row", "hour", "variable")
        .with_columns(clinical=pl.col("after_clinical").cast(pl.Float64) - pl.col("before_clinical").cast(pl.Float64))
    )

    def column(name: str, dtype: Any) -> npt.NDArray[Any]:
        return changes[name].to_numpy().astype(dtype)

    return ExampleSet(
        condition=condition,
        example=example,
        stays=stays,
        row=column("row", np.int64),
        hour=column("hour", np.int64),
        variable=column("variable", np.int64),
        change=column("change", np.float64),
        clinical=column("clinical", np.float64),
        shape=shape,
    )
