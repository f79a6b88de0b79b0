"""Reversed verdicts: the integral agrees with enumeration, and with a simulation that changes whole records."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

import attack_cases
import charted_cases
from icudl.artifacts import GridDataset, TrainingResult
from icudl.attacks.run.shards import Shard, ShardJobs, divide
from icudl.preprocessing.mistakes import KINDS
from icudl.preprocessing.scaling import InputOptions, static_columns
from icudl.probes.options import ProbeOptions
from icudl.probes.run import bind_measured
from icudl.probes.scoring import risk_function
from icudl.probes.verdicts import Slips, draw_several, number_wrong, reversals

CHANCES = np.array([0.1, 0.0, 0.5, 0.03, 0.9])


def patterns(chance: np.ndarray) -> dict[tuple[bool, ...], float]:
    """Every pattern of wrong values and its chance."""
    found = {}
    for pattern in itertools.product((False, True), repeat=len(chance)):
        found[pattern] = float(np.prod(np.where(pattern, chance, 1 - chance)))
    return found


def test_the_number_of_wrong_values_agrees_with_all_patterns() -> None:
    alone, several = number_wrong(CHANCES)
    known = patterns(CHANCES)
    for value in range(len(CHANCES)):
        only = tuple(index == value for index in range(len(CHANCES)))
        assert alone[value] == pytest.approx(known[only])
    assert several == pytest.approx(sum(chance for pattern, chance in known.items() if sum(pattern) > 1))


def test_records_with_several_errors_are_drawn_as_often_as_they_happen() -> None:
    rng, draws = np.random.default_rng(0), 5_000
    counted: dict[tuple[bool, ...], int] = {}
    for _ in range(draws):
        wrong = draw_several(CHANCES, rng)
        pattern = tuple(index in wrong for index in range(len(CHANCES)))
        counted[pattern] = counted.get(pattern, 0) + 1
    known = {pattern: chance for pattern, chance in patterns(CHANCES).items() if sum(pattern) > 1}
    total = sum(known.values())
    assert set(counted) <= {pattern for pattern, chance in known.items() if chance > 0}
    for pattern, chance in known.items():
        expected = chance / total
        deviation = np.sqrt(expected * (1 - expected) / draws)
        assert abs(counted.get(pattern, 0) / draws - expected) <= 5 * deviation, pattern


def only_shards(grid: GridDataset, training: TrainingResult, rows: np.ndarray) -> list[Shard]:
    parts = divide(grid, rows, 64)
    inputs = {member: InputOptions.from_dict(each.inputs) for member, each in training.checkpoints.items()}
    statics = {member: static_columns(grid, each) for member, each in inputs.items()}
    return list(ShardJobs(grid, parts, statics, seed=3))


def simulated(
    grid: GridDataset, training: TrainingResult, shard: Shard, options: ProbeOptions, draws: int
) -> np.ndarray:
    """(B, draws) bool: the verdict on a record with errors, which was prepared from the start, is another one."""
    checkpoint = training.checkpoints[shard.member]
    entries = bind_measured(checkpoint, shard, "cpu").entries
    allowed = bind_measured(checkpoint, shard, "cpu").attackable.numpy()
    assert entries is not None
    rng = np.random.default_rng(17)
    found = np.zeros((len(shard.rows), draws), bool)
    before = risk_function(checkpoint, shard, "cpu")(shard.values) >= checkpoint.threshold
    for row in range(len(shard.rows)):
        slips = Slips.of(entries, row, allowed[row], [1.0] * len(KINDS))
        records = np.repeat(shard.values[[row]], draws, axis=0)
        for record in records:
            wrong = np.flatnonzero(rng.random(len(slips.entries)) < slips.wrong(options.error_rate))
            for error in slips.draw(wrong, rng):
                for hour, variable, entry, _ in error.cells if error.plausible else ():
                    mean, count = float(shard.values[row, hour, variable]), int(shard.counts[row, hour, variable])
                    record[hour, variable] = mean + (entry - mean) / max(count, 1)
        one = Shard(
            member=shard.member,
            rows=np.repeat(shard.rows[[row]], draws),
            values=records,
            counts=np.repeat(shard.counts[[row]], draws, axis=0),
            statics=np.repeat(shard.statics[[row]], draws, axis=0),
            lengths=np.repeat(shard.lengths[[row]], draws),
            labels=np.repeat(shard.labels[[row]], draws),
            seeds=np.repeat(shard.seeds[[row]], draws),
        )
        says_death = risk_function(checkpoint, one, "cpu")(records) >= checkpoint.threshold
        found[row] = says_death != before[row]
    return found


CASES: dict[str, Callable[[int], tuple[GridDataset, TrainingResult]]] = {
    "lstm": attack_cases.make_case,
    "trees": lambda n: charted_cases.make_case(charted_cases.TREES, n),
}


def agreement(case: str, n_stays: int, draws: int, rate: float) -> None:
    """Compare the integral over stays with a simulation; both are means of independent stays given the model."""
    grid, training = CASES[case](n_stays)
    options = ProbeOptions(error_rate=rate, draws=draws)
    differences, noise = [], []
    for shard in only_shards(grid, training, np.arange(n_stays)):
        target = bind_measured(training.checkpoints[shard.member], shard, "cpu")
        verdicts = reversals(target, shard.rows, shard.seeds, options)[0].filter(level="usual").sort("row")
        share = (verdicts["several_reversed"] / verdicts["draws"].clip(lower_bound=1)).to_numpy()
        integral = verdicts["one_reversed"].to_numpy() + verdicts["several"].to_numpy() * share
        drawn = simulated(grid, training, shard, options, draws)
        differences.append(drawn.mean(axis=1)[np.argsort(shard.rows)] - integral)
        noise.append(drawn.var(axis=1)[np.argsort(shard.rows)] / draws)
        noise.append(verdicts["several"].to_numpy() ** 2 * share * (1 - share) / draws)
    difference = np.concatenate(differences)
    deviation = np.sqrt(np.concatenate(noise).sum()) / n_stays
    assert len(difference) == n_stays
    assert deviation > 0
    assert abs(difference.mean()) < 3.5 * deviation


@pytest.mark.parametrize("case", CASES)
def test_integral_and_simulation_agree(case: str) -> None:
    agreement(case, 30, 40, 0.05)


@pytest.mark.exhaustive
@pytest.mark.parametrize("rate", [0.005, 0.037, 0.2])
@pytest.mark.parametrize("case", CASES)
def test_integral_and_simulation_agree_on_500_stays(case: str, rate: float) -> None:
    agreement(case, 500, 100, rate)


def test_no_error_reverses_no_verdict_and_every_value_is_reckoned_with() -> None:
    grid, training = CASES["trees"](40)
    (shard, *_) = only_shards(grid, training, np.arange(40))
    target = bind_measured(training.checkpoints[shard.member], shard, "cpu")
    options = ProbeOptions(error_rate_low=0.0, error_rate=0.01, error_rate_high=1.0, draws=4)
    verdicts, slips = reversals(target, shard.rows, shard.seeds, options)
    none = verdicts.filter(level="low")
    assert none.select("expected_errors", "one", "one_reversed", "several").sum().row(0) == (0, 0, 0, 0)
    every = verdicts.filter(level="high")
    assert (every["expected_errors"] == every["expected_errors"].round()).all()
    assert (every.filter(every["expected_errors"] > 1)["several"] == 1.0).all()
    assert (slips["weight_reversing"] <= slips["weight"] + 1e-12).all()
    assert (slips["reversing"] > 0).any()


def test_a_kind_without_weight_does_not_happen() -> None:
    grid, training = CASES["trees"](40)
    (shard, *_) = only_shards(grid, training, np.arange(40))
    target = bind_measured(training.checkpoints[shard.member], shard, "cpu")
    others = {f"weight_{kind}": 0.0 for kind in KINDS if kind != "decimal"}
    slips = reversals(target, shard.rows, shard.seeds, ProbeOptions(**others))[1]  # type: ignore[arg-type]
    assert set(slips["kind"]) == {"decimal"}
