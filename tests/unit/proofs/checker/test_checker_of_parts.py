"""The second program on records in parts: it deals and votes alike, confirms proofs, and notices what was forged."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from icudl.artifacts import FINAL, Certificates, TrainingResult
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.models.charted.parts import limited, part_numbers
from icudl.models.options import SummaryOptions
from icudl.proofs.checker import Checker, pieces
from icudl.proofs.checker.parts import deal, held
from icudl.proofs.options import CertifyOptions
from icudl.stages.certify import certify
from parts_cases import parts_checkpoint
from training_grids import make_grid


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificates, Checker]:
    grid = make_grid(20)
    checkpoints = {str(FINAL): parts_checkpoint(grid, SummaryOptions(parts=3, parts_limit=0.1))}
    training = TrainingResult(checkpoints=checkpoints, history=grid.flow, predictions=grid.flow, metrics=grid.flow)
    scratch = tmp_path_factory.mktemp("certify")
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=0)
    proofs = certify(grid, training, CertifyOptions(split="test", misclassified=True, near=True), context)
    return proofs, Checker(proofs, grid, checkpoints)


def test_it_deals_and_votes_as_the_model_does() -> None:
    rng = np.random.default_rng(0)
    series = np.where(rng.random((9, 4)) < 0.5, rng.normal(size=(9, 4)), np.nan)
    inside = ~np.isnan(series) & (np.arange(9) < 7)[:, None]
    part = part_numbers(inside[None], 3)[0]
    whole, *hands = deal(series, 7, 3)
    assert whole is series
    for number, hand in enumerate(hands):
        assert np.array_equal(hand, np.where(part == number, series, np.nan), equal_nan=True)
    scores = rng.normal(size=(5, 50))
    ours = [held(float(w), s, 0.2) for w, s in zip(scores[0], scores.T, strict=True)]
    assert ours == pytest.approx(limited(scores[0], scores, 0.2))


def test_it_confirms_what_was_proved(proved: tuple[Certificates, Checker]) -> None:
    proofs, checker = proved
    assert set(proofs.pieces["verdict"]) >= {"holds", "flips"}
    assert set(proofs.values["verdict"]) >= {"proven", "flips"}
    assert checker.faults(12, np.random.default_rng(0)) == []
    assert set(proofs.nearby["most"]) == {1}


def test_it_notices_what_was_forged(proved: tuple[Certificates, Checker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "DEPTH", 1)
    proofs, checker = proved
    turned = proofs.pieces.with_columns(pl.col("verdict").replace({"holds": "flips", "flips": "holds"}))
    forged = Checker(dataclasses.replace(proofs, pieces=turned), checker.grid, checker.checkpoints)
    assert len([line for line in forged.faults(6, np.random.default_rng(0)) if "again" in line]) == 6
    safe = proofs.values.filter(verdict="proven")
    claimed = safe.with_columns(witness=(pl.col("lower") + pl.col("upper")) / 2)
    forged = Checker(dataclasses.replace(proofs, values=claimed), checker.grid, checker.checkpoints)
    assert len([line for line in forged.faults(5, np.random.default_rng(0)) if "witness" in line]) == min(5, len(safe))
