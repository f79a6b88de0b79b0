"""Attacks beside proofs: the fewest wrong values from both sides, and what a sweep missed."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl
import pytest

from certificate_cases import certificates
from icudl.analysis.numbers.proofs.both_sides import Fewest, both_sides, fewest_of_stays, missed_by_sweep
from icudl.artifacts import ATTACKED_SCHEMA, PERTURBATIONS_SCHEMA, AttackResult, Certificates
from icudl.artifacts.attacks.certificates import (
    NEARBY_SCHEMA,
)
from icudl.variables import STUDY_VARIABLES


def rows(schema: Any, *lines: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([dict.fromkeys(schema) | line for line in lines], dict(schema))


def attack_on(stays: dict[int, int | None], **changes: Any) -> AttackResult:
    """An attack that flips stays by so many values; None for a stay that it does not flip."""
    lines = [
        {"stay_id": stay, "status": "failed" if fewest is None else "success", "first_l0": 9, "best_l0": fewest}
        | ({"first_l0": None} if fewest is None else {})
        for stay, fewest in stays.items()
    ]
    result = AttackResult(
        stays=rows(ATTACKED_SCHEMA, *lines, {"stay_id": 99, "status": "misclassified"}),
        perturbations=pl.DataFrame(schema=dict(PERTURBATIONS_SCHEMA)),
        curves={},
        variables=STUDY_VARIABLES,
        n_hours=48,
        threat_model="measured",
        options={"variables": []},
    )
    return dataclasses.replace(result, **changes)


def proofs_of(stays: dict[int, str], **changes: Any) -> Certificates:
    result = certificates(
        {"variables": []},
        stays=[{"stay_id": stay, "status": status} for stay, status in stays.items()],
        values=[
            {"stay_id": stay, "hour": hour, "variable": 2, "verdict": "flips"}
            for stay, status in stays.items()
            for hour in (3, 4)
            if status == "flips"
        ],
    )
    return dataclasses.replace(result, **changes)


STAYS = {1: "flips", 2: "proven", 3: "proven", 4: "undecided", 5: "proven", 6: "misclassified", 7: "proven"}


def test_a_search_gives_at_most_and_a_proof_at_least() -> None:
    attack = attack_on({1: 3, 2: 2, 3: 4, 4: 2, 5: None, 6: 1})
    found = fewest_of_stays(proofs_of(STAYS), [attack, attack_on({3: 3})])
    assert found.rows() == [(1, 1, 1), (2, 2, 2), (3, 2, 3), (4, 1, 2), (5, 2, 0)]
    told = both_sides(proofs_of(STAYS), [attack])
    assert told is not None
    assert (told.stays, told.exact, told.contradicted) == (5, 2, 0)
    assert [each.text for each in told.ranges] == ["1", "1 to 2", "2", "2 to 4", "at least 2; no example known"]
    assert told.closed.value == pytest.approx(0.4)
    assert told.closed.low < told.closed.value < told.closed.high


def test_proofs_against_several_values_of_any_size_raise_the_lower_end() -> None:
    def near(stay: int, most: int, within: float, *, proven: bool) -> dict[str, Any]:
        return {"stay_id": stay, "most": most, "within": within, "proven": proven}

    nearby = rows(
        NEARBY_SCHEMA,
        near(2, 2, 1.0, proven=False),
        near(3, 2, 1.0, proven=True),
        near(5, 2, 0.1, proven=True),  # a small error is not every error
    )
    found = fewest_of_stays(proofs_of(STAYS, nearby=nearby), [attack_on({2: 2, 3: 3, 5: 4})])
    assert found.rows() == [(2, 2, 2), (3, 3, 3), (5, 2, 4)]


def test_what_a_proof_denies_and_an_example_shows_is_counted() -> None:
    told = both_sides(proofs_of(STAYS), [attack_on({2: 1, 3: 2})])
    assert told is not None
    assert told.contradicted == 1
    assert Fewest(2, 1, 1) in told.ranges


@pytest.mark.parametrize("changes", [{"threat_model": "grid"}, {"options": {"variables": ["ph"]}}])
def test_another_threat_is_not_compared(changes: dict[str, Any]) -> None:
    assert both_sides(proofs_of(STAYS), [attack_on({2: 2}, **changes)]) is None


def test_what_a_sweep_missed_is_counted_on_the_same_stays() -> None:
    curves = {
        "sweep": pl.DataFrame({"stay_id": [1, 2, 4, 50], "entries": [9, 9, 9, 9], "at_risk": [1, 0, 1, 4]}),
        "sweep_flips": pl.DataFrame({"stay_id": [1, 1, 50], "hour": [3, 3, 3], "variable": [2, 2, 2]}),
    }
    proofs = proofs_of(STAYS | {8: "flips"})
    missed = missed_by_sweep(proofs, attack_on({}, curves=curves))
    assert missed is not None
    assert (missed.stays, missed.open_stays, missed.missed_stays) == (3, 0, 0)
    # Both stays that the sweep flips are flips, one of them undecided by the proof.
    assert missed.swept.value == missed.proved.value == pytest.approx(2 / 3)
    assert (missed.values, missed.missed_values) == (2, 1)
    curves["sweep"] = curves["sweep"].with_columns(at_risk=0)
    missed = missed_by_sweep(proofs, attack_on({}, curves=curves))
    assert missed is not None
    assert (missed.missed_stays, missed.open_stays) == (1, 1)
    assert missed.proved.value == pytest.approx(1 / 3)
    assert missed_by_sweep(proofs, attack_on({}, curves=curves, options={"variables": [], "kappa": 0.5})) is None
    assert missed_by_sweep(proofs, attack_on({1: 1})) is None
