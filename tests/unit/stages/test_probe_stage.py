"""The probe stage: every stay by its unseen member, the same result from any division, resuming, and refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from attack_cases import make_case
from icudl.artifacts import GridDataset, Probes, TrainingResult
from icudl.artifacts.models.probes import TABLES
from icudl.errors import StageError
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.probes import run
from icudl.probes.options import ProbeOptions
from icudl.stages.probe import probe
from icudl.store.soundness import faults
from icudl.training.scores.scoring import risks

OPTIONS = ProbeOptions(batch_size=4, draws=3, hours=4, steps=2)
N_STAYS = 14


def context(folder: Path) -> RunContext:
    folder.mkdir(exist_ok=True)
    return RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=folder, seed=1)


@pytest.fixture(scope="module")
def case() -> tuple[GridDataset, TrainingResult]:
    return make_case(N_STAYS)


@pytest.fixture(scope="module")
def made(case: tuple[GridDataset, TrainingResult], tmp_path_factory: pytest.TempPathFactory) -> Probes:
    return probe(*case, OPTIONS, context(tmp_path_factory.mktemp("scratch")))


def test_each_stay_is_read_by_the_member_that_was_not_fitted_on_it(
    case: tuple[GridDataset, TrainingResult], made: Probes
) -> None:
    grid, training = case
    assert made.stays.height == N_STAYS
    for line in made.stays.iter_rows(named=True):
        row = int(np.flatnonzero(grid.stay_ids == line["stay_id"])[0])
        assert line["member"] == ("final" if grid.is_test[row] else f"fold-{grid.folds[row]}")
        (known,) = risks(training.checkpoints[line["member"]], grid, np.array([row]), "cpu")
        assert line["probability"] == pytest.approx(known, abs=1e-6)


def test_levels_and_courses_of_a_derangement_stand_for_the_same_stays(made: Probes) -> None:
    sizes = made.responses.group_by("derangement", "stay_id").len()["len"].unique().to_list()
    assert sizes == [2 * 3]
    # Of potassium, calcium and pH, which the data have.
    assert set(made.responses["derangement"]) == {
        *("potassium_rises", "potassium_falls", "calcium_falls", "ph_rises", "ph_falls"),
    }


def test_the_result_depends_on_no_division_and_is_read_as_it_was_written(
    case: tuple[GridDataset, TrainingResult], made: Probes, tmp_path: Path
) -> None:
    other = probe(*case, dataclasses.replace(OPTIONS, batch_size=64), context(tmp_path / "other"))
    for name in TABLES:
        one, another = getattr(made, name), getattr(other, name)
        assert one.drop("probability", strict=False).equals(another.drop("probability", strict=False)), name
        if "probability" in one.columns:
            assert np.allclose(one["probability"], another["probability"], atol=1e-6)
    folder = tmp_path / "written"
    folder.mkdir()
    made.write(folder)
    read = Probes.read(folder)
    assert all(getattr(read, name).equals(getattr(made, name)) for name in TABLES)
    assert faults(read) == []


def test_a_damaged_result_is_unsound(made: Probes) -> None:
    for damaged in (
        dataclasses.replace(made, stays=pl.concat([made.stays, made.stays.head(1)])),
        dataclasses.replace(made, responses=made.responses.with_columns(stay_id=pl.col("stay_id") + 10_000)),
        dataclasses.replace(made, verdicts=made.verdicts.with_columns(one=pl.lit(1.5))),
        dataclasses.replace(made, verdicts=made.verdicts.with_columns(several_reversed=pl.col("draws") + 1)),
    ):
        assert faults(damaged)


def test_finished_shards_are_not_probed_again(
    case: tuple[GridDataset, TrainingResult], made: Probes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = context(tmp_path / "scratch")
    probe(*case, OPTIONS, scratch)

    def fail(*_: object) -> None:
        raise AssertionError("a finished shard was probed again")

    monkeypatch.setattr(run, "probe_shard", fail)
    again = probe(*case, OPTIONS, scratch)
    assert all(getattr(again, name).equals(getattr(made, name)) for name in TABLES)


def test_what_cannot_be_probed_is_refused(case: tuple[GridDataset, TrainingResult], tmp_path: Path) -> None:
    grid, training = case
    no_test = dataclasses.replace(grid, is_test=np.zeros_like(grid.is_test))
    with pytest.raises(StageError, match="holds no stay"):
        probe(no_test, training, dataclasses.replace(OPTIONS, split="test"), context(tmp_path / "a"))
    without = dataclasses.replace(training, checkpoints={"final": training.checkpoints["final"]})
    with pytest.raises(StageError, match="has no member 'fold-0'"):
        probe(grid, without, OPTIONS, context(tmp_path / "b"))
