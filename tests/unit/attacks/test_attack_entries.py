"""What can go wrong in a record: threat model ``measured``, sweep, the errors people make, the noise control."""

import dataclasses
import itertools

import numpy as np
import polars as pl
import pytest
import torch

from attack_cases import make_case
from icudl.artifacts import AttackResult, AttackStatus, Checkpoint, FeatureScaler, GridDataset, TrainingResult
from icudl.attacks.base import make_attack
from icudl.attacks.methods.entry_errors import EntryErrorAttack, enumerate_errors
from icudl.attacks.methods.sweep import SweepAttack
from icudl.attacks.options import (
    AttackOptions,
    EntryErrorOptions,
    GreedyOptions,
    NoiseOptions,
    ProjectedGradientOptions,
    SweepOptions,
)
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.threat import Entries, StayTensors, measured_cells
from icudl.errors import AttackError
from icudl.execution.context import RunContext
from icudl.models.build import load_model
from icudl.preprocessing.mistakes import KINDS, UNIT_FACTORS, transpose_digits
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, select_statics, to_unit
from icudl.stages.attack import attack
from icudl.testing import LinearOracle
from icudl.variables import select

MEASURED = GreedyOptions(threat_model="measured", iterations=40, batch_size=16)


@pytest.fixture(scope="module")
def case() -> tuple[GridDataset, TrainingResult]:
    grid, training = make_case(24, wrong=0)
    rng = np.random.default_rng(0)
    counts = np.where(grid.counts > 0, rng.integers(1, 4, grid.counts.shape), 0).astype(np.uint16)
    return plausible(dataclasses.replace(grid, counts=counts)), training


def plausible(grid: GridDataset) -> GridDataset:
    """The random values mean nothing: let the plausible ranges fit them."""
    limits = dataclasses.replace
    return dataclasses.replace(grid, variables=tuple(limits(each, low=-6.0, high=6.0) for each in grid.variables))


def on_variables_of(grid: GridDataset, training: TrainingResult) -> TrainingResult:
    fitted = {
        name: dataclasses.replace(checkpoint, variables=grid.variables)
        for name, checkpoint in training.checkpoints.items()
    }
    return dataclasses.replace(training, checkpoints=fitted)


def run(case: tuple[GridDataset, TrainingResult], options: AttackOptions, context: RunContext) -> AttackResult:
    grid, training = case
    return attack(grid, on_variables_of(grid, training), options, context)


def probability(checkpoint: Checkpoint, values: np.ndarray, grid: GridDataset, position: int) -> float:
    """The whole road from clinical values to the probability, without any part of an attack."""
    inputs = InputOptions.from_dict(checkpoint.inputs)
    statics = select_statics(grid, inputs)[[position]]
    prepared = prepare_inputs(checkpoint.scaler, inputs, values[None], grid.lengths[[position]], statics)
    model = load_model(checkpoint, "cpu")
    with torch.no_grad():
        logits = model(torch.from_numpy(prepared.unit), torch.from_numpy(prepared.lengths.astype(np.int64)))
    return float(torch.softmax(logits.double(), dim=1)[0, 1])


def test_measured_changes_hold_when_the_record_itself_is_changed(
    case: tuple[GridDataset, TrainingResult], context: RunContext
) -> None:
    grid, training = case
    result = run(case, MEASURED, context)
    broken = result.stays.filter(pl.col("status") == AttackStatus.SUCCESS)
    assert len(broken) > 10
    assert result.threat_model == "measured"
    for row in broken.iter_rows(named=True):
        position = int(np.flatnonzero(grid.stay_ids == row["stay_id"])[0])
        values = grid.values[position].copy()
        cells = result.perturbations.filter((pl.col("stay_id") == row["stay_id"]) & (pl.col("example") == "best"))
        for cell in cells.iter_rows(named=True):
            hour, variable = cell["hour"], cell["variable"]
            mean, count = values[hour, variable], grid.counts[position, hour, variable]
            assert np.isfinite(mean), "something that was never charted was changed"
            assert cell["before_clinical"] == pytest.approx(mean)
            entry = mean + count * (cell["after_clinical"] - mean)
            assert -6 - 1e-3 <= entry <= 6 + 1e-3
            values[hour, variable] = cell["after_clinical"]
        found = probability(training.checkpoints[row["member"]], values, grid, position)
        assert found == pytest.approx(row["best_probability"], abs=1e-4)


def bound_target(case: tuple[GridDataset, TrainingResult], **changes: np.ndarray) -> CheckpointTarget:
    grid, training = dataclasses.replace(case[0], **changes), case[1]
    checkpoint = dataclasses.replace(training.checkpoints["final"], variables=grid.variables)
    inputs = InputOptions.from_dict(checkpoint.inputs)
    prepared = prepare_inputs(checkpoint.scaler, inputs, grid.values, grid.lengths, select_statics(grid, inputs))
    stays = StayTensors.of(prepared, np.arange(len(grid.labels)), "cpu")
    entries = Entries(
        grid.values.astype(np.float64), grid.counts.astype(np.int64), checkpoint.scaler, checkpoint.variables
    )
    return CheckpointTarget.bind(checkpoint, load_model(checkpoint, "cpu"), stays, measured_cells(stays, entries))


def test_one_entry_moves_the_mean_by_its_share(case: tuple[GridDataset, TrainingResult]) -> None:
    values = case[0].values.copy()
    values[0] = np.nan
    values[0, 0, 0] = 0.5
    counts = np.where(np.isnan(values), 0, 4).astype(np.uint16)
    lengths = np.full(len(values), values.shape[1], np.int16)
    target = bound_target(case, values=values, counts=counts, lengths=lengths)
    scaler = target.scaler
    low, high = (to_unit(scaler, np.full(3, 0.5 + (end - 0.5) / 4, np.float32))[0] for end in (-6.0, 6.0))
    assert target.lower[0, 0, 0].item() == pytest.approx(low)
    assert target.upper[0, 0, 0].item() == pytest.approx(high)
    assert target.attackable[0].nonzero().tolist() == [[0, 0]]


def test_the_reach_of_one_entry_by_hand() -> None:
    """Potassium may read 0 to 100 here; the model sees it from 0 to 80."""
    nan = np.nan
    entries = entries_of({"potassium": [50.0, 50.0, nan, 120.0, 95.0, 0.0]})
    counts = np.array([1, 4, 0, 2, 10, 1])[None, :, None]
    variables = (dataclasses.replace(entries.variables[0], low=0.0, high=100.0),)
    limits = {"lower": np.zeros(1, np.float32), "upper": np.full(1, 80, np.float32)}
    entries = dataclasses.replace(
        entries, counts=counts, variables=variables, scaler=dataclasses.replace(entries.scaler, **limits)
    )
    observed = torch.from_numpy(np.isfinite(entries.means))
    unit = torch.from_numpy(np.nan_to_num(to_unit(entries.scaler, entries.means.astype(np.float32)), nan=0.7))
    stays = StayTensors(unit, observed, torch.zeros_like(unit), torch.zeros(1, 0), torch.tensor([6]))
    cells = measured_cells(stays, entries)
    # One of four values moves the mean from 50 to 37.5 or 62.5; a mean of 120 is no worse than it is.
    assert (80 * cells.lower[0, :, 0]).tolist() == pytest.approx([0, 37.5, 0, 60, 80, 0])
    assert (80 * cells.upper[0, :, 0]).tolist() == pytest.approx([80, 62.5, 0, 80, 80, 80])
    assert (80 * cells.values[0, :, 0]).tolist() == pytest.approx([50, 50, 0, 80, 80, 0])
    # Nothing charted, and a mean of 85.5 to 95.5, which looks the same wherever it lies.
    assert cells.attackable[0, :, 0].tolist() == [True, True, False, True, False, True]


def test_a_mean_beyond_the_plausible_range_may_get_better_but_not_worse() -> None:
    """Potassium may read 10 to 100 here; the model sees it from 0 to 200, so nothing hides behind a limit."""
    entries = entries_of({"potassium": [120.0, 4.0]})
    counts = np.array([2, 2])[None, :, None]
    variables = (dataclasses.replace(entries.variables[0], low=10.0, high=100.0),)
    limits = {"lower": np.zeros(1, np.float32), "upper": np.full(1, 200, np.float32)}
    entries = dataclasses.replace(
        entries, counts=counts, variables=variables, scaler=dataclasses.replace(entries.scaler, **limits)
    )
    observed = torch.from_numpy(np.isfinite(entries.means))
    unit = torch.from_numpy(to_unit(entries.scaler, entries.means.astype(np.float32)))
    stays = StayTensors(unit, observed, torch.zeros_like(unit), torch.zeros(1, 0), torch.tensor([2]))
    cells = measured_cells(stays, entries)
    # One of two values of 120 may read 10 instead, one of two values of 4 may read 100.
    assert (200 * cells.lower[0, :, 0]).tolist() == pytest.approx([65, 4])
    assert (200 * cells.upper[0, :, 0]).tolist() == pytest.approx([120, 52])


def test_gradient_flows_through_imputation(case: tuple[GridDataset, TrainingResult]) -> None:
    target = bound_target(case)
    torch.testing.assert_close(target.cells.filling.apply(target.values), target.stays.unit, atol=1e-6, rtol=0)
    _, gradient = target.margin_and_gradient(target.values)
    assert not gradient[~target.stays.observed].any()
    values = target.values.double()
    cell = tuple(gradient.abs().flatten().argmax().item() // np.array([18, 3, 1]) % np.array([100, 6, 3]))
    step = 1e-2
    up, down = target.values.clone(), target.values.clone()
    up[cell] += step
    down[cell] -= step
    slope = (target.margin(up) - target.margin(down))[cell[0]] / (2 * step)
    assert slope.item() == pytest.approx(gradient[cell].item(), rel=0.05)
    assert values.shape == gradient.shape


def test_only_named_variables_change(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    name = case[0].variables[1].name
    result = run(case, dataclasses.replace(MEASURED, variables=(name,)), context)
    assert len(result.perturbations) > 0
    assert set(result.perturbations["variable"]) == {1}


def test_stay_with_nothing_charted_has_nothing_to_change(
    case: tuple[GridDataset, TrainingResult], context: RunContext
) -> None:
    values = case[0].values.copy()
    values[3] = np.nan
    grid = dataclasses.replace(case[0], values=values, counts=np.isfinite(values).astype(np.uint16))
    options = dataclasses.replace(MEASURED, attack_misclassified=True)
    stays = run((grid, case[1]), options, context).stays
    assert stays.filter(pl.col("stay_id") == int(grid.stay_ids[3]))["status"].item() == "nothing_to_change"


def test_sweep_on_the_oracle_is_exact() -> None:
    oracle = LinearOracle.draw(6, 5, 3, seed=4, reach=0.12)
    found = SweepAttack(SweepOptions(sweep_points=5))(oracle, range(6))
    gains, margin = oracle.gains(), oracle.margin(oracle.values)
    at_risk = (gains > margin[:, None, None]).flatten(1).sum(dim=1)
    assert at_risk.sum() > 0
    assert torch.equal(found.tables["sweep"]["at_risk"], at_risk)
    flips = found.tables["sweep_flips"]
    for stay, hour, variable, low, high in zip(
        *(flips[name].tolist() for name in ("stay", "hour", "variable", "low", "high")), strict=True
    ):
        weight, value = oracle.weights[stay, hour, variable].item(), oracle.values[stay, hour, variable].item()
        turning = value - margin[stay].item() / weight
        expected = (0.0, turning) if weight > 0 else (turning, 1.0)
        assert (low, high) == pytest.approx(expected, abs=1e-4)
    smallest = torch.where(gains > margin[:, None, None], margin[:, None, None] / oracle.weights.abs(), torch.inf)
    flipped = found.found
    assert torch.equal(flipped, at_risk > 0)
    torch.testing.assert_close(
        found.best[flipped].abs().amax(dim=(1, 2)), smallest[flipped].amin(dim=(1, 2)), atol=1e-4, rtol=0
    )


def test_sweep_tells_the_entries_that_flip(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    grid, training = case
    result = run(case, SweepOptions(threat_model="measured", sweep_points=5, batch_size=16), context)
    summary, flips = result.curves["sweep"], result.curves["sweep_flips"]
    assert summary["entries"].sum() == np.isfinite(grid.values).sum() - _immovable(result, grid, training)
    assert len(flips) > 0
    assert (flips["entry_low"] <= flips["entry_high"] + 1e-9).all()
    broken = result.stays.filter(pl.col("status") == AttackStatus.SUCCESS)
    assert set(broken["stay_id"]) == set(flips["stay_id"])
    assert (broken["best_l0"] == 1).all()
    members = dict(zip(result.stays["stay_id"], result.stays["member"], strict=True))
    before = dict(zip(result.stays["stay_id"], result.stays["probability_before"], strict=True))
    for row in itertools.islice(flips.iter_rows(named=True), 40):
        position = int(np.flatnonzero(grid.stay_ids == row["stay_id"])[0])
        checkpoint = training.checkpoints[members[row["stay_id"]]]
        cell = (row["hour"], row["variable"])
        mean, count = grid.values[position][cell], grid.counts[position][cell]
        values = grid.values[position].copy()
        entry = (row["entry_low"] + row["entry_high"]) / 2
        values[cell] = mean + (entry - mean) / count
        after = probability(checkpoint, values, grid, position)
        assert (after >= checkpoint.threshold) != (before[row["stay_id"]] >= checkpoint.threshold)


def _immovable(result: AttackResult, grid: GridDataset, training: TrainingResult) -> int:
    """Charted values that no entry can move: the model sees them clipped to a winsor limit whatever it reads."""
    count = 0
    for row in result.stays.iter_rows(named=True):
        position = int(np.flatnonzero(grid.stay_ids == row["stay_id"])[0])
        scaler = training.checkpoints[row["member"]].scaler
        mean, counts = grid.values[position].astype(np.float64), np.maximum(grid.counts[position], 1)
        ends = [to_unit(scaler, (mean + (end - mean) / counts).astype(np.float32)) for end in (-6.0, 6.0)]
        count += int((np.isfinite(mean) & (ends[0] >= ends[1])).sum())
    return count


def test_transposed_digits() -> None:
    values = np.array([[135.0, 7.25, 38.4, 5.0, 110.0, np.nan]])
    decimals = np.array([0, 2, 1, 0, 0, 0])
    last = transpose_digits(values, decimals, 0)[0]
    np.testing.assert_allclose(last[[0, 1, 2, 4]], [153, 7.52, 34.8, 101])
    assert np.isnan(last[[3, 5]]).all()
    second = transpose_digits(values, decimals, 1)[0]
    np.testing.assert_allclose(second[[0, 1, 2]], [315, 2.75, 83.4])
    assert np.isnan(second[4]), "the digits are the same"


def test_digits_change_places_as_they_are_charted() -> None:
    found = wrong_entries({"ph": [7.25], "tempc": [38.4], "heartrate": [91.0]})
    assert found["transposition"] == {(0, "ph", 7.52), (0, "tempc", 34.8), (0, "heartrate", 19.0)}


def entries_of(values: dict[str, list[float]], count: int = 1) -> Entries:
    variables = select(values)
    means = np.array(list(values.values())).T[None]
    low, high = (np.array([getattr(each, end) for each in variables], np.float32) for end in ("low", "high"))
    zeros, none = np.zeros(len(variables), np.float32), np.zeros(0, np.float32)
    scaler = FeatureScaler(low, high, low, zeros, zeros + 1, none, none, none, "linear", 1)
    return Entries(means, np.full(means.shape, count), scaler, variables)


def wrong_entries(values: dict[str, list[float]]) -> dict[str, set[tuple[int, str, float]]]:
    entries = entries_of(values)
    errors, _ = enumerate_errors(entries, 0, np.isfinite(entries.means[0]))
    found: dict[str, set[tuple[int, str, float]]] = {kind: set() for kind in KINDS}
    for error in errors:
        for hour, variable, entry, _ in error.cells:
            found[KINDS[error.kind]].add((hour, entries.variables[variable].name, round(entry, 2)))
    return found


def test_a_swap_is_plausible_only_where_both_of_its_values_are() -> None:
    """Pressures of 120 over 80 change places; of a heart rate of 150 and 22 breaths, 150 breaths are no number."""
    entries = entries_of({"sysbp": [120.0], "diasbp": [80.0], "heartrate": [150.0], "resprate": [22.0]})
    errors, caught = enumerate_errors(entries, 0, np.isfinite(entries.means[0]))
    by_name = {variable.name: variable for variable in entries.variables}
    assert by_name["heartrate"].low <= 22 <= by_name["heartrate"].high
    assert by_name["resprate"].high < 150
    swaps = [error for error in errors if KINDS[error.kind] == "neighbour"]
    names = [{entries.variables[cell[1]].name for cell in error.cells} for error in swaps]
    assert names == [{"sysbp", "diasbp"}]
    assert caught[KINDS.index("neighbour")] == 1


def test_errors_that_the_range_catches_count_as_tried(
    case: tuple[GridDataset, TrainingResult], context: RunContext
) -> None:
    result = run(case, EntryErrorOptions(threat_model="measured", batch_size=16), context)
    table = result.curves["entry_errors"]
    assert table["decimal_caught"].sum() > 0
    for kind in KINDS:
        assert (table[f"{kind}_tried"] >= table[f"{kind}_caught"] + table[f"{kind}_flips"]).all()
    grid = case[0]
    # A decimal point slips two ways in every charted value that is not 0 and does not stay the same.
    charted = {int(stay): int((grid.counts[row] > 0).sum()) for row, stay in enumerate(grid.stay_ids)}
    assert table["decimal_tried"].to_list() == [2 * charted[stay] for stay in table["stay_id"].to_list()]


def test_errors_people_make() -> None:
    nan = np.nan
    found = wrong_entries({"heartrate": [84, nan, 90], "glucose": [180, nan, nan]})
    assert found["transposition"] == {(0, "heartrate", 48.0), (0, "glucose", 108.0), (0, "glucose", 810.0)}
    assert found["decimal"] == {(0, "glucose", 18.0), (0, "glucose", 1800.0)}
    assert found["unit"] == set(), "9.99 and 3243 lie outside the plausible range"
    assert found["copy_forward"] == {(2, "heartrate", 84.0)}
    assert found["sign"] == set()
    assert wrong_entries({"sysbp": [120.0], "diasbp": [70.0]})["neighbour"] == {
        (0, "sysbp", 70.0),
        (0, "diasbp", 120.0),
    }
    assert wrong_entries({"tempc": [37.0]})["unit"] == set(), "98.6 degrees are no plausible temperature in Celsius"
    assert wrong_entries({"creatinine": [44.21]})["unit"] == {(0, "creatinine", 0.5)}


@pytest.mark.parametrize(
    ("name", "canonical", "other"),
    [
        ("glucose", 180, 9.99),  # mg/dL, mmol/L
        ("creatinine", 1.2, 106.1),  # mg/dL, umol/L
        ("bun", 20, 7.14),  # mg/dL, mmol/L of urea
        ("calcium", 1.2, 4.81),  # mmol/L, mg/dL
        ("calcium_total", 9.5, 2.37),  # mg/dL, mmol/L
        ("magnesium", 2, 0.823),  # mg/dL, mmol/L
        ("lactate", 2, 18.02),  # mmol/L, mg/dL
        ("albumin", 4, 40),  # g/dL, g/L
        ("bilirubin", 1.2, 20.52),  # mg/dL, umol/L
        ("cholesterol", 200, 5.17),  # mg/dL, mmol/L
        ("pco2", 40, 5.33),  # mmHg, kPa
        ("po2", 90, 12),  # mmHg, kPa
        ("fio2", 0.5, 50),  # fraction, percent
        ("weight", 70, 154.3),  # kg, pounds
    ],
)
def test_units_in_use(name: str, canonical: float, other: float) -> None:
    (factor,) = UNIT_FACTORS[name]
    assert canonical / factor == pytest.approx(other, rel=2e-3)


def test_fahrenheit_and_celsius_by_hand() -> None:
    """Neither is plausible for the other as the catalogue has it; ranges can be chosen."""
    entries = entries_of({"tempc": [37.0]})
    wide = dataclasses.replace(entries, variables=(dataclasses.replace(entries.variables[0], low=0.0, high=120.0),))
    errors, _ = enumerate_errors(wide, 0, np.ones((1, 1), bool))
    found = [error.cells[0][2] for error in errors if error.kind == KINDS.index("unit")]
    assert sorted(found) == pytest.approx([25 / 9, 98.6])


def test_a_sign_is_lost_only_where_there_can_be_one() -> None:
    entries = entries_of({"tempc": [37.0]})
    for low, number in ((0.0, 0), (-1.0, 1)):
        signed = dataclasses.replace(entries, variables=(dataclasses.replace(entries.variables[0], low=low),))
        assert enumerate_errors(signed, 0, np.ones((1, 1), bool))[1][KINDS.index("sign")] == number


def test_an_entry_at_the_end_of_the_plausible_range_is_not_caught() -> None:
    found = wrong_entries({"heartrate": [100, 30, 99]})["decimal"]
    assert found == {(0, "heartrate", 10.0), (1, "heartrate", 300.0)}


def test_implausible_errors_are_caught() -> None:
    entries = entries_of({"tempc": [37.0], "ph": [7.4]})
    errors, caught = enumerate_errors(entries, 0, np.ones((1, 2), bool))
    by_kind = dict(zip(KINDS, caught, strict=True))
    assert by_kind["unit"] == 2
    assert by_kind["decimal"] == 4
    assert by_kind["transposition"] == 2  # 73.0 degrees and a pH of 4.70; 30.7 and 7.04 can be
    assert {error.kind for error in errors} == {KINDS.index("transposition")}


def test_a_wrong_entry_among_several_counts_by_its_share() -> None:
    entries = entries_of({"heartrate": [84.0]}, count=4)
    errors, _ = enumerate_errors(entries, 0, np.ones((1, 1), bool))
    (error,) = [error for error in errors if error.kind == KINDS.index("transposition")]
    assert error.cells[0][2] == 48.0
    assert error.cells[0][3] == pytest.approx((84 + (48 - 84) / 4 - 10) / 290)


def test_entry_errors_end_to_end(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    result = run(case, EntryErrorOptions(threat_model="measured", batch_size=16), context)
    counts, flips = result.curves["entry_errors"], result.curves["entry_flips"]
    for index, kind in enumerate(KINDS):
        assert (counts[f"{kind}_tried"] >= counts[f"{kind}_caught"] + counts[f"{kind}_flips"]).all()
        assert counts[f"{kind}_flips"].sum() == (flips["kind"] == index).sum()
    assert counts["copy_forward_tried"].sum() > 0
    assert counts["sign_tried"].sum() > 0
    broken = result.stays.filter(pl.col("status") == AttackStatus.SUCCESS)
    assert set(broken["stay_id"]) == set(flips["stay_id"])


def test_errors_of_which_none_flips_leave_an_empty_table(
    case: tuple[GridDataset, TrainingResult], context: RunContext
) -> None:
    result = run(case, EntryErrorOptions(threat_model="measured", batch_size=16, kappa=50.0), context)
    assert result.curves["entry_flips"].is_empty()
    assert result.curves["entry_errors"]["copy_forward_tried"].sum() > 0
    assert result.curves["entry_errors"]["copy_forward_flips"].sum() == 0


def test_entry_errors_need_charted_values() -> None:
    with pytest.raises(AttackError, match="threat_model = 'measured'"):
        EntryErrorAttack(EntryErrorOptions())(LinearOracle.draw(2, 3, 2, seed=1), range(2))


def test_noise_is_weaker_than_the_attack(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    result = run(
        case,
        NoiseOptions(iterations=40, batch_size=16, noise_draws=20),
        context,
    )
    noise = result.curves["noise"]
    assert set(noise["draws"]) <= {0, 20}
    assert (noise["flips"] <= noise["draws"]).all()
    assert 0 < noise["flips"].sum() < noise["draws"].sum()
    assert (noise["reference_l0"] > 0).sum() == (noise["draws"] > 0).sum()


def test_budget_curve_rises(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    options = ProjectedGradientOptions(norm="linf", budgets=(0.5, 0.05, 0.2), iterations=30)
    curve = run(case, options, context).curves["budgets"]
    shares = curve.group_by("budget").agg(pl.col("flipped").mean()).sort("budget")
    assert shares["budget"].to_list() == [0.05, 0.2, 0.5]
    assert shares["flipped"].is_sorted()
    assert shares["flipped"][2] > shares["flipped"][0]


def test_single_cell_optimum_by_exhaustion(case: tuple[GridDataset, TrainingResult]) -> None:
    """Where the sweep finds a single flipping cell, greedy with refinement needs no more than a few."""
    target = bound_target(case)
    swept = SweepAttack(SweepOptions(sweep_points=9))(target, range(24))
    greedy = make_attack(GreedyOptions())(target, list(range(24)))
    single = swept.found
    assert single.any()
    assert greedy.found[single].all()
    needed = torch.count_nonzero(greedy.best[single].flatten(1), dim=1)
    assert (needed == 1).double().mean() > 0.8


@pytest.mark.parametrize("threat_model", ["grid", "measured"])
def test_a_variable_that_the_data_lack_cannot_be_the_one_that_changes(
    case: tuple[GridDataset, TrainingResult], context: RunContext, threat_model: str
) -> None:
    options = dataclasses.replace(MEASURED, threat_model=threat_model, variables=("lactat",))
    with pytest.raises(AttackError, match=r"'lactat' is to be changed.*no variable of the data"):
        run(case, options, context)
