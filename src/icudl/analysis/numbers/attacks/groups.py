"""For whom predictions are fragile: shares flipped within groups of patients, and by the risk that the model gave."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.numbers.attacks.single_attacks import Share
from icudl.training.scores.evaluation import subgroups

SMALLEST_GROUP = 10
"""Groups with fewer stays are not told: they say nothing, and could point at single patients."""

RISK_GROUPS = 10

UNKNOWN = Share(float("nan"), float("nan"), float("nan"))


@dataclasses.dataclass(frozen=True)
class FlippedShare:
    """How many of a group of attacked stays are flipped.

    Attributes:
        stays: Attacked stays of the group.
        few: Share flipped by few changed values (``few_changes``); NaN where the group is too small.
        all: Share flipped by any number of changes; NaN where the group is too small.
        median: Median number of changed values of those flipped; None where none is, or where the group is too small.
        risk: Mean predicted risk before the change; None for an empty group.
    """

    stays: int
    few: Share
    all: Share
    median: float | None
    risk: float | None


def few_changes(fragility: pl.DataFrame) -> int:
    """Return what counts as few changed values: the median of the flipped stays, at least 1."""
    changed = fragility["changed"].drop_nulls()
    return int(changed.median() or 1) if changed.len() else 1  # type: ignore[arg-type]


def flipped_by_group(fragility: pl.DataFrame, stays: pl.DataFrame) -> Mapping[str, Mapping[str, FlippedShare]]:
    """Return, by group of patients and condition, how many attacked stays are flipped.

    Args:
        fragility: Table ``fragility``.
        stays: The stays of the data set (``STAYS_SCHEMA``).
    """
    few = few_changes(fragility)
    described = fragility.join(stays, on="stay_id", how="inner", maintain_order="left")
    found = {}
    for name, mask in subgroups(described).items():
        if mask.sum() >= SMALLEST_GROUP:
            group = described.filter(pl.Series(mask))
            found[name] = {
                condition: _flipped(group.filter(pl.col("condition") == condition), few) for condition in CONDITIONS
            }
    return found


def flipped_by_risk(fragility: pl.DataFrame) -> Mapping[str, tuple[FlippedShare, ...]]:
    """Return, by condition, how many are flipped in groups of equal size, sorted by the risk before the change."""
    few = few_changes(fragility)
    found = {}
    for condition in CONDITIONS:
        stays = fragility.filter(pl.col("condition") == condition).sort("probability_before", "stay_id")
        groups = min(RISK_GROUPS, stays.height // SMALLEST_GROUP)
        bounds = np.linspace(0, stays.height, groups + 1).round().astype(int)
        found[condition] = tuple(
            _flipped(stays.slice(int(start), int(end - start)), few) for start, end in pairwise(bounds)
        )
    return found


def _flipped(stays: pl.DataFrame, few: int) -> FlippedShare:
    changed = stays["changed"].drop_nulls()
    large = stays.height >= SMALLEST_GROUP
    median, risk = changed.median(), stays["probability_before"].mean()
    return FlippedShare(
        stays=stays.height,
        few=Share.of(int((changed <= few).sum()), stays.height) if large else UNKNOWN,
        all=Share.of(changed.len(), stays.height) if large else UNKNOWN,
        median=median if large and isinstance(median, float) else None,
        risk=risk if isinstance(risk, float) else None,
    )
