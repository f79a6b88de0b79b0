"""The second program: it confirms what the first one proved, and notices what was forged."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from attack_cases import make_checkpoint
from icudl.artifacts import FINAL, Certificates, CertificateStatus, TrainingResult
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.models.base import SequenceClassifier
from icudl.models.options import GruOptions, LstmOptions, LstmSummaryOptions, ModelOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.proofs.checker import Checker, pieces
from icudl.proofs.checker.arithmetic import Form, Pass
from icudl.proofs.checker.networks import difference
from icudl.proofs.forms.networks import Passes
from icudl.proofs.options import CertifyOptions
from icudl.stages.certify import certify
from proof_cases import HOURS, charted, make_model, moving, window_model
from training_grids import make_grid

EVERY_INPUT = InputOptions(
    channels=("value", "observed", "hours_since"), statics=("age_years",), scaling="standard", imputation="forward"
)


def proved(tmp_path: Path, model: Any, inputs: InputOptions, threat_model: str) -> tuple[Certificates, Checker]:
    grid = make_grid(20)
    final = make_checkpoint(grid, str(FINAL), model, inputs)
    training = TrainingResult(
        checkpoints={str(FINAL): final}, history=grid.flow, predictions=grid.flow, metrics=grid.flow
    )
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=tmp_path, seed=0)
    options = CertifyOptions(split="test", misclassified=True, threat_model=threat_model)
    proofs = certify(grid, training, options, context)
    return proofs, Checker(proofs, grid, training.checkpoints)


@pytest.mark.parametrize(
    ("model", "inputs", "threat_model"),
    [
        (LstmOptions(hidden_size=4, fc_size=3), InputOptions(), "grid"),
        (GruOptions(hidden_size=4, fc_size=3, readout="max", activation="gelu"), EVERY_INPUT, "measured"),
        pytest.param(
            LstmOptions(hidden_size=3, fc_size=0, n_layers=2, readout="last_hour"),
            EVERY_INPUT,
            "grid",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            LstmSummaryOptions(hidden_size=3, fc_size=0, readout="attention"),
            EVERY_INPUT,
            "measured",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_confirms_what_was_proved(tmp_path: Path, model: Any, inputs: InputOptions, threat_model: str) -> None:
    proofs, checker = proved(tmp_path, model, inputs, threat_model)
    assert set(proofs.pieces["verdict"]) >= {"holds", "flips"}
    told: list[int] = []
    assert checker.faults(12, np.random.default_rng(0), told.append) == []
    assert told == [1] * checker.to_check(12)


def test_it_notices_what_was_forged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "DEPTH", 1)
    proofs, checker = proved(tmp_path, LstmOptions(hidden_size=4, fc_size=3), InputOptions(), "grid")
    turned = {"holds": "flips", "flips": "holds"}
    changed = proofs.pieces.with_columns(pl.col("verdict").replace(turned))
    forged = Checker(dataclasses.replace(proofs, pieces=changed), checker.grid, checker.checkpoints)
    assert len([line for line in forged.faults(10, np.random.default_rng(0)) if "again" in line]) == 10
    # A witness in the midst of what is proven.
    safe = proofs.values.filter(verdict=CertificateStatus.PROVEN.value)
    claimed = safe.with_columns(witness=(pl.col("lower") + pl.col("upper")) / 2)
    forged = Checker(dataclasses.replace(proofs, values=claimed), checker.grid, checker.checkpoints)
    assert len([line for line in forged.faults(5, np.random.default_rng(0)) if "witness" in line]) == min(
        5, safe.height
    )


@pytest.mark.parametrize("kind", [LstmOptions, GruOptions])
@pytest.mark.parametrize("readout", ["last_hour", "final", "mean", "max", "attention"])
def test_its_network_is_that_of_torch(kind: type[ModelOptions], readout: str) -> None:
    options = kind(hidden_size=4, fc_size=3, readout=readout, n_layers=2, ensemble_size=2)  # type: ignore[call-arg]
    _compare(make_model(options), moving(0.4)[1])


@pytest.mark.parametrize("observed", [False, True])
def test_its_network_on_window_summaries_is_that_of_torch(observed: bool) -> None:
    options = LstmSummaryOptions(hidden_size=4, fc_size=3, readout="attention", summary_share=0.7)
    features, passes = moving(0.2)
    if observed:
        features, passes = charted(features, passes)
    _compare(window_model(options, observed=observed), passes, 1e-7)  # torch counts days in float32


def _compare(model: SequenceClassifier, passes: Passes, within: float = 1e-9) -> None:
    """The second program's network and torch's, at points of the first pass."""
    options = model.options
    weights = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    track = passes.track
    hours = [Form(track.centre[0, hour].numpy(), track.slope[0, :, hour].numpy()) for hour in range(HOURS)]
    form = difference(weights, options.to_dict(), hours, at=Pass())
    at = torch.linspace(-1, 1, 51, dtype=torch.float64)
    with torch.no_grad():
        inputs = track.centre[0] + at[:, None, None] * track.slope[0, 0]
        logits = model.double()(inputs, torch.full((51,), HOURS))
    distance = (logits[:, 1] - logits[:, 0]).numpy() - form.middle[0] - at.numpy() * form.noise[0, 0]
    rest = np.abs(form.noise[1:, 0]).sum() + form.error
    assert np.all(np.abs(distance) <= rest + within)
    still = [Form(form.middle, np.zeros((0, len(form.middle)))) for form in hours]
    exact = difference(weights, options.to_dict(), still, at=Pass())
    assert float(exact.middle[0]) == pytest.approx(float(logits[25, 1] - logits[25, 0]), abs=within)
