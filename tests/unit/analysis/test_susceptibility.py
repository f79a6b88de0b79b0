"""Measures of adversarial examples against a case computed by hand, and filters, empty cases and determinism."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from susceptibility_cases import make_attack, random_attack

from icudl.analysis.conditions import attacked_stays
from icudl.analysis.examples import CURVE_POINTS, statuses
from icudl.analysis.intervals import around, percentiles, wilson
from icudl.analysis.options import AnalysisOptions
from icudl.analysis.susceptibility import analyse_attack
from icudl.artifacts import AttackResult, SusceptibilityResult

# Four survivors flipped to death (2 hours x 2 variables; variable 0 spans 20 units, variable 1 spans 4), and one death
# flipped to survival. Best examples only differ from the first where a first one has more.
GOLDEN = {
    1: {"first": [(0, 0, 0.2), (1, 0, 0.9), (1, 1, -0.4)], "best": [(0, 0, 0.2), (1, 1, -0.4)]},
    2: {"first": [(0, 0, -0.4)], "best": [(0, 0, -0.4)]},
    3: {"first": [(0, 0, 0.6), (0, 1, 0.5)], "best": [(0, 0, 0.6), (0, 1, 0.5)]},
    4: {"first": [(1, 1, 0.1)], "best": [(1, 1, 0.1)]},
    5: {"first": [(0, 0, 0.25)], "best": [(0, 0, 0.25)]},
}


def golden() -> AttackResult:
    iterations = {1: (2, 9), 2: (1, 1), 3: (4, 7), 4: (2, 2), 5: (6, 6)}
    return make_attack(GOLDEN, deaths=[5], failed=[6], iterations=iterations, scale=(20.0, 4.0))


def analysed(attack: AttackResult, **options: int) -> SusceptibilityResult:
    def streams(condition: str, example: str) -> np.random.Generator:
        return np.random.default_rng(len(condition) * 10 + len(example))

    return analyse_attack(attack, AnalysisOptions(**{"bootstrap_samples": 20} | options), streams)


def rows(result: SusceptibilityResult, table: str, condition: str = "survival_to_death", example: str = "best"):
    return result.tables[table].filter(pl.col("condition") == condition, pl.col("example") == example)


def test_every_measure_of_every_cell_by_hand():
    cells = rows(analysed(golden()), "cells")
    assert cells["hour"].to_list() == [0, 0, 1, 1]
    assert cells["variable"].to_list() == ["potassium", "calcium"] * 2
    assert cells["stays"].to_list() == [4] * 4
    assert cells["changed"].to_list() == [3, 1, 0, 2]
    by_hand = {
        # cell (0, 0) holds 0.2, 0.4, 0.6 and 0; (0, 1) holds 0.5; (1, 0) nothing; (1, 1) holds 0.4 and 0.1
        "gmp": [0.6, 0.5, 0.0, 0.4],
        "gap": [1.2 / 4, 0.5 / 4, 0.0, 0.5 / 4],
        "gpp": [3 / 4, 1 / 4, 0.0, 2 / 4],
        "s": [0.6 * 0.75, 0.5 * 0.25, 0.0, 0.4 * 0.5],
        "ganzp": [1.2 / 3, 0.5, None, 0.5 / 2],
        "sensitivity": [0.75 / 0.4, 0.25 / 0.5, 0.0, 0.5 / 0.25],
        # clinical: 20 units per 1 of variable 0, 4 units per 1 of variable 1
        "gmp_clinical": [12.0, 2.0, 0.0, 1.6],
        "gap_clinical": [6.0, 0.5, 0.0, 0.5],
        "s_clinical": [9.0, 0.5, 0.0, 0.8],
        "ganzp_clinical": [8.0, 2.0, None, 1.0],
        "sensitivity_clinical": [0.75 / 8, 0.25 / 2, 0.0, 0.5 / 1],
        "raised": [2 / 3, 1.0, None, 1 / 2],
    }
    for name, expected in by_hand.items():
        found = cells[name].to_list()
        assert [value is None for value in found] == [value is None for value in expected], name
        assert [v for v in found if v is not None] == pytest.approx([v for v in expected if v is not None], rel=1e-5), (
            name
        )


def test_variables_by_hand():
    table = rows(analysed(golden()), "variables")
    assert table["unit"].to_list() == ["mEq/L", "mmol/L"]
    assert table["s"].to_list() == pytest.approx([0.45, 0.125 + 0.2])
    assert table["sensitivity"].to_list() == pytest.approx([1.875, 0.5 + 2.0])
    assert table["touched"].to_list() == pytest.approx([3 / 4, 3 / 4])
    assert table["gmp"].to_list() == pytest.approx([0.6, 0.5])
    # pooled over 2 hours x 4 stays: 3 changes of variable 0 adding up to 1.2, 3 of variable 1 adding up to 1.0
    assert table["gpp"].to_list() == pytest.approx([3 / 8, 3 / 8])
    assert table["gap"].to_list() == pytest.approx([1.2 / 8, 1.0 / 8])
    assert table["ganzp"].to_list() == pytest.approx([1.2 / 3, 1.0 / 3])
    assert table["raised"].to_list() == pytest.approx([2 / 3, 2 / 3])
    assert table["s_clinical"].to_list() == pytest.approx([9.0, 1.3], rel=1e-5)


def test_hours_by_hand():
    table = rows(analysed(golden()), "hours")
    assert table["hour"].to_list() == [0, 1]
    assert table["s"].to_list() == pytest.approx([0.45 + 0.125, 0.2])
    assert table["sensitivity"].to_list() == pytest.approx([1.875 + 0.5, 2.0])
    assert table["touched"].to_list() == pytest.approx([3 / 4, 2 / 4])
    assert table["gpp"].to_list() == pytest.approx([4 / 8, 2 / 8])


def test_first_examples_and_the_other_condition_are_measured_on_their_own():
    result = analysed(golden())
    assert rows(result, "cells", example="first")["changed"].to_list() == [3, 1, 1, 2]
    other = rows(result, "cells", "death_to_survival")
    assert other["stays"].to_list() == [1] * 4
    assert other["gpp"].to_list() == [1.0, 0.0, 0.0, 0.0]
    assert other["gap"][0] == pytest.approx(0.25)


def test_properties_of_each_example_by_hand():
    table = rows(analysed(golden()), "perturbation_properties")
    first = table.row(0, named=True)
    assert first["stay_id"] == 1
    assert (first["number"], first["share"]) == (2, 2 / 4)
    assert [first[name] for name in ("sum", "mean", "largest", "smallest")] == pytest.approx([0.6, 0.3, 0.4, 0.2])
    assert first["positive"] == 0.5
    assert table["stay_id"].to_list() == [1, 2, 3, 4]


def test_success_discovery_smallest_change_and_budget_by_hand():
    result = analysed(golden())
    summary = rows(result, "summary").row(0, named=True)
    assert (summary["attacked"], summary["flipped"], summary["success"]) == (5, 4, 0.8)
    assert (summary["l0_median"], summary["l0_mean"], summary["iteration"]) == (1.5, 1.5, 4.5)
    assert summary["ganzp"] == pytest.approx(2.2 / 6)
    both = rows(result, "summary", "both").row(0, named=True)
    assert (both["attacked"], both["flipped"], both["stays"]) == (6, 5, 5)
    found = rows(result, "discovery")
    assert found["iteration"].to_list() == [1, 2, 7, 9]
    assert found["share"].to_list() == pytest.approx([1 / 5, 2 / 5, 3 / 5, 4 / 5])
    few = result.tables["smallest_change"].filter(pl.col("condition") == "survival_to_death")
    assert few["changed"].to_list() == [1, 2]
    assert few["share"].to_list() == pytest.approx([2 / 5, 2 / 5])
    assert few["cumulative"].to_list() == pytest.approx([2 / 5, 4 / 5])
    budget = rows(result, "budget").filter(pl.col("norm") == "l1")
    assert budget["budget"].to_list() == pytest.approx([0.1, 0.4, 0.6, 1.1])
    assert budget["share"].to_list() == pytest.approx([1 / 5, 2 / 5, 3 / 5, 4 / 5])
    ranked = result.tables["fragility"]
    assert ranked["stay_id"].to_list() == [4, 5, 2, 1, 3, 6]
    assert ranked["rank"].to_list() == [1, 2, 3, 4, 5, 6]


def test_shares_of_a_single_attacked_stay():
    tables = analysed(golden()).tables
    for name, column in (("discovery", "share"), ("smallest_change", "share"), ("smallest_change", "cumulative")):
        alone = tables[name].filter(pl.col("condition") == "death_to_survival")
        assert set(alone[column]) == {1.0}, name


def test_a_long_curve_is_thinned_out_between_its_ends():
    sizes = [(number + 1) / 1000 for number in range(3 * CURVE_POINTS)]
    attack = make_attack({stay: {"best": [(0, 0, size)]} for stay, size in enumerate(sizes)})
    curve = rows(analysed(attack), "budget").filter(pl.col("norm") == "l1")
    assert curve.height == CURVE_POINTS
    assert (curve["budget"][0], curve["budget"][-1]) == pytest.approx((sizes[0], sizes[-1]))
    assert (curve["flipped"][0], curve["flipped"][-1]) == (1, len(sizes))
    assert curve["flipped"].diff().drop_nulls().is_between(2, 4).all()


def test_of_no_attacked_stay_the_success_is_unknown():
    summary = rows(analysed(golden(), min_length=9), "summary").row(0, named=True)
    assert (summary["attacked"], summary["flipped"], summary["success"], summary["success_low"]) == (0, 0, None, None)


def test_filters_change_n():
    assert rows(analysed(golden(), min_changed=2), "cells")["stays"][0] == 2
    assert rows(analysed(golden(), max_changed=1), "cells")["stays"][0] == 2
    assert rows(analysed(golden(), max_changed=2), "cells", example="first")["stays"][0] == 3
    short = make_attack(GOLDEN, deaths=[5], lengths={1: 1, 2: 1}, scale=(20.0, 4.0))
    result = analysed(short, min_length=2)
    assert rows(result, "cells")["stays"][0] == 2
    assert rows(result, "summary")["attacked"][0] == 2
    assert rows(analysed(short, min_length=1), "perturbation_properties")["share"][0] == 2 / 2


@pytest.mark.parametrize(
    "attack", [make_attack({}), make_attack({}, failed=[1, 2]), make_attack({}, deaths=[1], failed=[1])]
)
def test_no_examples_give_nulls_and_never_a_division_by_zero(attack):
    result = analysed(attack)
    cells = result.tables["cells"]
    assert cells.height == 4 * 4
    assert cells["stays"].to_list() == [0] * 16
    assert (
        cells.select("gmp", "gap", "gpp", "s", "ganzp", "sensitivity", "gmp_clinical").null_count().row(0) == (16,) * 7
    )
    assert result.tables["variables"]["s"].null_count() == 8
    assert result.tables["variables"]["s_low"].null_count() == 8
    for name in ("perturbation_properties", "discovery", "smallest_change", "budget"):
        assert result.tables[name].height == 0
    assert result.tables["fragility"].height == attack.stays.height


def test_tables_have_the_same_columns_with_and_without_examples():
    full, empty = analysed(random_attack(np.random.default_rng(1), 60, 6, 3)), analysed(make_attack({}))
    assert full.tables.keys() == empty.tables.keys()
    for name, table in full.tables.items():
        assert table.schema == empty.tables[name].schema, name


def test_direction_of_a_stay_that_was_never_flipped():
    attack = make_attack({}, deaths=[1, 3], failed=[1, 2, 3, 4])
    risks = attack.stays.with_columns(probability_before=pl.Series([0.9, 0.1, 0.4, 0.6]))
    attack = AttackResult(**vars(attack) | {"stays": risks})
    by_label = ["death_to_survival", "survival_to_death"] * 2
    assert attacked_stays(attack, AnalysisOptions())["condition"].to_list() == by_label
    # Where misclassified stays are attacked too, by what the model said: a risk at the threshold is death.
    attack = AttackResult(**vars(attack) | {"options": {"attack_misclassified": True}})
    survival, death = "survival_to_death", "death_to_survival"
    assert attacked_stays(attack, AnalysisOptions())["condition"].to_list() == [death, survival, survival, death]
    decided = attacked_stays(attack, AnalysisOptions(), {"fold-0": 0.4})["condition"].to_list()
    assert decided == [death, survival, death, death]
    other = attacked_stays(attack, AnalysisOptions(), {"fold-1": 0.05})["condition"].to_list()
    assert other == [death, survival, survival, death]


def test_without_a_limit_an_example_may_change_every_cell():
    every = [(hour, variable, 0.5) for hour in range(3) for variable in range(2)]
    attack = make_attack({1: {"first": every, "best": every}}, n_hours=3)
    assert rows(analysed(attack), "cells")["stays"][0] == 1
    assert rows(analysed(attack, max_changed=5), "cells")["stays"][0] == 0


def test_shares_of_what_became_of_the_stays():
    attack = make_attack({1: GOLDEN[1], 2: GOLDEN[2], 5: GOLDEN[5]}, deaths=[5], failed=[6])
    assert statuses(attack).rows() == [(0, "failed", 1, 1 / 3), (0, "success", 2, 2 / 3), (1, "success", 1, 1.0)]


def test_direction_of_a_misclassified_stay():
    attack = make_attack({}, deaths=[1, 2], failed=[1, 2], options={"attack_misclassified": True})
    wrong = attack.stays.with_columns(probability_before=pl.Series([0.2, 0.3]))
    attack = AttackResult(**vars(attack) | {"stays": wrong})
    conditions = attacked_stays(attack, AnalysisOptions(), {"fold-0": 0.25})["condition"].to_list()
    assert conditions == ["survival_to_death", "death_to_survival"]


def test_intervals_cover_the_estimate_and_repeat():
    attack = random_attack(np.random.default_rng(2), 200, 8, 4)
    table = rows(analysed(attack, bootstrap_samples=200), "variables")
    for name in ("touched", "gap", "gpp", "ganzp", "sensitivity"):
        assert (table[f"{name}_low"] <= table[name]).all(), name
        assert (table[f"{name}_high"] >= table[name]).all(), name
        assert (table[f"{name}_low"] < table[f"{name}_high"]).any(), name
    again = rows(analysed(attack, bootstrap_samples=200), "variables")
    assert table.equals(again)


def test_bootstrap_interval_of_a_share_agrees_with_the_binomial():
    changes = {stay: {"best": [(0, int(stay % 10 < 3), 0.5)]} for stay in range(1000)}
    table = rows(analysed(make_attack(changes), bootstrap_samples=1000), "variables")
    share, low, high = (
        table.filter(pl.col("variable") == "calcium").select("touched", "touched_low", "touched_high").row(0)
    )
    assert share == 0.3
    assert (low, high) == pytest.approx(
        (0.3 - 1.96 * math.sqrt(0.21 / 1000), 0.3 + 1.96 * math.sqrt(0.21 / 1000)), abs=0.004
    )


def test_wilson_interval_of_a_textbook_case():
    # 15 of 25: centre (0.6 + 0.07683) / 1.15366 = 0.58668, half width 1.69893 * sqrt(0.0096 + 0.0015366) = 0.17929
    assert wilson(15, 25) == pytest.approx((0.6, 0.4074, 0.7660), abs=1e-4)
    assert wilson(0, 10)[1] == 0.0
    assert wilson(10, 10)[2] == 1.0
    assert all(math.isnan(value) for value in wilson(0, 0))


def test_percentiles_ignore_undefined_draws():
    low, high = percentiles(np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]]), 0, 100)
    assert (low[0], high[0]) == (1.0, 3.0)
    assert np.isnan(low[1])
    assert np.isnan(high[1])


def test_interval_around_an_estimate_by_hand():
    # Draws 1, 2, 3 have standard deviation 1; undefined draws are left out; the floor cuts.
    draws = np.array([[1.0, np.nan, 1.0], [2.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    low, high = around(np.array([2.0, 5.0, 1.0]), draws, floor=0.5)
    assert low[0] == 0.5
    assert high[0] == pytest.approx(2 + 1.96, abs=1e-4)
    assert np.isnan(low[1:]).all()
    assert np.isnan(high[1:]).all()
