"""Proofs about trees and logistic regression: exact, whole, checked, and noticed where they are forged."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from charted_cases import bound, make_case
from icudl.artifacts import Certificates
from icudl.attacks.target.charted import PiecewiseChartedTarget
from icudl.errors import StageError
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.models.options import BoostedTreesOptions, LogisticOptions, ModelOptions
from icudl.proofs.charted.walk import Walk
from icudl.proofs.checker import Checker
from icudl.proofs.options import CertifyOptions
from icudl.proofs.pieces import Verdict
from icudl.proofs.values import Values, changeable
from icudl.stages.certify import certify
from icudl.store.soundness import faults

MODELS: dict[str, ModelOptions] = {
    "trees": BoostedTreesOptions(trees=12, leaves=4),
    "regression": LogisticOptions(),
}


def walked(name: str) -> tuple[Values[PiecewiseChartedTarget], Walk]:
    grid, training = make_case(MODELS[name])
    rows = np.flatnonzero(grid.is_test)[:6]
    plain = bound(grid, training.checkpoints["final"], rows)
    target = PiecewiseChartedTarget(**{each.name: getattr(plain, each.name) for each in dataclasses.fields(plain)})
    values = Values(target, *changeable(target))
    return values, Walk(values, 0.01)


@pytest.mark.parametrize("name", MODELS)
def test_random_points_are_as_their_pieces_say(name: str) -> None:
    values, walk = walked(name)
    found = walk.run()
    rng = np.random.default_rng(0)
    tried = 0
    for number in rng.choice(len(found.pieces.value), 400).tolist():
        piece = found.pieces.where(torch.tensor([number]))
        at = piece.low + torch.rand(64, dtype=torch.float64) * (piece.high - piece.low)
        stay, hour, variable = values.cell[:, int(piece.value)].tolist()
        lead = values.target.single_margins(stay, hour * values.target.values.shape[2] + variable, at)
        if int(piece.verdict) == Verdict.HOLDS:
            assert bool((lead >= piece.bound).all())
            assert float(piece.bound) > 0
        elif int(piece.verdict) == Verdict.FLIPS:
            assert bool((lead <= piece.bound).all())
            assert float(piece.bound) < 0
        else:
            assert float(piece.high - piece.low) <= 0.01
        tried += 1
    assert tried == 400
    assert {Verdict.HOLDS, Verdict.FLIPS} <= {Verdict(code) for code in found.pieces.verdict.tolist()}
    which = (~found.witness.isnan()).nonzero()[:, 0]
    assert len(which) > 0


def proved(name: str, folder: Path, threat_model: str = "measured") -> tuple[Certificates, Checker]:
    grid, training = make_case(MODELS[name])
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=folder, seed=0)
    options = CertifyOptions(split="test", misclassified=True, max_stays=10, threat_model=threat_model)
    proofs = certify(grid, training, options, context)
    return proofs, Checker(proofs, grid, training.checkpoints)


@pytest.mark.parametrize("name", MODELS)
def test_the_second_program_confirms_them_and_notices_a_forgery(name: str, tmp_path: Path) -> None:
    proofs, checker = proved(name, tmp_path)
    assert faults(proofs) == []
    assert set(proofs.values["verdict"]) == {"proven", "flips"}
    assert checker.faults(25, np.random.default_rng(0)) == []
    turned = proofs.pieces.with_columns(pl.col("verdict").replace({"holds": "flips", "flips": "holds"}))
    forged = Checker(dataclasses.replace(proofs, pieces=turned), checker.grid, checker.checkpoints)
    assert len([line for line in forged.faults(10, np.random.default_rng(0)) if "again" in line]) == 10
    # An end of a flipping interval that was moved by a hundredth of the range.
    edge = (pl.col("verdict") == "holds") & (pl.col("high") - pl.col("low") < 0.5)
    before_a_flip = edge & (pl.col("verdict").shift(-1) == "edge")
    moved = proofs.pieces.filter(before_a_flip).with_columns(high=pl.col("high") + 0.02)
    wide = Checker(dataclasses.replace(proofs, pieces=moved), checker.grid, checker.checkpoints)
    assert wide.faults(20, np.random.default_rng(0))
    # A witness in the midst of what is proven.
    safe = proofs.values.filter(verdict="proven").with_columns(witness=(pl.col("lower") + pl.col("upper")) / 2)
    forged = Checker(dataclasses.replace(proofs, values=safe), checker.grid, checker.checkpoints)
    assert len([line for line in forged.faults(5, np.random.default_rng(0)) if "witness" in line]) == 5


def test_the_filled_in_record_is_not_theirs(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="Expected measured"):
        proved("trees", tmp_path, "grid")
