"""Two attacks on the same stays: how much more often one of them flips."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from icudl.analysis.intervals import NORMAL_QUANTILE, wilson
from icudl.artifacts import AttackStatus
from icudl.execution.context import seed_for

_ATTACKED = (AttackStatus.SUCCESS.value, AttackStatus.FAILED.value)
FEWEST_STAYS = 10
"""Below so many stays that both attacked, no difference is told."""

_GROUPS = {"survival": (0,), "death": (1,), "either": (0, 1)}


def flip_differences(own: pl.DataFrame, first: pl.DataFrame | None, samples: int, seed: int) -> list[dict[str, Any]]:
    """Return how many stays an attack flipped, and how its share differs from that of another attack.

    The difference is over the stays that both attacked. Its interval is the estimate plus and minus 1.96 standard
    deviations over bootstrap resamples of the patients.

    Args:
        own: Stays of the attack: stay_id, patient_id, label, status, best_l0.
        first: Stays of the attack that it is compared with; None for no comparison.
        samples: Bootstrap resamples.
        seed: Of the resamples.

    Returns:
        A row for the stays that were predicted to survive, to die, and for all: predicted, attacked, flipped, share,
        low, high (Wilson's interval), median_changed (over the flipped stays), difference, difference_low,
        difference_high, both_attacked. What does not exist is None, and so is a difference over a handful of stays.
    """
    rows = []
    for predicted, labels in _GROUPS.items():
        group = _attacked(own, labels)
        flipped = int(group["flipped"].sum())
        share, low, high = (_known(value) for value in wilson(flipped, group.height))
        median = group.filter("flipped")["best_l0"].median()
        row = {
            "predicted": predicted,
            "attacked": group.height,
            "flipped": flipped,
            "share": share,
            "low": low,
            "high": high,
            "median_changed": median,
        }
        rows.append(row | _difference(group, first, labels, samples, seed))
    return rows


def _attacked(stays: pl.DataFrame, labels: tuple[int, ...]) -> pl.DataFrame:
    return stays.filter(pl.col("status").is_in(_ATTACKED), pl.col("label").is_in(labels)).with_columns(
        flipped=pl.col("status") == AttackStatus.SUCCESS.value
    )


def _difference(
    group: pl.DataFrame, first: pl.DataFrame | None, labels: tuple[int, ...], samples: int, seed: int
) -> dict[str, Any]:
    nothing = {"difference": None, "difference_low": None, "difference_high": None, "both_attacked": None}
    if first is None:
        return nothing
    other = _attacked(first, labels).select("stay_id", theirs="flipped")
    both = group.join(other, on="stay_id", how="inner", maintain_order="left")
    if both.height < FEWEST_STAYS:
        return nothing | {"both_attacked": both.height}
    gain = both["flipped"].cast(pl.Float64).to_numpy() - both["theirs"].cast(pl.Float64).to_numpy()
    _, patient = np.unique(both["patient_id"].to_numpy(), return_inverse=True)
    # Sums and numbers of stays by patient: a resample draws patients, and takes all stays of each.
    sums, sizes = np.bincount(patient, gain), np.bincount(patient).astype(float)
    rng = np.random.default_rng(seed_for(seed, "bootstrap", "flips", *map(str, labels)))
    drawn = rng.integers(0, len(sums), (samples, len(sums)))
    shares = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    estimate, half = float(gain.mean()), NORMAL_QUANTILE * float(shares.std(ddof=1))
    return {
        "difference": estimate,
        "difference_low": max(-1.0, estimate - half),
        "difference_high": min(1.0, estimate + half),
        "both_attacked": both.height,
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
