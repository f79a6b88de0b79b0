"""What is told of one attack alone: the curve of values at risk reads right wherever it is read."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.analysis.numbers.attacks.single_attacks import single_values_at_risk
from icudl.artifacts import AttackResult
from report_study import fake_study, of_one_attack


@pytest.fixture(scope="module")
def attack() -> AttackResult:
    return of_one_attack(fake_study(20, every_table=True)).result


@given(counts=st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_a_line_between_its_points_gives_the_share_at_every_number(attack: AttackResult, counts: list[int]) -> None:
    sweep = pl.DataFrame({"stay_id": range(len(counts)), "entries": 99, "at_risk": counts})
    conditions = pl.DataFrame({"stay_id": range(len(counts)), "condition": "survival_to_death"})
    [told] = single_values_at_risk(dataclasses.replace(attack, curves={"sweep": sweep}), conditions)
    for least in range(max(counts) + 1):
        share = np.mean([count >= least for count in counts])
        assert np.interp(least, told.at_least, told.shares) == pytest.approx(share)
