"""What a GPU is given in place of questions: searches that look less often, wider batches. Examples are the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from attack_cases import make_case
from icudl.artifacts import GridDataset, TrainingResult
from icudl.attacks import pace, refinement
from icudl.attacks.base import Perturbation
from icudl.attacks.engine import choice
from icudl.attacks.methods import greedy, pgd, proximal
from icudl.attacks.methods.greedy import GreedyAttack
from icudl.attacks.methods.pgd import ProjectedGradientAttack
from icudl.attacks.methods.proximal import ProximalAttack
from icudl.attacks.options import AttackOptions, GreedyOptions, ProjectedGradientOptions, ProximalOptions, SweepOptions
from icudl.attacks.record import ExampleRecord
from icudl.attacks.run import shards
from icudl.attacks.run.shards import ShardData, bind_shard, divide, reads_charted
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.verification import score
from icudl.execution.context import RunContext
from icudl.execution.recording import Rerun
from icudl.models.build import load_model
from icudl.stages.attack import attack
from waiting import NoWaiting

ATTACKS = {
    "greedy": GreedyAttack(GreedyOptions(iterations=30, refine=False)),
    "ista": ProximalAttack(ProximalOptions(iterations=30, patience=6, refine=False)),
    "fista": ProximalAttack(ProximalOptions(iterations=30, patience=6, optimizer="fista", refine=False)),
    "pgd": ProjectedGradientAttack(ProjectedGradientOptions(iterations=27, refine=False)),
    "adam": ProximalAttack(ProximalOptions(iterations=30, patience=6, optimizer="adam", refine=False)),
}


@pytest.fixture(scope="module")
def case() -> tuple[GridDataset, TrainingResult]:
    return make_case(40, wrong=0)


def target_of(case: tuple[GridDataset, TrainingResult], threat_model: str = "grid") -> CheckpointTarget:
    """Stays bound through the engine of devices, on the CPU."""
    grid, training = case
    part = divide(grid, np.flatnonzero(grid.is_test), 40)[0]
    checkpoint = training.checkpoints[part.member]
    shard = shards.ShardJobs(grid, [part], {part.member: ()}, seed=0)[0]
    model = load_model(checkpoint, "cpu")
    return bind_shard(checkpoint, model, shard, threat_model, (), "cpu", engine=choice.device_engine(model, Rerun()))


@pytest.mark.parametrize("name", ATTACKS)
def test_searches_that_look_less_often_find_the_same(
    name: str, case: tuple[GridDataset, TrainingResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    target, run = target_of(case), ATTACKS[name]
    expected = run(target, [])
    assert int(expected.found.sum()) > 0
    for every in (3, 1000):
        for module in (greedy, pgd, proximal):
            monkeypatch.setattr(module, "looks", lambda iteration, _values, every=every: iteration % every == 0)
        same(run(target, []), expected)


def same(found: Perturbation, expected: Perturbation) -> None:
    """The same cells move at the same iteration; sizes may differ by rounding, as batches differ."""
    for name in ("first", "best"):
        one, other = getattr(found, name), getattr(expected, name)
        assert torch.equal(one != 0, other != 0)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
        assert torch.equal(getattr(found, f"{name}_iteration"), getattr(expected, f"{name}_iteration"))


@pytest.mark.parametrize("threat_model", ["grid", "measured"])
@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_waits_inside_an_iteration(
    name: str, threat_model: str, case: tuple[GridDataset, TrainingResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    target, run = target_of(case, threat_model), ATTACKS[name]
    run(target, [])
    for module in (greedy, pgd, proximal):
        monkeypatch.setattr(module, "looks", lambda _iteration, _values: False)
    counts = []
    for iterations in (3, 21):
        shorter = type(run)(dataclasses.replace(run.options, iterations=iterations))
        with NoWaiting(refuses=False) as mode:
            shorter(target, [])
        counts.append(mode.counts)
    # What waits before and after a search does so once, however long it is.
    assert counts[0] == counts[1]


def test_waiting_is_counted(case: tuple[GridDataset, TrainingResult]) -> None:
    target, run = target_of(case), ATTACKS["greedy"]
    with NoWaiting(refuses=False) as mode:
        run(target, [])
    assert mode.counts["aten.nonzero.default"] > 1


def test_the_record_keeps_what_was_first_and_what_is_best() -> None:
    record = ExampleRecord(torch.zeros(4, 1, 2))
    changes = [torch.full((3, 1, 2), float(value)) for value in (1, 2, 3)]
    rows = torch.tensor([3, 0, 2])
    flips = ([True, False, True], [True, False, True], [True, True, False])
    scores = ([5.0, 1.0, 5.0], [4.0, 1.0, 6.0], [4.0, 7.0, 1.0])
    for number, (change, flip, measure) in enumerate(zip(changes, flips, scores, strict=True), 1):
        record.update(rows, change, torch.tensor(flip), torch.tensor(measure, dtype=torch.float64), number)
    found = record.result()
    assert found.first_iteration.tolist() == [3, -1, 1, 1]
    assert found.best_iteration.tolist() == [3, -1, 1, 2]
    assert found.first[:, 0, 0].tolist() == [3, 0, 1, 1]
    assert found.best[:, 0, 0].tolist() == [3, 0, 1, 2]


def test_a_cpu_looks_every_time_and_takes_small_batches() -> None:
    values = torch.zeros(1)
    assert all(pace.looks(iteration, values) for iteration in range(1, 20))
    assert pace.chunk_for(values) == pace.CHUNK
    assert pace.shard_size(7, "cpu") == 7
    elsewhere = torch.zeros(1, device="meta")
    assert [pace.looks(iteration, elsewhere) for iteration in range(1, 9)].count(True) == 8 // pace.LOOK_EVERY
    assert pace.chunk_for(elsewhere) == pace.WIDE_CHUNK
    assert pace.shard_size(7, "cuda:0") == pace.WIDE_SHARD
    assert pace.shard_size(5000, "cuda:0") == 5000


def test_wide_candidates_have_the_same_margins(
    case: tuple[GridDataset, TrainingResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = target_of(case)
    rows = torch.arange(600) % len(target.values)
    changes = torch.rand(600, *target.values.shape[1:], generator=torch.Generator().manual_seed(0)) / 10
    expected = refinement.margins_of(target, rows, changes)
    monkeypatch.setattr(refinement, "chunk_for", lambda _values: pace.WIDE_CHUNK)
    torch.testing.assert_close(refinement.margins_of(target, rows, changes), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        GreedyOptions(iterations=20, batch_size=7),
        GreedyOptions(iterations=20, batch_size=7, threat_model="measured"),
        ProximalOptions(iterations=20, batch_size=7),
    ],
    ids=["greedy", "measured", "proximal"],
)
def test_what_a_gpu_does_otherwise_finds_the_same(
    options: AttackOptions,
    case: tuple[GridDataset, TrainingResult],
    context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = attack(*case, options, context)
    monkeypatch.setattr(shards, "make_engine", lambda model: choice.device_engine(model, Rerun()))
    narrow = attack(*case, options, dataclasses.replace(context, scratch=context.scratch / "narrow"))
    # Passes by hours leave out faint slopes between two surveys, which this one does not.
    expected = narrow if options.name == "proximal" else usual
    np.testing.assert_allclose(narrow.stays["best_l1"].to_numpy(), usual.stays["best_l1"].to_numpy(), rtol=0.1)
    monkeypatch.setattr("icudl.attacks.run.runner.shard_size", lambda _size, _device: pace.WIDE_SHARD)
    monkeypatch.setattr(refinement, "chunk_for", lambda _values: pace.WIDE_CHUNK)
    for module in (greedy, pgd, proximal):
        monkeypatch.setattr(module, "looks", lambda iteration, _values: iteration % pace.LOOK_EVERY == 0)
    found = attack(*case, options, dataclasses.replace(context, scratch=context.scratch / "wide"))
    for column in ("stay_id", "status"):
        assert found.stays[column].equals(usual.stays[column])
    cells = ("stay_id", "example", "hour", "variable")
    assert len(found.perturbations) > 0
    assert found.perturbations.select(cells).equals(expected.perturbations.select(cells))


def test_shards_of_a_device_share_their_reader(
    case: tuple[GridDataset, TrainingResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, training = case
    made: list[str] = []

    def load(checkpoint: object, device: str) -> torch.nn.Module:
        made.append(device)
        return load_model(checkpoint, "cpu")

    monkeypatch.setattr(shards, "load_model", load)
    for device, expected in (("cpu", 2), ("cuda:0", 1)):
        made.clear()
        data = ShardData(training.checkpoints, GreedyOptions(), device)
        first, second = (shards._reader(data, "final") for _ in range(2))
        assert (first[1] is second[1]) == (device != "cpu")
        assert len(made) == expected


def test_models_of_charted_values_are_told_apart(case: tuple[GridDataset, TrainingResult]) -> None:
    assert not reads_charted(case[1].checkpoints["final"])


def test_verification_sees_whole_float32(case: tuple[GridDataset, TrainingResult]) -> None:
    target, seen = target_of(case), []

    class Watched(torch.nn.Module):
        def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            seen.append(torch.backends.cudnn.allow_tf32)
            return torch.zeros(len(lengths), 2).to(features)

    before = torch.backends.cudnn.allow_tf32
    score(Watched(), target, target.values)
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.gpu
@pytest.mark.parametrize("options", [GreedyOptions(), ProximalOptions(), SweepOptions(threat_model="measured")])
def test_an_attack_on_a_gpu_gives_the_same_bytes_again(
    options: AttackOptions,
    case: tuple[GridDataset, TrainingResult],
    context: RunContext,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = dataclasses.replace(context, device="cuda:0")
    found = []
    for name in ("first", "again"):
        scratch, written = tmp_path / f"{name}-scratch", tmp_path / name
        scratch.mkdir()
        written.mkdir()
        result = attack(*case, options, dataclasses.replace(there, scratch=scratch))
        result.write(written)
        found.append({path.name: path.read_bytes() for path in written.iterdir()})
    assert found[0] == found[1]
    assert result.stays["status"].equals(attack(*case, options, context).stays["status"])
    assert not caplog.messages
