"""Verdicts that errors of entry reverse, per 1,000 stays."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from icudl.analysis.numbers.models.responsiveness import SAMPLES, mean_interval
from icudl.artifacts import Probes

PER = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reversed:
    """Verdicts reversed at one rate of errors, per 1,000 stays.

    Attributes:
        level: ``"low"``, ``"usual"`` or ``"high"``.
        rate: Chance that an entry is wrong.
        stays: Stays looked at.
        expected_errors: Mean number of wrong values of a stay.
        value: Expected number of reversed verdicts.
        low: Lower bound of the 95 % interval over patients.
        high: Upper bound.
        one: Part of it that one wrong value makes: an exact sum over all errors.
        several: Part of it that two or more wrong values make: from drawn records.
        made_wrong: Part of it in which the right verdict becomes the wrong one.
        made_wrong_low: Lower bound of its interval.
        made_wrong_high: Upper bound.
        missed_deaths: Part of it in which a death is called a survival because of the errors.
    """

    level: str
    rate: float
    stays: int
    expected_errors: float
    value: float
    low: float
    high: float
    one: float
    several: float
    made_wrong: float
    made_wrong_low: float
    made_wrong_high: float
    missed_deaths: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slipped:
    """Errors of one kind, each alone in its record.

    Attributes:
        kind: Of error.
        stays: Stays to which one can happen.
        errors: Errors that would reach the model.
        caught: Errors that the cleaning would drop.
        reverses: Chance that such an error, caught ones included, reverses the verdict.
        low: Lower bound of its 95 % interval over patients.
        high: Upper bound.
    """

    kind: str
    stays: int
    errors: int
    caught: int
    reverses: float
    low: float
    high: float


def reversed_verdicts(probes: Probes) -> tuple[Reversed, ...]:
    """Return what errors of entry do at the lower end, the usual rate and the upper end."""
    table = _by_stay(probes)
    return tuple(_at(str(level), part) for (level,), part in table.group_by("level", maintain_order=True))


def reversal_difference(probes: Probes, first: Probes) -> tuple[float, float, float, int] | None:
    """Return how many more verdicts per 1,000 stays are reversed than in ``first``, at the usual rate.

    Returns:
        Difference, bounds of its 95 % interval over patients, and the number of stays that both looked at; None where
        these are none, or the rates differ.
    """
    own, other = (
        _by_stay(each).filter(level="usual").with_columns(whole=pl.col("one_reversed") + pl.col("by_several"))
        for each in (probes, first)
    )
    both = own.join(other.select("stay_id", "rate", other_whole="whole"), on=["stay_id", "rate"], how="inner")
    if not both.height:
        return None
    change = (both["whole"] - both["other_whole"]).to_numpy()
    low, high = mean_interval(change, both["patient_id"].to_numpy(), SAMPLES, np.random.default_rng(0))
    return PER * float(change.mean()), PER * low, PER * high, both.height


def _by_stay(probes: Probes) -> pl.DataFrame:
    """Return the verdicts with what is known of their stays; stays without a risk are left out."""
    several = pl.col("several") * pl.col("several_reversed") / pl.max_horizontal(pl.col("draws"), 1)
    return probes.verdicts.with_columns(by_several=several).join(
        probes.stays.filter(pl.col("probability").is_not_null()), on="stay_id", how="inner"
    )


def _at(level: str, table: pl.DataFrame) -> Reversed:
    one, several = table["one_reversed"].to_numpy(), table["by_several"].to_numpy()
    patients, whole = table["patient_id"].to_numpy(), one + several
    says_death = (table["probability"] >= table["threshold"]).to_numpy()
    died = (table["label"] == 1).to_numpy()
    wrong = whole * (says_death == died)
    bounds = [mean_interval(part, patients, SAMPLES, np.random.default_rng(0)) for part in (whole, wrong)]
    (low, high), (wrong_low, wrong_high) = bounds
    return Reversed(
        level=level,
        rate=float(table["rate"][0]),
        stays=table.height,
        expected_errors=float(table["expected_errors"].to_numpy().mean()),
        value=PER * float(whole.mean()),
        low=PER * max(low, 0.0),
        high=PER * high,
        one=PER * float(one.mean()),
        several=PER * float(several.mean()),
        made_wrong=PER * float(wrong.mean()),
        made_wrong_low=PER * max(wrong_low, 0.0),
        made_wrong_high=PER * wrong_high,
        missed_deaths=PER * float((wrong * died).mean()),
    )


def slips_by_kind(probes: Probes) -> tuple[Slipped, ...]:
    """Return how each kind of error does alone."""
    table = probes.slips.join(probes.stays.select("stay_id", "patient_id"), on="stay_id", how="inner")
    found = []
    for (kind,), part in table.group_by("kind", maintain_order=True):
        weight, reversing = part["weight"].to_numpy(), part["weight_reversing"].to_numpy()
        share = float(reversing.sum() / weight.sum())
        # The ratio of two sums, linearised: the mean of these terms is 0, and its interval that of the ratio.
        terms = (reversing - share * weight) / weight.mean()
        low, high = mean_interval(terms, part["patient_id"].to_numpy(), SAMPLES, np.random.default_rng(0))
        found.append(
            Slipped(
                kind=str(kind),
                stays=part.height,
                errors=int(part["errors"].sum()),
                caught=int(part["caught"].sum()),
                reverses=share,
                low=max(share + low, 0.0),
                high=min(share + high, 1.0),
            )
        )
    return tuple(sorted(found, key=lambda each: -each.reverses))
