"""The numbers that page and paper share, by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from susceptibility_cases import make_attack

from icudl.analysis.numbers.attacks.groups import SMALLEST_GROUP, flipped_by_risk
from icudl.analysis.numbers.comparison import (
    Estimate,
    JudgedOn,
    charted_share,
    fewest_changes,
    judged_on,
    models_side_by_side,
    overlap,
)
from icudl.analysis.numbers.models.quality import Judged, calibration_groups, roc_band, roc_curve
from icudl.analysis.options import AnalysisOptions
from icudl.analysis.susceptibility import analyse_attack
from icudl.artifacts import METRICS_SCHEMA, PREDICTIONS_SCHEMA
from report_study import fake_study

Pair = tuple[float, float]


def judged(n_stays: int, patients: int, seed: int = 0) -> Judged:
    """Make predictions; all stays of a patient are given one risk and have one outcome."""
    patient = np.arange(n_stays) % patients
    labels = (patient % 4 == 0).astype(np.int8)
    chance = np.random.default_rng(seed).uniform(0, 0.7, patients)
    return Judged(
        model="lstm",
        stays="test",
        labels=labels,
        risks=0.1 * labels + chance[patient],
        patients=patient,
    )


@pytest.mark.parametrize(("n_stays", "groups"), [(4, 1), (30, 6), (50, 10), (1000, 10)])
def test_calibration_has_ten_groups_unless_they_would_hold_fewer_than_five_stays(n_stays: int, groups: int) -> None:
    found = calibration_groups(judged(n_stays, n_stays))
    assert len(found) == groups
    assert sum(group.stays for group in found) == n_stays


def test_the_band_draws_patients_and_is_wider_where_stays_are_of_few_patients() -> None:
    wide, narrow = (roc_band(judged(240, patients)) for patients in (40, 240))
    assert (wide.high - wide.low).mean() > 1.5 * (narrow.high - narrow.low).mean()
    curve = roc_curve(judged(240, 240))
    at = np.searchsorted(curve.x, narrow.x, side="right") - 1
    assert (curve.y[at] >= narrow.low - 0.05).all()
    assert (curve.y[at] <= narrow.high + 0.05).all()


def line(model: str, risks: list[float], stays: list[int], *, baseline: bool = False, beside: str = "") -> JudgedOn:
    n = len(stays)
    predictions = pl.DataFrame(
        {
            "model": [model] * n,
            "member": ["final"] * n,
            "split": ["test"] * n,
            "fold": [-1] * n,
            "stay_id": stays,
            "label": [stay % 2 for stay in stays],
            "probability": risks,
            "threshold": [0.5] * n,
        }
    ).cast(dict(PREDICTIONS_SCHEMA))
    return JudgedOn(
        model=model,
        baseline=baseline,
        beside=beside,
        data="main",
        split="test",
        predictions=predictions,
        metrics=pl.DataFrame(schema=METRICS_SCHEMA),
    )


def test_a_model_is_told_by_its_name_in_the_study_and_a_baseline_by_its_own() -> None:
    predictions = pl.concat([line("final", [0.1, 0.2], [1, 2]).predictions, line("trees", [0.3], [1]).predictions])
    found = judged_on("mine", ("final",), predictions, pl.DataFrame(schema=METRICS_SCHEMA), "main", "test")
    assert [(each.model, each.baseline, each.beside) for each in found] == [
        ("mine", False, ""),
        ("trees", True, "mine"),
    ]
    assert [each.predictions["probability"].to_list() for each in found] == [[0.1, 0.2], [0.3]]


def test_models_are_compared_on_the_same_stays_only_and_equal_baselines_stand_once() -> None:
    grid = fake_study(12).main.grid
    ids = grid.stay_ids.tolist()
    risks = [0.1 + 0.07 * place for place in range(12)]
    found = models_side_by_side(
        [
            line("a", risks, ids),
            line("trees", risks, ids, baseline=True, beside="a"),
            line("b", risks[::-1], ids),
            line("trees", risks, ids, baseline=True, beside="b"),
            line("c", risks[:10], ids[:10]),
        ],
        {"main": grid.stays},
        seed=0,
    )
    assert [(each.model, each.beside) for each in found] == [("a", ""), ("b", ""), ("c", ""), ("trees", "")]
    first, second, fewer, trees = found
    assert first.difference is None
    assert fewer.difference is None
    assert trees.difference is not None
    assert trees.difference.value == 0
    assert second.difference is not None
    assert second.difference.value != 0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [((1, 3), (2, 4), True), ((1, 2), (2, 4), True), ((1, 2), (3, 4), False), ((0, 9), (3, 4), True)],
)
def test_intervals_overlap_where_they_share_a_value(first: Pair, second: Pair, expected: bool) -> None:
    one, other = (Estimate(None, *pair) for pair in (first, second))
    assert overlap(one, other) == overlap(other, one) == expected
    assert overlap(one, Estimate(2.0, None, None))


def test_the_share_of_charted_cells_and_the_fewest_changes_by_hand() -> None:
    grid = fake_study(4).main.grid
    values = np.full((4, 48, 19), np.nan, np.float32)
    ids = sorted(grid.stay_ids.tolist())
    row = {stay: place for place, stay in enumerate(grid.stay_ids.tolist())}
    values[row[ids[0]], 0, 0] = values[row[ids[1]], 2, 1] = 1.0
    examples = {
        ids[0]: {"best": [(0, 0, 0.1), (1, 0, 0.1)]},
        ids[1]: {"best": [(2, 1, 0.2)]},
        ids[2]: {"best": [(3, 1, 0.2), (4, 1, 0.2), (5, 1, 0.2)]},
    }
    attack = make_attack(examples, n_hours=6)
    assert charted_share(attack, dataclasses.replace(grid, values=values)) == pytest.approx(2 / 6)
    analysis = analyse_attack(attack, AnalysisOptions(bootstrap_samples=10), lambda *_: np.random.default_rng(0))
    assert fewest_changes(analysis) == 2
    nothing = make_attack({})
    assert charted_share(nothing, grid) is None


def test_small_groups_are_not_told() -> None:
    fragility = fake_study(40).attacks[0].susceptibility.tables["fragility"]
    few = fragility.filter(condition="death_to_survival").head(SMALLEST_GROUP - 1)
    assert flipped_by_risk(few)["death_to_survival"] == ()
