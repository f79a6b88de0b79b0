"""The analysis reads an attack block after block: where blocks end, and whether it lies in a file, changes nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from susceptibility_cases import random_attack

from icudl.analysis import resampled, set_statistics
from icudl.analysis.changes import Changes, read_changes
from icudl.analysis.conditions import ExampleSet, attacked_stays, example_sets
from icudl.analysis.measures import CellTally
from icudl.analysis.options import AnalysisOptions
from icudl.analysis.resampled import ResampledTally, draw_units
from icudl.analysis.susceptibility import analyse_attack
from icudl.artifacts import AttackResult, SusceptibilityResult

ATTACK = random_attack(np.random.default_rng(5), 90, 6, 4)


def sets_of(attack: AttackResult) -> list[ExampleSet]:
    return example_sets(attacked_stays(attack, AnalysisOptions()), attack, AnalysisOptions())


def analysed(attack: AttackResult) -> SusceptibilityResult:
    options = AnalysisOptions(bootstrap_samples=30)
    return analyse_attack(attack, options, lambda condition, _example: np.random.default_rng(len(condition)))


def equal(one: SusceptibilityResult, other: SusceptibilityResult) -> bool:
    assert one.tables.keys() == other.tables.keys()
    return all(table.equals(other.tables[name]) for name, table in one.tables.items())


def joined(blocks: list[Changes]) -> pl.DataFrame:
    return pl.concat(pl.DataFrame(vars(block)) for block in blocks)


@given(st.integers(1, 700))
@settings(max_examples=4, deadline=None)
@pytest.mark.slow
def test_blocks_hold_whole_stays_and_every_change_once(most: int) -> None:
    sets = sets_of(ATTACK)
    assert sum(read for read, _ in read_changes(ATTACK, sets, most)) == ATTACK.perturbations.height
    for position, examples in enumerate(sets):
        blocks = [each[position] for _, each in read_changes(ATTACK, sets, most)]
        owners = [set(block.row.tolist()) for block in blocks]
        assert sum(map(len, owners)) == examples.n == len(set().union(*owners))
        expected = ATTACK.perturbations.filter(pl.col("example") == examples.example).join(
            examples.stays.select("stay_id").with_row_index("row"), on="stay_id", how="inner"
        )
        by_cell = ("row", "hour", "variable")
        assert joined(blocks).sort(by_cell)["change"].to_list() == expected.sort(by_cell)["change"].to_list()
        assert joined(blocks).equals(joined(blocks).sort(by_cell))


def test_a_table_in_a_file_and_one_in_any_order_give_the_same(tmp_path: Path) -> None:
    expected = analysed(ATTACK)
    ATTACK.write(tmp_path)
    assert equal(analysed(AttackResult.read(tmp_path)), expected)
    shuffled = ATTACK.perturbations.sample(fraction=1, shuffle=True, seed=1)
    assert equal(analysed(dataclasses.replace(ATTACK, perturbations=shuffled)), expected)


def test_resamples_taken_in_several_readings_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = analysed(ATTACK)
    monkeypatch.setattr(set_statistics, "MOST_SAMPLES", 7)
    assert equal(analysed(ATTACK), expected)


@pytest.mark.parametrize("unit", [1, 7, 100, 8192])
def test_a_resample_counts_each_stay_as_often_as_it_is_drawn(unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampled, "UNIT", unit)
    examples, samples, n_drawn = sets_of(ATTACK)[1], 40, 200
    rows = np.sort(np.random.default_rng(1).choice(n_drawn, examples.n, replace=False))
    watched = np.array([3, 150, 199])
    tally = ResampledTally(rows, n_drawn, examples.shape, samples, np.random.default_rng(2), watched)
    blocks = [each[0] for _, each in read_changes(ATTACK, [examples], 50)]
    for block in blocks:
        tally.add(block)
    tally.finish()
    weights = np.concatenate([part for _, part in draw_units(n_drawn, samples, np.random.default_rng(2))])
    changes = {name: np.concatenate([vars(block)[name] for block in blocks]) for name in vars(blocks[0])}
    for sample in range(samples):
        drawn = weights[rows, sample]
        one = CellTally(examples.shape)
        one.add(changes["hour"], changes["variable"], np.abs(changes["change"]), drawn[changes["row"]])
        expected, found = one.statistics(examples.n), tally.statistics(sample)
        assert found.n == expected.n
        for name in ("changed", "total", "largest"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)
        for axis, index in enumerate((changes["variable"], changes["hour"])):
            touched = {(row, at) for row, at in zip(changes["row"].tolist(), index.tolist(), strict=True)}
            counted = np.zeros(examples.shape[1 - axis], np.int64)
            for row, at in touched:
                counted[at] += drawn[row]
            assert tally.touched(axis, sample).tolist() == counted.tolist()
        assert tally.watched(sample).tolist() == weights[watched, sample].tolist()


@pytest.mark.parametrize("unit", [3, 8192])
def test_stays_are_drawn_with_replacement_from_all(unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of N stays are multinomial: of a stay 1 - 1 / N in variance, of two stays -1 / N in covariance."""
    monkeypatch.setattr(resampled, "UNIT", unit)
    n_stays, samples = 8, 20_000
    parts = list(draw_units(n_stays, samples, np.random.default_rng(3)))
    assert [start for start, _ in parts] == ([0, 3, 6] if unit == 3 else [0])
    weights = np.concatenate([part for _, part in parts])
    assert (weights.sum(axis=0) == n_stays).all()
    np.testing.assert_allclose(weights.mean(axis=1), 1, atol=0.03)
    expected = np.eye(n_stays) - 1 / n_stays
    np.testing.assert_allclose(np.cov(weights.astype(float)), expected, atol=0.04)
