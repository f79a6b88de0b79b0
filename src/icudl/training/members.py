"""Members of a cross-validation: one model per fold and a final one, each a job that can run anywhere."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Checkpoint, FeatureScaler, GridDataset, read_json, write_json
from icudl.execution.base import Tick, seed_for
from icudl.models.baselines import fit_baseline, summarise
from icudl.models.options import ModelOptions
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on, select_statics
from icudl.training.calibration import fit_calibration
from icudl.training.data import Rows, hold_out_patients, stays_of
from icudl.training.events import event_log
from icudl.training.loop import Fitted, OnEpoch, fit, logits_of, probabilities_of
from icudl.training.metrics import choose_threshold
from icudl.training.options import TrainingOptions
from icudl.training.snapshot import Epoch
from icudl.training.threads import single_thread

FINAL = "final"
"""The member fitted on all stays that are not test stays."""

Float64s = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What all members share.

    Attributes:
        grid: All stays.
        inputs: How a model sees them.
        model: Architecture.
        training: Optimisation.
        seed: Root of every random stream.
        device: Where to compute.
        scratch: Where finished members and the states of unfinished ones are kept.
        logs: Folder of event files, or None.
    """

    grid: GridDataset
    inputs: InputOptions
    model: ModelOptions
    training: TrainingOptions
    seed: int
    device: str
    scratch: Path
    logs: Path | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemberJob:
    """One model to fit.

    Attributes:
        fold: The fold it is not fitted on and scores; -1 for the final member, which scores the test stays.
        baseline: Name of a baseline, or "" for the network.
    """

    fold: int
    baseline: str = ""

    @property
    def member(self) -> str:
        """Name of the member."""
        return FINAL if self.fold < 0 else f"fold-{self.fold}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Division:
    """Indices of the stays that a member is fitted on, chooses its epoch and threshold by, and is scored on."""

    fit: Rows
    valid: Rows
    scored: Rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Finished:
    """A fitted member.

    Attributes:
        scored: Indices of the stays it scores.
        probabilities: Their risks.
        threshold: Chosen on its validation stays.
        checkpoint: None for a baseline.
        history: Empty for a baseline.
    """

    scored: Rows
    probabilities: Float64s
    threshold: float
    checkpoint: Checkpoint | None = None
    history: tuple[Epoch, ...] = ()


def divide(grid: GridDataset, fold: int, fraction: float, seed: int) -> Division:
    """Divide the stays for a member: no test stay and no stay of its own fold is in ``fit`` or ``valid``."""
    own = ~grid.is_test & (grid.folds != fold) if fold >= 0 else ~grid.is_test
    scored = grid.folds == fold if fold >= 0 else grid.is_test
    rows = np.flatnonzero(own)
    rng = np.random.default_rng(seed_for(seed, "validation", fold))
    held = hold_out_patients(grid.patient_ids[rows], grid.labels[rows], fraction, rng)
    return Division(fit=rows[~held], valid=rows[held], scored=np.flatnonzero(scored))


def run_member(plan: Plan, job: MemberJob, tick: Tick) -> Finished:
    """Fit one member, or read it where it is finished already.

    Raises:
        StageError: It cannot be trained.
    """
    folder = plan.scratch / (f"{job.baseline}-{job.member}" if job.baseline else job.member)
    if folder.is_dir():
        tick(0 if job.baseline else plan.training.max_epochs)
        return _read(folder)
    division = divide(plan.grid, job.fold, plan.training.validation_fraction, plan.seed)
    with single_thread():
        finished = _fit_baseline(plan, job, division) if job.baseline else _fit_network(plan, job, division, tick)
    _keep(folder, finished)
    return finished


def train_network(
    plan: Plan,
    division: Division,
    job: MemberJob,
    *,
    snapshot: Path | None = None,
    tick: Tick | None = None,
    on_epoch: OnEpoch | None = None,
) -> tuple[Fitted, FeatureScaler]:
    """Fit scaler and network on ``division.fit``; ``division.valid`` chooses the epoch and calibrates the logits."""
    scaler = fit_scaler_on(plan.grid, division.fit, plan.inputs)
    valid = stays_of(plan.grid, division.valid, scaler, plan.inputs)
    fitted = fit(
        plan.model,
        plan.training,
        stays_of(plan.grid, division.fit, scaler, plan.inputs),
        valid,
        seed=seed_for(plan.seed, "network", job.fold),
        name=job.member,
        device=plan.device,
        snapshot=snapshot,
        tick=tick,
        on_epoch=on_epoch,
    )
    logits = logits_of(fitted.model, valid)
    fitted.model.absorb(*fit_calibration(plan.grid.labels[division.valid], logits, plan.training.calibration))
    return fitted, scaler


def risks_of(plan: Plan, rows: Rows, fitted: Fitted, scaler: FeatureScaler) -> Float64s:
    """Return the risks of the stays at ``rows``."""
    return probabilities_of(logits_of(fitted.model, stays_of(plan.grid, rows, scaler, plan.inputs)))


def _fit_network(plan: Plan, job: MemberJob, division: Division, tick: Tick) -> Finished:
    with event_log(plan.logs / job.member if plan.logs else None) as log:
        snapshot = plan.scratch / f"{job.member}.epochs.safetensors"
        fitted, scaler = train_network(plan, division, job, snapshot=snapshot, tick=tick, on_epoch=log)
    valid_risks = risks_of(plan, division.valid, fitted, scaler)
    threshold = choose_threshold(plan.grid.labels[division.valid], valid_risks, plan.training.threshold)
    checkpoint = Checkpoint(
        member=job.member,
        model=plan.model.to_dict(),
        inputs=plan.inputs.to_dict(),
        variables=plan.grid.variables,
        static_names=plan.inputs.statics,
        n_hours=plan.grid.values.shape[1],
        scaler=scaler,
        threshold=threshold,
        weights={name: tensor.cpu().numpy() for name, tensor in fitted.model.state_dict().items()},
    )
    return Finished(
        scored=division.scored,
        probabilities=risks_of(plan, division.scored, fitted, scaler),
        threshold=threshold,
        checkpoint=checkpoint,
        history=fitted.history,
    )


def _fit_baseline(plan: Plan, job: MemberJob, division: Division) -> Finished:
    grid = plan.grid
    statics = select_statics(grid, plan.inputs)

    def summaries(rows: Rows) -> Float64s:
        return summarise(grid.values[rows], grid.lengths[rows], statics[rows])

    seed = seed_for(plan.seed, job.baseline, job.fold)
    model = fit_baseline(job.baseline, summaries(division.fit), grid.labels[division.fit], seed)
    valid_risks = model.predict_proba(summaries(division.valid))[:, 1]
    scored = summaries(division.scored)
    return Finished(
        scored=division.scored,
        probabilities=model.predict_proba(scored)[:, 1] if len(scored) else np.zeros(0),
        threshold=choose_threshold(grid.labels[division.valid], valid_risks, plan.training.threshold),
    )


def _keep(folder: Path, finished: Finished) -> None:
    """Write a finished member; the folder appears in one step."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    np.save(partial / "scored.npy", finished.scored, allow_pickle=False)
    np.save(partial / "probabilities.npy", finished.probabilities, allow_pickle=False)
    if finished.checkpoint is not None:
        finished.checkpoint.write(partial)
    epochs = [{key: _none_for_nan(value) for key, value in dataclasses.asdict(e).items()} for e in finished.history]
    member = finished.checkpoint.member if finished.checkpoint is not None else None
    write_json(partial / "finished.json", {"threshold": finished.threshold, "history": epochs, "member": member})
    partial.rename(folder)


def _read(folder: Path) -> Finished:
    meta = read_json(folder / "finished.json")
    epochs: list[dict[str, Any]] = [
        {key: math.nan if value is None else value for key, value in epoch.items()} for epoch in meta["history"]
    ]
    return Finished(
        scored=np.load(folder / "scored.npy", allow_pickle=False),
        probabilities=np.load(folder / "probabilities.npy", allow_pickle=False),
        threshold=meta["threshold"],
        checkpoint=Checkpoint.read_member(folder, meta["member"]) if meta["member"] is not None else None,
        history=tuple(Epoch(**epoch) for epoch in epochs),
    )


def _none_for_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
