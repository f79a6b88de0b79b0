"""The certify stage: statuses, the same bytes from any division, resuming, and refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from attack_cases import make_case
from icudl.artifacts import Certificates, CertificateStatus
from icudl.artifacts.certificates import PIECES_SCHEMA
from icudl.errors import StageError
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.proofs import run
from icudl.proofs.options import CertifyOptions
from icudl.stages.certify import certify
from icudl.store.soundness import faults

OPTIONS = CertifyOptions(batch_size=4)
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
    for name in ("stays", "values", "pieces", "flips"):
        assert getattr(read, name).equals(getattr(made, name))
    assert read.options == made.options
    assert faults(read) == []


def test_a_damaged_proof_is_unsound(made: Certificates) -> None:
    gap = made.pieces.with_row_index().filter(pl.col("index") != 1).drop("index")
    forged = made.values.with_columns(verdict=pl.lit("proven"))
    raised = made.pieces.with_columns(bound=-pl.col("bound"))
    for damaged in (
        dataclasses.replace(made, pieces=gap),
        dataclasses.replace(made, values=forged),
        dataclasses.replace(made, pieces=raised),
    ):
        assert faults(damaged)


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
    assert calls == -100 + len(run.divide(case[0], np.arange(N_STAYS), 4)) - 2
    assert resumed.pieces.select(list(PIECES_SCHEMA)).equals(made.pieces)


def test_what_holds_no_stay_is_refused(tmp_path: Path) -> None:
    grid, training = make_case(N_STAYS)
    no_test = dataclasses.replace(grid, is_test=np.zeros(N_STAYS, bool))
    with pytest.raises(StageError, match="holds no stay"):
        certify(no_test, training, CertifyOptions(split="test"), context(tmp_path))
    missing = dataclasses.replace(training, checkpoints={"final": training.checkpoints["final"]})
    with pytest.raises(StageError, match="no member 'fold-0'"):
        certify(grid, missing, OPTIONS, context(tmp_path))
