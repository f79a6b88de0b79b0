"""The certify stage: statuses, the same bytes from any division, resuming, and refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from attack_cases import make_case
from icudl.analysis.numbers.proofs.certificates import flips_of, proved_nearby
from icudl.artifacts import Certificates, CertificateStatus
from icudl.artifacts.attacks.certificates import PIECES_SCHEMA
from icudl.attacks.run.shards import divide
from icudl.errors import StageError
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.proofs import run
from icudl.proofs.forms.nearby import THREATS
from icudl.proofs.options import CertifyOptions
from icudl.stages.certify import certify
from icudl.store.soundness import faults

OPTIONS = CertifyOptions(batch_size=4, near=True)
N_STAYS = 14


def context(folder: Path) -> RunContext:
    folder.mkdir(exist_ok=True)
    return RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=folder, seed=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certify(*make_case(N_STAYS), OPTIONS, context(tmp_path_factory.mktemp("scratch")))


def test_each_stay_has_the_status_of_its_values(made: Certificates) -> None:
    stays = made.stays.filter(pl.col("status") != CertificateStatus.MISCLASSIFIED.value)
    assert made.stays.height == N_STAYS
    assert made.stays.height - stays.height == 3
    for row in stays.iter_rows(named=True):
        own = made.values.filter(stay_id=row["stay_id"])
        assert row["values"] == own.height == row["proven"] + row["flippable"] + row["undecided"]
        expected = CertificateStatus.FLIPS if (own["verdict"] == "flips").any() else CertificateStatus.PROVEN
        assert row["status"] == (expected.value if own.height else CertificateStatus.NOTHING_TO_CHANGE.value)
    assert set(stays["status"]) >= {"proven", "flips"}


def test_every_flip_has_a_witness_and_an_interval(made: Certificates) -> None:
    flipping = made.values.filter(verdict="flips")
    assert flipping["witness"].null_count() == 0
    assert flipping["bound"].null_count() == flipping.height
    key = ["stay_id", "hour", "variable"]
    assert made.flips.select(key).unique().sort(key).equals(flipping.select(key).sort(key))
    within = made.flips.filter(pl.col("low").is_not_null())
    assert (within["low"] >= within["outer_low"]).all()
    assert (within["high"] <= within["outer_high"]).all()
    assert (within["low"] - within["outer_low"]).max() <= OPTIONS.width * (1 + 1e-9)
    assert (made.flips["entry_low"] <= made.flips["entry_high"]).all()


def test_the_proof_is_read_as_it_was_written(made: Certificates, tmp_path: Path) -> None:
    made.write(tmp_path)
    read = Certificates.read(tmp_path)
    for name in ("stays", "values", "pieces", "flips", "nearby"):
        assert getattr(read, name).equals(getattr(made, name))
    assert read.options == made.options
    assert faults(read) == []


def test_small_errors_are_proved_for_the_stays_that_are_looked_at(made: Certificates) -> None:
    near = proved_nearby(made)
    assert {(each.most, each.within) for each in near} == set(THREATS)
    looked_at = made.stays.filter(pl.col("status") != CertificateStatus.MISCLASSIFIED.value).height
    assert {each.stays for each in near} == {looked_at}
    assert [each.threat for each in near][-1] == "all values within 1 %"
    bound = {(stay, most, within): lead for stay, most, within, _, lead in made.nearby.iter_rows()}
    for stay in made.nearby["stay_id"].unique():
        # More values, or larger errors, can do more.
        assert bound[stay, 2, 0.05] >= bound[stay, 2, 0.10]
        assert bound[stay, 0, 0.005] >= bound[stay, 0, 0.01]
        charted = made.values.filter(stay_id=stay)
        if (charted["verdict"] == "proven").all():
            assert bound[stay, 1, 0.05] > 0
    assert 0 < made.nearby["proven"].sum() < made.nearby.height or made.nearby["proven"].all()


def test_the_values_that_flip_a_stay_are_named(made: Certificates) -> None:
    stay = made.flips["stay_id"][0]
    own = flips_of(made, stay)
    assert own.height == made.flips.filter(stay_id=stay).height > 0
    assert own["label"][0] == made.variables[own["variable"][0]].label
    assert (own["entry_low"] <= own["entry_high"]).all()


def test_a_damaged_proof_is_unsound(made: Certificates) -> None:
    claimed = made.nearby.with_columns(proven=pl.lit(True), bound=-pl.col("bound").abs())
    gap = made.pieces.with_row_index().filter(pl.col("index") != 1).drop("index")
    forged = made.values.with_columns(verdict=pl.lit("proven"))
    raised = made.pieces.with_columns(bound=-pl.col("bound"))
    for damaged in (
        dataclasses.replace(made, pieces=gap),
        dataclasses.replace(made, values=forged),
        dataclasses.replace(made, pieces=raised),
        dataclasses.replace(made, nearby=claimed),
        dataclasses.replace(made, nearby=pl.concat([made.nearby, made.nearby])),
    ):
        assert faults(damaged)


@pytest.mark.slow  # all proofs once more; tests/unit/attacks/run kills a shard
def test_a_killed_run_goes_on(tmp_path: Path, made: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    case, calls = make_case(N_STAYS), 0
    real = run.prove_shard

    def dying(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "prove_shard", dying)
    with pytest.raises(KeyboardInterrupt):
        certify(*case, OPTIONS, context(tmp_path))
    calls = -100
    resumed = certify(*case, OPTIONS, context(tmp_path))
    assert calls == -100 + len(divide(case[0], np.arange(N_STAYS), 4)) - 2
    assert resumed.pieces.select(list(PIECES_SCHEMA)).equals(made.pieces)


def test_what_holds_no_stay_is_refused(tmp_path: Path) -> None:
    grid, training = make_case(N_STAYS)
    no_test = dataclasses.replace(grid, is_test=np.zeros(N_STAYS, bool))
    with pytest.raises(StageError, match="holds no stay"):
        certify(no_test, training, CertifyOptions(split="test"), context(tmp_path))
    missing = dataclasses.replace(training, checkpoints={"final": training.checkpoints["final"]})
    with pytest.raises(StageError, match="no member 'fold-0'"):
        certify(grid, missing, OPTIONS, context(tmp_path))
