"""Scores by hospital: who is told of, what recalibration does, and that no risk is recalibrated on its own patient."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.analysis.numbers.models.hospitals import PARTS, hospital_lines, recalibrated_elsewhere, shift_of
from icudl.analysis.numbers.models.quality import Judged
from icudl.artifacts import METRICS_SCHEMA
from icudl.training.scores.evaluation import metric_rows
from icudl.training.scores.metrics import Scored

SEED = 5
NO_SCORES = pl.DataFrame(schema=METRICS_SCHEMA)


def judged(sizes: dict[str, int], wrong_by: dict[str, float]) -> Judged:
    """Draw outcomes from true risks; the model's logits are too high by ``wrong_by`` in a hospital."""
    rng = np.random.default_rng(1)
    names = [name for name, size in sizes.items() for _ in range(size)]
    logits = rng.normal(-1.5, 1.2, len(names))
    labels = (rng.random(len(names)) < 1 / (1 + np.exp(-logits))).astype(np.int8)
    told = logits + np.array([wrong_by.get(name, 0.0) for name in names])
    return Judged(
        model="lstm",
        stays="elsewhere",
        labels=labels,
        risks=1 / (1 + np.exp(-told)),
        patients=np.arange(len(names)) // 2,
        hospitals=tuple(names),
    )


@pytest.fixture(scope="module")
def three() -> Judged:
    return judged({"right": 600, "alarming": 500, "small": 24}, {"alarming": 1.5})


def test_each_stay_is_in_one_line_and_nothing_is_said_of_few_deaths(three: Judged) -> None:
    *hospitals, others, whole = hospital_lines(three, NO_SCORES, SEED)
    assert [line.name for line in hospitals] == ["right", "alarming"]
    assert sum(line.stays for line in (*hospitals, others)) == whole.stays == len(three.labels)
    assert sum(line.deaths for line in (*hospitals, others)) == whole.deaths == three.labels.sum()
    assert (others.hospitals, whole.hospitals, whole.is_all) == (1, 3, True)
    assert others.deaths < 10
    assert others.scores is None


def test_a_hospital_where_the_risks_are_too_high_is_seen_and_mended(three: Judged) -> None:
    right, alarming = (line.scores for line in hospital_lines(three, NO_SCORES, SEED)[:2])
    assert right is not None
    assert alarming is not None
    assert right.ratio.low is not None
    assert right.ratio.high is not None
    assert right.ratio.low < 1 < right.ratio.high
    assert right.gain.high is not None
    assert right.gain.high > 0
    assert alarming.ratio.high is not None
    assert alarming.ratio.high < 1
    assert alarming.shift == pytest.approx(-1.5, abs=0.3)
    assert alarming.gain.high is not None
    assert alarming.gain.high < 0
    assert alarming.auroc.low is not None
    assert alarming.auroc.high is not None
    assert alarming.auroc.value is not None
    assert alarming.auroc.low < alarming.auroc.value < alarming.auroc.high


def test_one_hospital_and_hospitals_that_are_not_known_are_no_comparison(three: Judged) -> None:
    for names in (("",) * len(three.labels), ("one",) * len(three.labels), ()):
        assert hospital_lines(dataclasses.replace(three, hospitals=names), NO_SCORES, SEED) == ()


def test_the_lines_do_not_depend_on_the_order_of_stays(three: Judged) -> None:
    order = np.random.default_rng(2).permutation(len(three.labels))
    shuffled = dataclasses.replace(
        three,
        labels=three.labels[order],
        risks=three.risks[order],
        patients=three.patients[order],
        hospitals=tuple(np.array(three.hospitals)[order]),
    )
    first, second = hospital_lines(three, NO_SCORES, SEED)[0], hospital_lines(shuffled, NO_SCORES, SEED)[0]
    assert first.scores is not None
    assert second.scores is not None
    assert (first.stays, first.deaths) == (second.stays, second.deaths)
    assert first.scores.auroc.value == pytest.approx(second.scores.auroc.value)
    assert first.scores.gain.value == pytest.approx(second.scores.gain.value)


@given(st.integers(1, 39), st.integers(0, 2**32 - 1))
def test_the_shift_makes_as_many_die_as_are_expected(deaths: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[np.ones(deaths), np.zeros(40 - deaths)].astype(np.int8)
    risks = rng.uniform(0, 1, 40)
    shift = shift_of(labels, risks)
    logits = np.log(risks) - np.log1p(-risks)
    assert (1 / (1 + np.exp(-logits - shift))).sum() == pytest.approx(deaths, abs=1e-6)


def test_no_risk_is_recalibrated_on_its_own_patient(three: Judged) -> None:
    labels, risks, patients = three.labels, three.risks, three.patients
    before = recalibrated_elsewhere(labels, risks, patients)
    own = np.flatnonzero(patients == patients[0])
    # Another risk of this patient moves the shift of the other parts, and not that of the patient's own part.
    changed = risks.copy()
    changed[own] = 0.999
    after = recalibrated_elsewhere(labels, changed, patients)
    same = np.setdiff1d(np.flatnonzero(before == after), own)
    died = np.isin(patients, patients[labels == 1])
    mates = died == died[own[0]]
    assert len(same) == pytest.approx(len(labels) / PARTS, rel=0.05)
    assert mates[same].any()
    moved = np.setdiff1d(np.arange(len(labels)), [*same, *own])
    assert (after[moved] < before[moved]).all()


def test_all_stays_have_the_scores_that_stand_elsewhere(three: Judged) -> None:
    scored = Scored(three.labels, three.risks, np.full(len(three.labels), 0.5), three.patients)
    metrics = metric_rows("lstm", "external", "all", scored, 50, np.random.default_rng(3))
    scores = hospital_lines(three, metrics, SEED)[-1].scores
    assert scores is not None
    for name in ("auroc", "brier"):
        of = metrics.filter(pl.col("metric") == name).row(0, named=True)
        assert dataclasses.astuple(getattr(scores, name)) == (of["value"], of["low"], of["high"])
