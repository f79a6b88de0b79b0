"""What the first screen of a report tells: which attack, on which model, and the stay that shows it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from icudl.analysis.numbers.comparison import FEWEST_ATTACKED, AttackLine, ModelLine, telling_models
from icudl.artifacts import AttackResult, AttackStatus, GridDataset

ONE_AT_A_TIME = frozenset({"sweep", "exact_value", "entry_errors"})
"""Methods that change one value of a stay, whatever the threat model would allow."""

CONTROLS = frozenset({"noise", "entry_errors"})
"""Methods that do not look for the worst change: their shares stand beside those of an attack."""

FEWEST_CHARTED = 4
"""A picture of a stay needs at least so many charted values of the changed variable, where any stay has them."""


class Question(enum.StrEnum):
    """What an attack asks; the first question that a study answers is what its report begins with."""

    ONE_VALUE = "one_value"  # can one wrong charted value flip the prediction?
    FEW_VALUES = "few_values"  # how few charted values flip it?
    ANY_CELL = "any_cell"  # can a change of the filled-in record flip it, charted or not?
    CONTROL = "control"  # what do errors do that nobody aimed?


def question_of(line: AttackLine) -> Question:
    """Return what the attack of a line asks."""
    if line.plugin in CONTROLS:
        return Question.CONTROL
    if line.threat_model == "grid":
        return Question.ANY_CELL
    return Question.ONE_VALUE if line.plugin in ONE_AT_A_TIME else Question.FEW_VALUES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Headline:
    """What a report begins with.

    Attributes:
        question: What the attack asks.
        line: The attack on the model that the report speaks of.
        beside: The same attack on the same data, on every model with enough attacked stays, the least fragile first.
        others: The first attack on the same model and data for each other question.
    """

    question: Question
    line: AttackLine
    beside: tuple[AttackLine, ...]
    others: Mapping[Question, AttackLine]


def headline(models: Sequence[ModelLine], attacks: Sequence[AttackLine], data: str) -> Headline | None:
    """Choose what to tell first; None where no attack was run on enough stays.

    Charted values come before any cell of the filled-in record, one value before several, and an attack before a
    control. Of the models that the attack was run on, the one with the best AUROC is spoken of.

    Args:
        models: Lines of the comparison of models.
        attacks: Lines of the comparison of attacks, in the order of the configuration.
        data: Name of the main data set.
    """
    usable = [
        line
        for line in attacks
        if line.data == data
        and line.flips["both"].attacked >= FEWEST_ATTACKED
        and line.flips["both"].share.value is not None
    ]
    best_first = [line.model for line in reversed(telling_models(models, data))]
    for question in Question:
        asked = [line for line in usable if question_of(line) is question]
        if not asked:
            continue
        beside = [line for line in asked if line.attack == asked[0].attack]
        line = min(
            beside, key=lambda each: best_first.index(each.model) if each.model in best_first else len(best_first)
        )
        others: dict[Question, AttackLine] = {}
        for other in usable:
            if other.model == line.model and question_of(other) is not question:
                others.setdefault(question_of(other), other)
        return Headline(
            question=question,
            line=line,
            beside=tuple(sorted(beside, key=lambda each: each.flips["both"].share.value or 0.0)),
            others=others,
        )
    return None


def telling_stay(attack: AttackResult, fragility: pl.DataFrame, grid: GridDataset) -> int | None:
    """Return the flipped stay that shows best what an attack does; None where none was flipped.

    Of the stays that the fewest changed values flip, it is the one whose risk moves most, among those where the changed
    variable was charted often enough to see its course.

    Args:
        attack: The attack.
        fragility: Table ``fragility`` of its analysis.
        grid: The data set that was attacked.
    """
    flipped = fragility.filter(pl.col("status") == AttackStatus.SUCCESS.value, pl.col("changed").is_not_null())
    if not flipped.height:
        return None
    least = flipped["changed"].min()
    moved = (pl.col("probability_after") - pl.col("probability_before")).abs()
    fewest = flipped.filter(pl.col("changed") == least).sort(moved, "stay_id", descending=[True, False])
    ids = fewest["stay_id"].to_list()
    changes = attack.ask(
        "perturbations", lambda table: table.filter(pl.col("stay_id").is_in(ids), pl.col("example") == "best")
    )
    row_of = {int(stay): row for row, stay in enumerate(grid.stay_ids)}
    for stay in ids:
        variables = changes.filter(pl.col("stay_id") == stay)["variable"].unique().to_list()
        charted = (~np.isnan(grid.values[row_of[stay]][:, variables])).sum(axis=0)
        if charted.min(initial=FEWEST_CHARTED) >= FEWEST_CHARTED:
            return int(stay)
    return int(ids[0])


def reached_by(fragility: pl.DataFrame, bounds: Sequence[int]) -> tuple[float, ...]:
    """Return the shares of the attacked stays that take at most so many changed values, more, and that none flips.

    Args:
        fragility: Table ``fragility``, with at least one row.
        bounds: Rising numbers of changed values.

    Returns:
        One share for each bound (more than the bound before, at most this one), then that of flipped stays beyond the
        last bound, then that of stays never flipped; together 1.
    """
    changed = fragility["changed"]
    shares = []
    before = 0
    for bound in bounds:
        shares.append(int(((changed > before) & (changed <= bound)).sum()))
        before = bound
    shares += [int((changed > before).sum()), int(changed.null_count())]
    return tuple(each / fragility.height for each in shares)
