"""Numbers of the tables that single attacks add: budgets, random errors, single values at risk, entry errors."""

from __future__ import annotations

import dataclasses

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.intervals import wilson
from icudl.artifacts import AttackResult

ERRORS = ("transposition", "decimal", "unit", "neighbour", "sign", "copy_forward")
"""Kinds of entry errors, in the order of their codes in the table ``entry_flips``."""


@dataclasses.dataclass(frozen=True)
class Share:
    """A share of stays with its 95 % interval (Wilson)."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, n: int) -> Share:
        """Return hits of n; all NaN where n is 0."""
        return cls(*wilson(hits, n))


@dataclasses.dataclass(frozen=True)
class WithinBudget:
    """Stays of one condition flipped by a change within a budget."""

    condition: str
    budget: float
    flipped: int
    attacked: int
    share: Share


def within_budgets(attack: AttackResult, conditions: pl.DataFrame) -> tuple[WithinBudget, ...]:
    """Return the success of an attack that was run for each budget, by condition and rising budget.

    Args:
        attack: With the table ``budgets``.
        conditions: ``stay_id, condition`` of the attacked stays.
    """
    counted = (
        attack.curves["budgets"]
        .join(conditions, on="stay_id", how="inner")
        .group_by("condition", "budget")
        .agg(flipped=pl.col("flipped").cast(pl.Int64).sum(), attacked=pl.len().cast(pl.Int64))
        .sort("budget")
    )
    return tuple(
        WithinBudget(condition, float(budget), int(flipped), int(attacked), Share.of(int(flipped), int(attacked)))
        for wanted in CONDITIONS
        for condition, budget, flipped, attacked in counted.iter_rows()
        if condition == wanted
    )


@dataclasses.dataclass(frozen=True)
class RandomErrors:
    """Random errors as large as the adversarial changes of the same stays.

    Attributes:
        condition: Or ``"both"``.
        stays: Stays with errors drawn.
        draws: Errors drawn.
        flips: How many of them flip the prediction.
        any_flip: Share of the stays that at least one of them flips.
    """

    condition: str
    stays: int
    draws: int
    flips: int
    any_flip: Share

    @property
    def chance(self) -> float:
        """Share of the errors that flip the prediction."""
        return self.flips / self.draws


def random_errors(attack: AttackResult, conditions: pl.DataFrame) -> tuple[RandomErrors, ...]:
    """Return the noise control by condition and for both together; groups without a draw are left out.

    Args:
        attack: With the table ``noise``.
        conditions: ``stay_id, condition`` of the attacked stays.
    """
    drawn = attack.curves["noise"].join(conditions, on="stay_id", how="inner").filter(pl.col("draws") > 0)
    found = []
    for name in (*CONDITIONS, "both"):
        part = drawn if name == "both" else drawn.filter(pl.col("condition") == name)
        if part.height:
            flipped = int((part["flips"] > 0).sum())
            draws, flips = int(part["draws"].sum()), int(part["flips"].sum())
            found.append(RandomErrors(name, part.height, draws, flips, Share.of(flipped, part.height)))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class AtRisk:
    """Share of the stays of one condition with at least so many values each of which alone flips the prediction."""

    condition: str
    stays: int
    at_least: tuple[int, ...]
    shares: tuple[float, ...]


def single_values_at_risk(attack: AttackResult, conditions: pl.DataFrame) -> tuple[AtRisk, ...]:
    """Return how many stays have how many values at risk, by condition.

    Args:
        attack: With the table ``sweep``.
        conditions: ``stay_id, condition`` of the attacked stays.
    """
    swept = attack.curves["sweep"].join(conditions, on="stay_id", how="inner")
    found = []
    for condition in CONDITIONS:
        at_risk = swept.filter(pl.col("condition") == condition)["at_risk"]
        if at_risk.len():
            ends = set(at_risk.to_list())
            # The share falls right behind each of them, where a line drawn to the next one would still be falling.
            behind = {end + 1 for end in ends if end < max(ends)}
            counts = tuple(sorted({0, *ends, *behind}))
            shares = tuple(float((at_risk >= most).sum()) / at_risk.len() for most in counts)
            found.append(AtRisk(condition, at_risk.len(), counts, shares))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class EntryErrors:
    """One kind of entry error, tried on every charted value of the stays of one condition.

    Attributes:
        kind: One of ``ERRORS``.
        condition: Direction of the flip.
        stays: Stays of the condition.
        tried: Errors tried.
        caught: Errors outside the plausible range.
        flipped: Errors that flip the prediction.
        any_flip: Share of the stays that one such error can flip.
    """

    kind: str
    condition: str
    stays: int
    tried: int
    caught: int
    flipped: int
    any_flip: Share


def entry_errors(attack: AttackResult, conditions: pl.DataFrame) -> tuple[EntryErrors, ...]:
    """Return the errors by condition and kind.

    Args:
        attack: With the table ``entry_errors``.
        conditions: ``stay_id, condition`` of the attacked stays.
    """
    table = attack.curves["entry_errors"].join(conditions, on="stay_id", how="inner")
    found = []
    for condition in CONDITIONS:
        part = table.filter(pl.col("condition") == condition)
        for kind in ERRORS:
            if part.height and f"{kind}_tried" in part.columns:
                tried, caught, flipped = (int(part[f"{kind}_{what}"].sum()) for what in ("tried", "caught", "flips"))
                stays = Share.of(int((part[f"{kind}_flips"] > 0).sum()), part.height)
                found.append(EntryErrors(kind, condition, part.height, tried, caught, flipped, stays))
    return tuple(found)
