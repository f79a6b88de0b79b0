"""How large the changes of each variable are, in its own unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.artifacts import AttackResult
from icudl.variables import Variable


@dataclasses.dataclass(frozen=True)
class SizeOfChanges:
    """Changes of one variable in the best examples of one direction of the flip.

    Attributes:
        variable: Which.
        condition: Direction of the flip.
        stays: Stays with a change of the variable.
        values: Values changed.
        median: Median size, in the variable's unit.
        high: 90th percentile of the sizes.
        upwards: Share of the changes that are increases.
    """

    variable: Variable
    condition: str
    stays: int
    values: int
    median: float
    high: float
    upwards: float


def one_example(attack: AttackResult) -> bool:
    """Whether the first example of every stay is its best one, so that telling both would tell one thing twice."""
    change = ("stay_id", "hour", "variable", "after_clinical")
    alone = attack.ask(
        "perturbations",
        lambda changes: changes.group_by(change).agg(examples=pl.len()).filter(pl.col("examples") != 2).limit(1),
    )
    return alone.is_empty()


def sizes_of_changes(attack: AttackResult, conditions: pl.DataFrame) -> tuple[SizeOfChanges, ...]:
    """Describe the changes by condition and variable; of a large attack, those of one variable are held at a time.

    Args:
        attack: The attack.
        conditions: ``stay_id, condition`` of the attacked stays.
    """
    found = [each for place in range(len(attack.variables)) for each in _sizes_of(attack, place, conditions)]
    return tuple(each for condition in CONDITIONS for each in found if each.condition == condition)


def _sizes_of(attack: AttackResult, variable: int, conditions: pl.DataFrame) -> Iterator[SizeOfChanges]:
    size = (pl.col("after_clinical") - pl.col("before_clinical")).abs().cast(pl.Float64)
    described = attack.ask(
        "perturbations",
        lambda changes: (
            changes.filter(pl.col("example") == "best", pl.col("variable") == variable)
            .join(conditions.lazy(), on="stay_id", how="inner")
            .group_by("condition")
            .agg(
                stays=pl.col("stay_id").n_unique(),
                values=pl.len(),
                median=size.median(),
                high=size.quantile(0.9),
                upwards=(pl.col("change") > 0).mean(),
            )
        ),
    )
    for line in described.iter_rows(named=True):
        yield SizeOfChanges(variable=attack.variables[variable], **line)
