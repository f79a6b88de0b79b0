"""The attack stage: which model attacks which stay, what is counted, resumption, statuses."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from attack_cases import decisions, make_case
from icudl.artifacts import AttackResult, AttackStatus, GridDataset, TrainingResult
from icudl.attacks.base import Perturbation, TargetModel, default_options
from icudl.attacks.options import AttackOptions, GreedyOptions, ProximalOptions
from icudl.attacks.run import runner
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.threat import StayTensors, grid_cells
from icudl.errors import PluginError, StageError
from icudl.execution.context import RunContext
from icudl.execution.pool.executor import ProcessExecutor
from icudl.models.build import load_model
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, select_statics
from icudl.stages.attack import attack
from icudl.training.judged import choose_stays

SMALL = GreedyOptions(iterations=30, batch_size=7)
PROXIMAL = ProximalOptions(iterations=40, batch_size=32)


@pytest.fixture(scope="module")
def case() -> tuple[GridDataset, TrainingResult]:
    return make_case(30, wrong=3)


def written(result: AttackResult, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    result.write(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def fresh(context: RunContext, name: str) -> RunContext:
    scratch = context.scratch / name
    scratch.mkdir()
    return dataclasses.replace(context, scratch=scratch)


@pytest.mark.parametrize("name", ["proximal", "greedy"])
def test_examples_hold_when_recomputed_from_the_tables(
    name: str, case: tuple[GridDataset, TrainingResult], context: RunContext
) -> None:
    grid, training = case
    result = attack(grid, training, {"greedy": SMALL, "proximal": PROXIMAL}[name], context)
    broken = result.stays.filter(pl.col("status") == AttackStatus.SUCCESS)
    assert len(broken) > 15
    assert result.stays["stay_id"].to_list() == sorted(grid.stay_ids)
    for row in broken.iter_rows(named=True):
        position = int(np.flatnonzero(grid.stay_ids == row["stay_id"])[0])
        assert row["member"] == ("final" if grid.is_test[position] else f"fold-{grid.folds[position]}")
        for example in ("first", "best"):
            change = np.zeros(grid.values.shape[1:], np.float32)
            cells = result.perturbations.filter((pl.col("stay_id") == row["stay_id"]) & (pl.col("example") == example))
            change[cells["hour"].to_numpy(), cells["variable"].to_numpy()] = cells["change"].to_numpy()
            assert not change[row["length"] :].any()
            # distances, by numpy
            assert row[f"{example}_l0"] == np.count_nonzero(change)
            assert row[f"{example}_l1"] == pytest.approx(np.abs(change).sum(), rel=1e-5)
            assert row[f"{example}_l2"] == pytest.approx(np.linalg.norm(change), rel=1e-5)
            assert row[f"{example}_linf"] == pytest.approx(np.abs(change).max(), rel=1e-6)
            # the decision, by the library's module, out of the tables alone
            checkpoint = training.checkpoints[row["member"]]
            inputs = prepare_inputs(
                checkpoint.scaler,
                InputOptions.from_dict(checkpoint.inputs),
                grid.values[[position]],
                grid.lengths[[position]],
                select_statics(grid, InputOptions.from_dict(checkpoint.inputs))[[position]],
            )
            unit = inputs.unit + change
            assert unit.min() >= 0
            assert unit.max() <= 1
            model = load_model(checkpoint, "cpu")
            with torch.no_grad():
                logits = model(torch.from_numpy(unit), torch.from_numpy(inputs.lengths.astype(np.int64)))
            probability = torch.softmax(logits.double(), dim=1)[0, 1].item()
            assert probability == pytest.approx(row[f"{example}_probability"], abs=1e-6)
            assert (probability >= checkpoint.threshold) != (row["probability_before"] >= checkpoint.threshold)
            # clinical units
            lower, upper = checkpoint.scaler.lower, checkpoint.scaler.upper
            width = (upper - lower)[cells["variable"].to_numpy()]
            moved = cells["after_clinical"].to_numpy() - cells["before_clinical"].to_numpy()
            np.testing.assert_allclose(moved, cells["change"].to_numpy() * width, atol=1e-4)
    assert (broken["best_l1"] <= broken["first_l1"] + 1e-6).all()
    assert (broken["best_iteration"] >= broken["first_iteration"]).all()


@pytest.mark.parametrize("threshold", [0.1, 0.8])
def test_the_checkpoint_threshold_decides(threshold: float, context: RunContext) -> None:
    grid, training = make_case(24, wrong=0, threshold=threshold)
    stays = attack(grid, training, SMALL, context).stays
    assert (stays["status"] == AttackStatus.SUCCESS).mean() > 0.7
    assert ((stays["probability_before"] >= threshold) == (stays["label"] == 1)).all()
    broken = stays.drop_nulls("best_probability")
    assert ((broken["best_probability"] >= threshold) != (broken["probability_before"] >= threshold)).all()


def test_misclassified_stays_are_left_alone_unless_asked_for(
    case: tuple[GridDataset, TrainingResult], context: RunContext
) -> None:
    grid, training = case
    wrong = set(grid.stay_ids[:3].tolist())
    stays = attack(grid, training, SMALL, context).stays
    assert set(stays.filter(pl.col("status") == AttackStatus.MISCLASSIFIED)["stay_id"]) == wrong
    assert stays.filter(pl.col("status") == AttackStatus.MISCLASSIFIED)["best_l1"].null_count() == 3
    every = attack(grid, training, dataclasses.replace(SMALL, attack_misclassified=True), context).stays
    assert AttackStatus.MISCLASSIFIED not in set(every["status"])
    assert every.filter(pl.col("stay_id").is_in(wrong))["best_l1"].null_count() < 3


def test_unreachable_confidence_is_failure(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    result = attack(*case, dataclasses.replace(SMALL, kappa=50.0, iterations=5), context)
    assert set(result.stays["status"]) == {AttackStatus.FAILED, AttackStatus.MISCLASSIFIED}
    assert len(result.perturbations) == 0
    assert result.stays["best_l0"].null_count() == len(result.stays)


def test_confidence_is_kept(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    stays = attack(*case, dataclasses.replace(SMALL, kappa=0.2), context).stays.drop_nulls("best_probability")
    logits = np.log(stays["best_probability"] / (1 - stays["best_probability"]))
    assert len(stays) > 10
    assert (np.abs(logits) >= 0.2 - 1e-6).all()


def test_invalid_output_and_nothing_to_change(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    grid, training = case
    broken = dict(training.checkpoints)
    weights = dict(broken["final"].weights)
    weights["head.out.bias"] = np.full(2, np.nan, np.float32)
    broken["final"] = dataclasses.replace(broken["final"], weights=weights)
    stays = attack(grid, dataclasses.replace(training, checkpoints=broken), SMALL, context).stays
    assert set(stays.filter(pl.col("split") == "test")["status"]) == {AttackStatus.INVALID_OUTPUT}
    assert AttackStatus.INVALID_OUTPUT not in set(stays.filter(pl.col("split") != "test")["status"])

    blind, blind_training = make_case(20, wrong=0, inputs=InputOptions(channels=("observed",)))
    stays = attack(blind, blind_training, SMALL, fresh(context, "blind")).stays
    assert set(stays["status"]) == {AttackStatus.NOTHING_TO_CHANGE}


def test_stay_with_nothing_charted(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    grid, training = case
    values = grid.values.copy()
    values[5] = np.nan
    empty = dataclasses.replace(grid, values=values, counts=(~np.isnan(values)).astype(np.uint16))
    stays = attack(empty, training, SMALL, context).stays
    assert len(stays) == 30


@pytest.mark.parametrize(
    "name",
    ["sweep", "entry_errors", *(pytest.param(name, marks=pytest.mark.slow) for name in ("greedy", "pgd", "noise"))],
)
def test_finished_shards_are_read_as_they_were_computed(
    name: str, case: tuple[GridDataset, TrainingResult], context: RunContext, tmp_path: Path
) -> None:
    measured = "measured" if name == "entry_errors" else "grid"
    options = dataclasses.replace(default_options(name), threat_model=measured, batch_size=7)
    expected = written(attack(*case, options, context), tmp_path / "computed")
    assert written(attack(*case, options, context), tmp_path / "read") == expected


def test_killed_run_goes_on_from_finished_shards(
    case: tuple[GridDataset, TrainingResult], context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = written(attack(*case, SMALL, fresh(context, "whole")), tmp_path / "whole")
    calls: list[int] = []
    original = runner.attack_shard

    def dies_after_three(data: object, shard: object, tick: object) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(data, shard, tick)

    again = fresh(context, "again")
    monkeypatch.setattr(runner, "attack_shard", dies_after_three)
    with pytest.raises(KeyboardInterrupt):
        attack(*case, SMALL, again)
    assert len(list(again.scratch.glob("attack-*.safetensors"))) == 3
    (again.scratch / ".attack-torn.safetensors.partial").write_bytes(b"torn")
    assert written(attack(*case, SMALL, again), tmp_path / "again") == expected
    n_shards = len(list(again.scratch.glob("attack-*.safetensors")))
    assert len(calls) == 4 + n_shards - 3


@pytest.mark.exhaustive  # the test of a lost worker compares the same bytes
def test_processes_give_the_same_bytes(
    case: tuple[GridDataset, TrainingResult], context: RunContext, tmp_path: Path
) -> None:
    serial = written(attack(*case, SMALL, fresh(context, "serial")), tmp_path / "serial-result")
    pooled = dataclasses.replace(fresh(context, "pooled"), executor=ProcessExecutor(2))
    assert written(attack(*case, SMALL, pooled), tmp_path / "pooled-result") == serial


def test_written_and_read_again(case: tuple[GridDataset, TrainingResult], context: RunContext, tmp_path: Path) -> None:
    result = attack(*case, SMALL, context)
    first = written(result, tmp_path / "first")
    assert written(AttackResult.read(tmp_path / "first"), tmp_path / "second") == first


class Liar:
    """Claims examples that flip nothing, leave the box, or touch padding; only the runner can tell."""

    def __init__(self, options: AttackOptions) -> None:
        self.options = options

    def __call__(self, target: TargetModel, seeds: object) -> Perturbation:
        n_stays = len(target.values)
        change = torch.zeros_like(target.values)
        change[1::3] = 3.0  # outside the bounds
        change[2::3] = torch.where(target.attackable[2::3], 0.0, 0.5)  # padding only
        ones = torch.ones(n_stays, dtype=torch.int64)
        return Perturbation(change, change.clone(), ones, ones.clone())


def test_claims_are_not_believed(
    case: tuple[GridDataset, TrainingResult], context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icudl.attacks.run.outcome.make_attack", Liar)
    result = attack(*case, SMALL, context)
    assert set(result.stays["status"]) == {AttackStatus.FAILED, AttackStatus.MISCLASSIFIED}
    assert len(result.perturbations) == 0


def test_split_and_sample(case: tuple[GridDataset, TrainingResult], context: RunContext) -> None:
    grid, _ = case
    test = choose_stays(grid, AttackOptions(split="test"), context)
    assert grid.is_test[test].all()
    assert len(test) == grid.is_test.sum()
    held_out = choose_stays(grid, AttackOptions(split="out-of-fold"), context)
    assert not grid.is_test[held_out].any()
    some = choose_stays(grid, AttackOptions(max_stays=10), context)
    assert len(some) == 10
    assert grid.labels[some].sum() == round(10 * grid.labels.mean())
    assert (some == choose_stays(grid, AttackOptions(max_stays=10), context)).all()
    other = choose_stays(grid, AttackOptions(max_stays=10), dataclasses.replace(context, seed=8))
    assert (some != other).any()


def test_missing_member_unknown_attack_and_no_stay(
    case: tuple[GridDataset, TrainingResult], context: RunContext
) -> None:
    grid, training = case
    only_final = dataclasses.replace(training, checkpoints={"final": training.checkpoints["final"]})
    with pytest.raises(StageError, match="no member 'fold-0'"):
        attack(grid, only_final, SMALL, context)
    attack(grid, only_final, dataclasses.replace(SMALL, split="test", max_stays=3), context)
    with pytest.raises(PluginError, match="Did you mean 'proximal'"):
        attack(grid, training, dataclasses.replace(SMALL, name="proximl"), context)
    without = dataclasses.replace(grid, is_test=np.zeros_like(grid.is_test))
    with pytest.raises(StageError, match="holds no stay"):
        attack(without, training, dataclasses.replace(SMALL, split="test"), context)


@pytest.mark.parametrize(
    "inputs",
    [
        InputOptions(channels=("value", "observed", "hours_since"), statics=("age_years",)),
        InputOptions(scaling="standard", imputation="forward"),
    ],
    ids=["channels", "standard"],
)
def test_target_gradient_against_autograd(inputs: InputOptions) -> None:
    grid, training = make_case(10, wrong=0, inputs=inputs)
    checkpoint = training.checkpoints["final"]
    prepared = prepare_inputs(checkpoint.scaler, inputs, grid.values, grid.lengths, select_statics(grid, inputs))
    stays = StayTensors.of(prepared, np.arange(10), "cpu")
    model = load_model(checkpoint, "cpu")
    target = CheckpointTarget.bind(checkpoint, model, stays, grid_cells(stays))
    margin, gradient = target.margin_and_gradient(target.values)
    leaf = target.values.clone().requires_grad_()
    logits = model(target.features(leaf), stays.lengths)
    expected = target.sign * (logits[:, 1] - logits[:, 0] - target.shift)
    expected.sum().backward()
    torch.testing.assert_close(margin, expected.detach(), atol=3e-4, rtol=0)
    torch.testing.assert_close(gradient, leaf.grad, atol=1e-5, rtol=1e-4)
    assert (margin > 0).all()
    says_death = torch.from_numpy(decisions(grid, checkpoint)[0])
    assert torch.equal(target.sign > 0, says_death)
    confident = CheckpointTarget.bind(checkpoint, model, stays, grid_cells(stays), confidence=0.5)
    torch.testing.assert_close(confident.margin(target.values), margin + 0.5)
    torch.testing.assert_close(confident.select(torch.tensor([7])).margin(target.values[[7]]), margin[[7]] + 0.5)
    part = target.select(torch.tensor([7, 2]))
    torch.testing.assert_close(part.margin(part.values), margin[[7, 2]])


def test_data_shape_is_not_assumed(context: RunContext) -> None:
    """Defect 13 of the original: 19 variables written into the attacker."""
    grid, training = make_case(16, wrong=0, n_hours=3, n_variables=2)
    stays = attack(grid, training, SMALL, context).stays
    assert len(stays) == 16


def test_threads_change_nothing(case: tuple[GridDataset, TrainingResult], context: RunContext, tmp_path: Path) -> None:
    few = dataclasses.replace(SMALL, max_stays=8)
    expected = written(attack(*case, few, fresh(context, "one")), tmp_path / "one")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = written(attack(*case, few, fresh(context, "three")), tmp_path / "three")
    finally:
        torch.set_num_threads(before)
    assert found == expected
