"""Numbers of probes, against hand-made risks."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from icudl.analysis.numbers.attacks.verdicts import reversal_difference, reversed_verdicts, slips_by_kind
from icudl.analysis.numbers.models.responsiveness import FEWEST_STAYS, mean_interval, responsiveness
from icudl.artifacts import Probes
from icudl.artifacts.models.probes import PROBED_SCHEMA, RESPONSES_SCHEMA, SLIPS_SCHEMA, VERDICTS_SCHEMA
from icudl.variables import select

N = 40
RISKS = {"lactate_rises": (0.1, 0.3, 0.6), "ph_falls": (0.2, 0.2, 0.2), "sodium_falls": (0.4, 0.3, 0.2)}


def made(n: int = N) -> Probes:
    """Stays that follow lactate, are blind to pH and contradict sodium; each is a patient of its own."""
    stays = pl.DataFrame(
        {
            "stay_id": np.arange(n),
            "patient_id": np.arange(n),
            "label": np.arange(n) % 2,
            "member": ["final"] * n,
            "split": ["test"] * n,
            "probability": np.where(np.arange(n) < n // 2, 0.1, 0.9),
            "threshold": [0.5] * n,
        },
        schema=dict(PROBED_SCHEMA),
    )
    responses = [
        (stay, name, course, level, risk)
        for stay in range(n)
        for name, risks in RISKS.items()
        for course in ("held", "worsening")
        for level, risk in zip((0.0, 0.5, 1.0), risks, strict=True)
    ]
    verdicts = [
        (stay, level, rate, 2.0, 0.2, 0.1, 0.4, 4, 1)
        for stay in range(n)
        for level, rate in (("low", 0.001), ("usual", 0.005), ("high", 0.03))
    ]
    slips = [(stay, kind, 4, 1, hits, 2.0, hits / 2) for stay in range(n) for kind, hits in (("unit", 1), ("sign", 2))]
    return Probes(
        stays=stays,
        responses=pl.DataFrame(responses, dict(RESPONSES_SCHEMA), orient="row"),
        verdicts=pl.DataFrame(verdicts, dict(VERDICTS_SCHEMA), orient="row"),
        slips=pl.DataFrame(slips, dict(SLIPS_SCHEMA), orient="row"),
        variables=select(["lactate", "ph", "sodium", "weight"]),
        options={"hours": 24},
    )


def test_risks_that_follow_stay_or_contradict_are_told_apart() -> None:
    found = responsiveness(made())
    by_name = {each.derangement.name: each for each in found.of("held")}
    follows, blind, against = (by_name[name] for name in RISKS)
    assert follows.risks == pytest.approx((0.1, 0.3, 0.6))
    assert (follows.responds.value, follows.monotone.value, follows.contradicts.value) == (1, 1, 0)
    assert (follows.unalarmed, follows.alarmed) == (N, N)
    assert (blind.responds.value, blind.monotone.value, blind.contradicts.value) == (0, 1, 0)
    assert (against.responds.value, against.monotone.value, against.contradicts.value) == (0, 0, 1)
    assert against.rise == pytest.approx(-0.2)
    assert found.responding() == pytest.approx(1 / 3)
    assert found.missed() == pytest.approx(2 / 3)
    assert {each.derangement.name for each in found.blind_spots()} == {"ph_falls", "sodium_falls"}
    assert found.untested == ("Body weight",)


def test_a_handful_of_stays_says_nothing_about_the_model() -> None:
    found = responsiveness(made(FEWEST_STAYS - 1))
    assert len(found.responses) == 2 * len(RISKS)
    assert found.of("held") == ()
    assert found.responding() is None
    assert found.missed() is None


def test_reversed_verdicts_are_the_exact_part_and_the_drawn_part() -> None:
    low, usual, high = reversed_verdicts(made())
    assert [each.level for each in (low, usual, high)] == ["low", "usual", "high"]
    assert usual.one == pytest.approx(100)
    assert usual.several == pytest.approx(1000 * 0.4 / 4)
    assert usual.value == pytest.approx(200)
    # Half of the verdicts were right; a quarter of the stays are deaths that were recognised.
    assert usual.made_wrong == pytest.approx(100)
    assert usual.missed_deaths == pytest.approx(50)
    assert usual.made_wrong_low < 100 < usual.made_wrong_high


def test_two_models_are_compared_over_the_stays_that_both_looked_at() -> None:
    worse = made()
    verdicts = worse.verdicts.with_columns(one_reversed=pl.col("one_reversed") + 0.02 * (pl.col("stay_id") % 2))
    found = reversal_difference(dataclasses.replace(worse, verdicts=verdicts), made(N - 10))
    assert found is not None
    difference, low, high, stays = found
    assert (difference, stays) == (pytest.approx(10), N - 10)
    assert low < difference < high
    other_rate = dataclasses.replace(worse, verdicts=worse.verdicts.with_columns(rate=pl.lit(0.5)))
    assert reversal_difference(other_rate, made()) is None


def test_kinds_are_ordered_by_what_they_do() -> None:
    sign, unit = slips_by_kind(made())
    assert (sign.kind, sign.reverses, unit.reverses) == ("sign", 0.5, 0.25)
    assert (sign.errors, sign.caught, sign.stays) == (4 * N, N, N)
    assert sign.low == pytest.approx(sign.high) == pytest.approx(0.5)


def test_an_interval_resamples_patients_with_all_their_stays() -> None:
    rng = np.random.default_rng(0)
    of_patient = rng.normal(size=50)
    once = mean_interval(of_patient, np.arange(50), 400, np.random.default_rng(1))
    four = mean_interval(np.repeat(of_patient, 4), np.repeat(np.arange(50), 4), 400, np.random.default_rng(1))
    assert four == pytest.approx(once)
