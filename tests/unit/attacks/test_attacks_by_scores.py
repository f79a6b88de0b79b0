"""Attacks on trees and logistic regression, which offer no gradient: through the stage, against the whole record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from charted_cases import INPUTS, MODELS, TREES, make_case
from icudl.analysis.options import AnalysisOptions
from icudl.artifacts import AttackResult, AttackStatus, GridDataset, TrainingResult
from icudl.attacks.options import (
    AttackOptions,
    EntryErrorOptions,
    GreedyOptions,
    NoiseOptions,
    ProximalOptions,
    SweepOptions,
)
from icudl.errors import AttackError
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.models.build import load_charted
from icudl.models.charted.base import ClinicalStays
from icudl.preprocessing.mistakes import KINDS
from icudl.stages.analyse import analyse
from icudl.stages.attack import attack
from icudl.training.data import clinical_stays
from icudl.training.scores.risk_curve import fit_curve, risks_at

Case = tuple[GridDataset, TrainingResult]
Run = Callable[[Case, AttackOptions], AttackResult]

CASES = {model.name: make_case(model, 56) for model in MODELS}
SWEEP = SweepOptions(threat_model="measured", sweep_points=9)
GREEDY = GreedyOptions(threat_model="measured")


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Attack a case, once for each options: the attack keeps its shards in one folder a case."""
    folders: dict[int, Path] = {}

    def attacked(case: Case, options: AttackOptions) -> AttackResult:
        scratch = folders.setdefault(id(case[0]), tmp_path_factory.mktemp("scratch"))
        context = RunContext(
            executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=7
        )
        return attack(*case, options, context)

    return attacked


def rewritten(case: Case, result: AttackResult, row: dict) -> tuple[int, np.ndarray]:
    """The record of a stay with the best example written into it, and its position."""
    grid, _ = case
    position = int(np.flatnonzero(grid.stay_ids == row["stay_id"])[0])
    values = grid.values[position].copy()
    cells = result.perturbations.filter((pl.col("stay_id") == row["stay_id"]) & (pl.col("example") == "best"))
    for cell in cells.iter_rows(named=True):
        hour, variable = cell["hour"], cell["variable"]
        mean, count = float(values[hour, variable]), int(grid.counts[position, hour, variable])
        assert np.isfinite(mean), "something that was never charted was changed"
        assert cell["before_clinical"] == values[hour, variable]
        assert -6 - 1e-4 <= mean + count * (cell["after_clinical"] - mean) <= 6 + 1e-4
        values[hour, variable] = cell["after_clinical"]
    assert len(cells) == row["best_l0"]
    return position, values


def logit_of(case: Case, member: str, position: int, values: np.ndarray) -> float:
    grid, training = case
    own = clinical_stays(grid, np.array([position]), INPUTS)
    model = load_charted(training.checkpoints[member])
    return float(model.logits(ClinicalStays(values[None], own.lengths, own.statics))[0])


@pytest.mark.parametrize("options", [SWEEP, GREEDY, EntryErrorOptions(threat_model="measured")], ids=lambda o: o.name)
def test_examples_hold_when_the_record_itself_is_changed(case: Case, run: Run, options) -> None:
    """Scored by the model of the fold that did not see the stay; the tables hold the very values."""
    grid, training = case
    result = run(case, options)
    broken = result.stays.filter(pl.col("status") == AttackStatus.SUCCESS)
    assert len(broken) > 8
    for row in broken.iter_rows(named=True):
        position, values = rewritten(case, result, row)
        assert row["member"] == ("final" if grid.is_test[position] else f"fold-{grid.folds[position]}")
        risk = 1 / (1 + np.exp(-logit_of(case, row["member"], position, values)))
        assert risk == pytest.approx(row["best_probability"], abs=1e-12)
        threshold = training.checkpoints[row["member"]].threshold
        assert (row["probability_before"] >= threshold) == bool(row["label"])
        assert (risk >= threshold) != bool(row["label"])


def test_the_sweep_finds_what_trying_every_place_finds(case: Case, run: Run) -> None:
    grid, training = case
    result = run(case, SWEEP)
    flipped = set(result.curves["sweep_flips"].select("stay_id", "hour", "variable").iter_rows())
    expected = set()
    for position in range(0, len(grid.labels), 4):
        member = "final" if grid.is_test[position] else f"fold-{grid.folds[position]}"
        shift = np.log(training.checkpoints[member].threshold / (1 - training.checkpoints[member].threshold))
        for hour, variable in np.argwhere(~np.isnan(grid.values[position])):
            mean, count = float(grid.values[position, hour, variable]), int(grid.counts[position, hour, variable])
            for entry in np.linspace(-6.0, 6.0, SWEEP.sweep_points):
                values = grid.values[position].copy()
                values[hour, variable] = np.float32(mean + (entry - mean) / count)
                if (logit_of(case, member, position, values) >= shift) != bool(grid.labels[position]):
                    expected.add((int(grid.stay_ids[position]), int(hour), int(variable)))
    tried = {stay for stay, _, _ in flipped} & {int(stay) for stay in grid.stay_ids[::4]}
    assert {flip for flip in flipped if flip[0] in tried} == expected
    assert len(expected) > 5


def test_the_ends_of_a_flipping_interval_as_entries(case: Case, run: Run) -> None:
    """A value inside the interval flips the stay; at the end of the range the interval ends with the range."""
    grid, training = case
    flips = run(case, SWEEP).curves["sweep_flips"]
    assert flips["entry_low"].min() == pytest.approx(-6.0, abs=1e-4)
    assert flips["entry_high"].max() == pytest.approx(6.0, abs=1e-4)
    for row in flips.iter_rows(named=True):
        position = int(np.flatnonzero(grid.stay_ids == row["stay_id"])[0])
        member = "final" if grid.is_test[position] else f"fold-{grid.folds[position]}"
        values = grid.values[position].copy()
        mean = float(values[row["hour"], row["variable"]])
        middle = (row["entry_low"] + row["entry_high"]) / 2
        count = int(grid.counts[position, row["hour"], row["variable"]])
        values[row["hour"], row["variable"]] = np.float32(mean + (middle - mean) / count)
        threshold = training.checkpoints[member].threshold
        says_death = logit_of(case, member, position, values) >= np.log(threshold / (1 - threshold))
        assert says_death != bool(grid.labels[position])


def test_greedy_by_scores_needs_no_more_values_than_the_sweep_where_one_suffices(case: Case, run: Run) -> None:
    one = run(case, SWEEP).stays
    few = run(case, GREEDY).stays
    both = one.join(few, on="stay_id", suffix="_few").filter(status="success")
    assert len(both) > 8
    assert both["status_few"].to_list() == ["success"] * len(both)
    assert both["best_l0_few"].to_list() == [1] * len(both)
    assert few.filter(status="success").height > both.height


def test_greedy_leaves_out_no_value_that_could_go(case: Case, run: Run) -> None:
    """What is left after pruning is needed: without any one of the changes the decision stands."""
    grid, training = case
    result = run(case, GREEDY)
    several = result.stays.filter((pl.col("status") == "success") & (pl.col("best_l0") > 1))
    assert len(several) > 1
    for row in several.iter_rows(named=True):
        position, values = rewritten(case, result, row)
        threshold = training.checkpoints[row["member"]].threshold
        shift = np.log(threshold / (1 - threshold))
        for hour, variable in np.argwhere((values != grid.values[position]) & ~np.isnan(values)):
            without = values.copy()
            without[hour, variable] = grid.values[position, hour, variable]
            assert (logit_of(case, row["member"], position, without) >= shift) == bool(row["label"])


def test_noise_is_as_large_as_the_example_it_is_the_control_of(case: Case, run: Run) -> None:
    options = NoiseOptions(threat_model="measured", noise_draws=10)
    result = run(case, options)
    table = result.curves["noise"].filter(pl.col("draws") > 0)
    greedy = run(case, GREEDY).stays.filter(status="success")
    joined = table.join(greedy, on="stay_id")
    assert len(joined) == len(greedy) == len(table)
    assert joined["reference_l0"].to_list() == joined["best_l0"].to_list()
    assert 0 < table["flips"].sum() < 10 * len(table)


def test_entry_errors_are_counted(case: Case, run: Run) -> None:
    result = run(case, EntryErrorOptions(threat_model="measured"))
    table = result.curves["entry_errors"]
    assert sum(table[f"{kind}_tried"].sum() for kind in KINDS) > 100
    flips = sum(table[f"{kind}_flips"].sum() for kind in KINDS)
    assert flips == len(result.curves["entry_flips"]) > 0


def test_confidence_asks_for_more(case: Case, run: Run) -> None:
    _grid, training = case
    plain = run(case, SWEEP).stays.filter(status="success")
    options = dataclasses.replace(SWEEP, kappa=0.5)
    sure = run(case, options).stays.filter(status="success")
    assert 0 < len(sure) < len(plain)
    for row in sure.iter_rows(named=True):
        threshold = training.checkpoints[row["member"]].threshold
        logit, shift = (np.log(p / (1 - p)) for p in (row["best_probability"], threshold))
        assert abs(logit - shift) > 0.5


def test_shards_and_workers_change_nothing(case: Case, run: Run) -> None:
    results = [run(case, GREEDY), run(case, dataclasses.replace(GREEDY, batch_size=5))]
    # The softmax of a risk may differ in the last bit.
    first, second = (result.stays.with_columns(pl.col(pl.Float64).round(12)) for result in results)
    assert first.equals(second)
    assert results[0].perturbations.equals(results[1].perturbations)


def test_an_isotonic_curve_decides_and_tells_the_risks(run: Run) -> None:
    grid, training = CASES[TREES.name]
    rows = np.flatnonzero(~grid.is_test)
    checkpoint = training.checkpoints["final"]
    logits = load_charted(checkpoint).logits(clinical_stays(grid, rows, INPUTS))
    curve = fit_curve(grid.labels[rows], logits + np.random.default_rng(0).normal(0, 0.5, len(rows)))
    threshold = float(curve[1].mean())
    curved = {
        key: dataclasses.replace(each, curve=curve, threshold=threshold) for key, each in training.checkpoints.items()
    }
    case = grid, dataclasses.replace(training, checkpoints=curved)
    options = dataclasses.replace(SWEEP, split="test", attack_misclassified=True)
    result = run(case, options)
    broken = result.stays.filter(status="success")
    assert len(broken) > 3
    for row in broken.iter_rows(named=True):
        position, values = rewritten(case, result, row)
        risk = risks_at(curve, np.array([logit_of(case, row["member"], position, values)]))[0]
        assert risk == pytest.approx(row["best_probability"], abs=1e-9)
        assert (risk >= threshold) != (row["probability_before"] >= threshold)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ProximalOptions(threat_model="measured"), r"proximal needs a gradient.*offers no gradient.*sweep"),
        (GreedyOptions(), r"threat_model = 'grid'.*'boosted_trees' does not read.*'measured'"),
    ],
)
def test_what_cannot_be_asked_of_such_a_model(options: AttackOptions, message: str, run: Run) -> None:
    with pytest.raises(AttackError, match=message):
        run(CASES[TREES.name], options)


def test_the_analysis_leaves_out_what_needs_a_gradient(case: Case, run: Run, context: RunContext) -> None:
    grid, training = case
    tables = analyse(grid, training, run(case, GREEDY), AnalysisOptions(bootstrap_samples=10), context).tables
    assert "importance" not in tables
    assert tables["variables"].height > 0
