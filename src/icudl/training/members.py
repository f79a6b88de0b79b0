"""Members of a cross-validation: one model per fold and a final one, each a job that any worker can run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from icudl.artifacts import MET_BEFORE, Checkpoint, FeatureScaler, GridDataset, Member
from icudl.errors import StageError
from icudl.execution.base import Tick
from icudl.execution.context import seed_for
from icudl.execution.threads import single_thread
from icudl.models.base import SequenceClassifier
from icudl.models.baselines import fit_baseline
from icudl.models.build import charted_class, in_parts
from icudl.models.charted.base import ChartedModel
from icudl.models.charted.window import summarise
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.options import ModelOptions
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on, select_statics
from icudl.training.data import Rows, Stays, clinical_stays, hold_out_patients, stays_of
from icudl.training.events import event_logs
from icudl.training.finished import Finished, Float64s, keep, read
from icudl.training.loop import Fitted, fit, logits_of
from icudl.training.options import TrainingOptions
from icudl.training.outside import given_threshold
from icudl.training.pretraining.options import PretrainOptions
from icudl.training.pretraining.unlabelled import UnlabelledStays
from icudl.training.robust.lessons import RobustLessons
from icudl.training.robust.options import RobustOptions
from icudl.training.scores.calibration import calibrated_risks, differences_of, fit_calibration
from icudl.training.scores.metrics import choose_threshold
from icudl.training.scores.risk_curve import fit_curve
from icudl.training.scores.scoring import charted_logits
from icudl.training.snapshot import Epoch
from icudl.training.teacher import soft_targets

Labels = npt.NDArray[np.integer]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The data and options that all members share.

    Attributes:
        grid: All stays.
        inputs: How the stays become inputs of the model.
        model: Architecture.
        training: Optimisation.
        seed: Root of every random stream.
        device: Where to compute.
        scratch: Folder of finished members and of the states of unfinished ones.
        logs: Folder of event files, or None.
        met_before: Patients whom the model met before it came here, and who are not scored.
        robust: What a network is trained against; a model of charted values and a baseline are fitted as usual.
        pretrain: How a network learns from records before it sees an outcome; likewise.
    """

    grid: GridDataset
    inputs: InputOptions
    model: ModelOptions
    training: TrainingOptions
    seed: int
    device: str
    scratch: Path
    logs: Path | None = None
    met_before: Rows = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    robust: RobustOptions = dataclasses.field(default_factory=RobustOptions)
    pretrain: PretrainOptions = dataclasses.field(default_factory=PretrainOptions)

    @property
    def most_epochs(self) -> int:
        """The largest number of epochs that a member may take; a fit without epochs counts as one."""
        if charted_class(self.model) is not None:
            return 1
        a_fit = self.training.max_epochs + self.pretrain.epochs
        return a_fit * self.model.ensemble_size * (2 if self.training.fit_again else 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemberJob:
    """One model to fit.

    Attributes:
        fold: The fold it is not fitted on and scores; -1 for the final member, which scores the test stays.
        baseline: Name of a baseline, or "" for the model itself.
    """

    fold: int
    baseline: str = ""

    @property
    def member(self) -> Member:
        """The member that is fitted."""
        return Member.of_fold(self.fold)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Division:
    """Indices of the stays that a member is fitted on, chooses its epoch and threshold by, and is scored on."""

    fit: Rows
    valid: Rows
    scored: Rows


def learnt_from(grid: GridDataset, member: Member) -> npt.NDArray[np.bool_]:
    """Return a (N,) mask: the stays that a member is fitted or validated on, no test stays and none of its fold."""
    return ~grid.is_test if member.fold is None else ~grid.is_test & (grid.folds != member.fold)


def divide(grid: GridDataset, fold: int, fraction: float, seed: int) -> Division:
    """Divide the stays for a member: no test stay and no stay of its own fold is in ``fit`` or ``valid``."""
    own = learnt_from(grid, Member.of_fold(fold))
    scored = grid.folds == fold if fold >= 0 else grid.is_test
    rows = np.flatnonzero(own)
    rng = np.random.default_rng(seed_for(seed, "validation", fold))
    held = hold_out_patients(grid.patient_ids[rows], grid.labels[rows], fraction, rng)
    return Division(fit=rows[~held], valid=rows[held], scored=np.flatnonzero(scored))


def without_met(division: Division, grid: GridDataset, met_before: npt.NDArray[np.int64]) -> Division:
    """Return a division whose validated and scored stays are of patients whom a model from outside has not met."""

    def unmet(rows: Rows) -> Rows:
        return rows[~np.isin(grid.patient_ids[rows], met_before)]

    return Division(fit=division.fit, valid=unmet(division.valid), scored=unmet(division.scored))


def run_member(plan: Plan, job: MemberJob, tick: Tick) -> Finished:
    """Fit one member, or read it if it is finished.

    Raises:
        StageError: The member cannot be trained.
    """
    known = finished_member(plan, job)
    if known is not None:
        tick(0 if job.baseline else plan.most_epochs)
        return known
    division = divide(plan.grid, job.fold, plan.training.validation_fraction, plan.seed)
    division = without_met(division, plan.grid, plan.met_before)
    with single_thread():
        finished = _fit_baseline(plan, job, division) if job.baseline else _fit_model(plan, job, division, tick)
    keep_member(plan, job, finished)
    return finished


def finished_member(plan: Plan, job: MemberJob) -> Finished | None:
    """Return a member that was finished before, or None."""
    folder = _folder(plan, job)
    return read(folder) if folder.is_dir() else None


def keep_member(plan: Plan, job: MemberJob, finished: Finished) -> None:
    """Keep a finished member for ``finished_member``, unless it is kept already."""
    folder = _folder(plan, job)
    try:
        if not folder.is_dir():
            keep(folder, finished)
    except OSError:
        # Another machine was faster, and the network file system showed its folder with a delay.
        if not folder.is_dir():
            raise


def _folder(plan: Plan, job: MemberJob) -> Path:
    return plan.scratch / (f"{job.baseline}-{job.member}" if job.baseline else str(job.member))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A model, ready to score stays.

    Attributes:
        model: Calibrated; a network is in eval mode.
        scaler: Fitted on the same stays.
        threshold: Chosen on the validation stays, before the model has been fitted on them.
        histories: Epochs of each network in the first fit, which scores the validation stays; none without epochs.
        curve: Isotonic calibration, if the options ask for one.
    """

    model: SequenceClassifier | ChartedModel
    scaler: FeatureScaler
    threshold: float
    histories: tuple[tuple[Epoch, ...], ...]
    curve: Float64s | None = None


def train_model(
    plan: Plan,
    division: Division,
    job: MemberJob,
    *,
    snapshot: Path,
    tick: Tick | None = None,
    on_epoch: Callable[[int, Epoch], None] | None = None,
    on_pretraining: Callable[[int, Epoch], None] | None = None,
) -> Trained:
    """Fit scaler and model on ``division.fit``; ``division.valid`` chooses epoch, calibration and threshold.

    With ``training.fit_again`` scaler and model are then fitted on both parts; the choices stay.

    Args:
        plan: Data and options.
        division: Stays of this member.
        job: Names the member.
        snapshot: File name of the state after each epoch, completed by the number of the network.
        tick: Called for every epoch.
        on_epoch: Called with the number of the network in its ensemble and the epoch, of the first fit.
        on_pretraining: Likewise, with an epoch of the pretraining before the first fit.
    """
    charted = charted_class(plan.model)
    if charted is None:
        return _train_network(
            plan, division, job, snapshot=snapshot, tick=tick, on_epoch=on_epoch, on_pretraining=on_pretraining
        )
    trained = _train_charted(charted, plan, division, job)
    if tick is not None:
        tick(1)
    return trained


def _train_charted(charted: type[ChartedModel], plan: Plan, division: Division, job: MemberJob) -> Trained:
    """Fit a model of charted values, which has neither epochs nor soft targets."""
    seeds = [seed_for(plan.seed, plan.model.name, job.fold, number) for number in range(plan.model.ensemble_size)]

    def fitted_on(rows: Rows) -> ChartedModel:
        return charted.fit(plan.model, clinical_stays(plan.grid, rows, plan.inputs), plan.grid.labels[rows], seeds)

    valid = clinical_stays(plan.grid, division.valid, plan.inputs)
    model = fitted_on(division.fit)
    labels = plan.grid.labels[division.valid]
    _require_choosable(labels, plan)
    line = _line(labels, charted_logits(model, valid), plan.training.calibration)
    curve, threshold = _curve_and_threshold(
        labels, charted_logits(model.absorbed(*line), valid), plan.training, given_threshold(plan.model)
    )
    rows = division.fit
    if plan.training.fit_again:
        rows = np.sort(np.concatenate([division.fit, division.valid]))
        model = fitted_on(rows)
    return Trained(
        model=model.absorbed(*line),
        scaler=fit_scaler_on(plan.grid, rows, plan.inputs),
        threshold=threshold,
        histories=(),
        curve=curve,
    )


def _train_network(
    plan: Plan,
    division: Division,
    job: MemberJob,
    *,
    snapshot: Path,
    tick: Tick | None = None,
    on_epoch: Callable[[int, Epoch], None] | None = None,
    on_pretraining: Callable[[int, Epoch], None] | None = None,
) -> Trained:
    """Fit a network, or several; see ``train_model``."""
    fits = [
        partial(
            fit,
            dataclasses.replace(plan.model, ensemble_size=1),
            plan.training,
            seed=seed_for(plan.seed, "network", job.fold, number),
            name=str(job.member),
            device=plan.device,
            tick=tick,
        )
        for number in range(plan.model.ensemble_size)
    ]
    first = [
        partial(
            fit_on,
            snapshot=snapshot.with_suffix(f".{number}.safetensors"),
            on_epoch=None if on_epoch is None else partial(on_epoch, number),
            on_pretraining=None if on_pretraining is None else partial(on_pretraining, number),
        )
        for number, fit_on in enumerate(fits)
    ]
    chosen, epochs, line = _choose(plan, division, job, first)
    if not plan.training.fit_again:
        return chosen
    every = np.sort(np.concatenate([division.fit, division.valid]))
    scaler = fit_scaler_on(plan.grid, every, plan.inputs)
    lessons = _lessons(plan, every, scaler, job)
    robust = RobustLessons.of(plan.grid, every, scaler, plan.inputs, plan.robust)
    unlabelled = UnlabelledStays.of(plan.grid, every, scaler, plan.inputs, plan.pretrain)
    again = [
        fit_on(
            lessons,
            None,
            epochs=best,
            robust=robust,
            unlabelled=unlabelled,
            snapshot=snapshot.with_suffix(f".{number}.again.safetensors"),
        )
        for number, (fit_on, best) in enumerate(zip(fits, epochs, strict=True))
    ]
    model = _joined(plan, again)
    model.absorb(*line)
    return dataclasses.replace(chosen, model=model, scaler=scaler)


def _choose(
    plan: Plan, division: Division, job: MemberJob, fits: Sequence[Callable[..., Fitted]]
) -> tuple[Trained, list[int], tuple[float, float]]:
    """Return the fit on ``division.fit`` alone, the best epoch of each network, and the calibration line."""
    scaler = fit_scaler_on(plan.grid, division.fit, plan.inputs)
    valid = stays_of(plan.grid, division.valid, scaler, plan.inputs)
    lessons = _lessons(plan, division.fit, scaler, job)
    robust = RobustLessons.of(plan.grid, division.fit, scaler, plan.inputs, plan.robust)
    unlabelled = UnlabelledStays.of(plan.grid, division.fit, scaler, plan.inputs, plan.pretrain)
    fitted = [fit_on(lessons, valid, robust=robust, unlabelled=unlabelled) for fit_on in fits]
    model = _joined(plan, fitted)
    labels, scored = plan.grid.labels[division.valid], partial(_logits, plan, division.valid, scaler, valid)
    line = _absorb_line(model, labels, scored, plan)
    curve, threshold = _curve_and_threshold(labels, scored(model), plan.training)
    histories = tuple(network.history for network in fitted)
    trained = Trained(model=model, scaler=scaler, threshold=threshold, histories=histories, curve=curve)
    return trained, [network.best_epoch for network in fitted], line


def _logits(plan: Plan, rows: Rows, scaler: FeatureScaler, stays: Stays, model: SequenceClassifier) -> Tensor:
    """Return the logits by which a network decides about the stays at ``rows``, which ``stays`` holds scaled."""
    if not plan.model.in_parts:
        return logits_of(model, stays)
    return charted_logits(in_parts(model, scaler, plan.inputs), clinical_stays(plan.grid, rows, plan.inputs))


def _absorb_line(
    model: SequenceClassifier, labels: Labels, scored: Callable[[SequenceClassifier], Tensor], plan: Plan
) -> tuple[float, float]:
    """Calibrate a network, and return the line that it absorbed.

    The limit of a network that reads in parts is one of calibrated logits, so that absorbing a line changes how far
    the limit reaches: a second line makes up for it.
    """
    scale, shift = 1.0, 0.0
    for _ in range(2 if plan.model.in_parts else 1):
        line = _line(labels, scored(model), plan.training.calibration)
        model.absorb(*line)
        scale, shift = scale * line[0], shift * line[0] + line[1]
    return scale, shift


def _line(labels: Labels, logits: Tensor, method: str) -> tuple[float, float]:
    # The line changes no risk of a curve fitted after it, and puts the logits of all folds on one scale.
    return fit_calibration(labels, logits, "platt" if method == "isotonic" else method)


def _require_choosable(labels: Labels, plan: Plan) -> None:
    """Make sure that validation stays can choose what a model from outside does not bring.

    Raises:
        StageError: It has met the patients of all stays of one outcome.
    """
    chosen = given_threshold(plan.model) is None or plan.training.calibration != "none"
    if len(plan.met_before) and chosen and len(np.unique(labels)) < 2:
        raise StageError(
            f"The model has met the patients of all validation stays but {len(labels)}, which do not have both "
            "outcomes: nothing can choose its threshold or calibration. Give it a threshold, without recalibrate."
        )


def _curve_and_threshold(
    labels: Labels, logits: Tensor, training: TrainingOptions, given: float | None = None
) -> tuple[Float64s | None, float]:
    """Return the isotonic curve, if the options ask for one, and the decision threshold unless it is given."""
    curve = fit_curve(labels, differences_of(logits)) if training.calibration == "isotonic" else None
    if given is not None:
        return curve, given
    return curve, choose_threshold(labels, calibrated_risks(logits, curve), training.threshold)


def _lessons(plan: Plan, rows: Rows, scaler: FeatureScaler, job: MemberJob) -> Stays:
    stays = stays_of(plan.grid, rows, scaler, plan.inputs)
    seed = seed_for(plan.seed, "lessons", job.fold)
    return dataclasses.replace(stays, targets=soft_targets(plan.grid, rows, plan.inputs, plan.training, seed))


def _joined(plan: Plan, fitted: Sequence[Fitted]) -> SequenceClassifier:
    models = [network.model for network in fitted]
    return models[0] if len(models) == 1 else EnsembleClassifier(plan.model, models).eval()


def risks_of(plan: Plan, rows: Rows, trained: Trained) -> Float64s:
    """Return the risks of the stays at ``rows``."""
    if isinstance(trained.model, ChartedModel):
        logits = charted_logits(trained.model, clinical_stays(plan.grid, rows, plan.inputs))
    else:
        stays = stays_of(plan.grid, rows, trained.scaler, plan.inputs)
        logits = _logits(plan, rows, trained.scaler, stays, trained.model)
    return calibrated_risks(logits, trained.curve)


def _fit_model(plan: Plan, job: MemberJob, division: Division, tick: Tick) -> Finished:
    with event_logs(plan.logs / str(job.member) if plan.logs else None, plan.model.ensemble_size) as log:
        snapshot = plan.scratch / f"{job.member}.epochs"
        before = partial(log, pretraining=True)
        trained = train_model(plan, division, job, snapshot=snapshot, tick=tick, on_epoch=log, on_pretraining=before)
    checkpoint = Checkpoint(
        member=job.member,
        model=plan.model.to_dict(),
        inputs=plan.inputs.to_dict(),
        variables=plan.grid.variables,
        static_names=plan.inputs.statics,
        n_hours=plan.grid.values.shape[1],
        scaler=trained.scaler,
        threshold=trained.threshold,
        weights=_arrays_of(trained.model) | ({MET_BEFORE: plan.met_before} if len(plan.met_before) else {}),
        curve=trained.curve,
    )
    return Finished(
        scored=division.scored,
        probabilities=risks_of(plan, division.scored, trained),
        threshold=trained.threshold,
        checkpoint=checkpoint,
        histories=trained.histories,
    )


def _arrays_of(model: SequenceClassifier | ChartedModel) -> dict[str, npt.NDArray[Any]]:
    if isinstance(model, ChartedModel):
        return dict(model.arrays)
    return {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}


def _fit_baseline(plan: Plan, job: MemberJob, division: Division) -> Finished:
    grid = plan.grid
    statics = select_statics(grid, plan.inputs)

    def summaries(rows: Rows) -> Float64s:
        return summarise(grid.values[rows], grid.lengths[rows], statics[rows])

    seed = seed_for(plan.seed, job.baseline, job.fold)
    model = fit_baseline(job.baseline, summaries(division.fit), grid.labels[division.fit], seed)
    valid_risks = model.predict_proba(summaries(division.valid))[:, 1]
    if plan.training.fit_again:
        # The network that stands beside it learns from these stays as well.
        every = np.sort(np.concatenate([division.fit, division.valid]))
        model = fit_baseline(job.baseline, summaries(every), grid.labels[every], seed)
    scored = summaries(division.scored)
    return Finished(
        scored=division.scored,
        probabilities=model.predict_proba(scored)[:, 1] if len(scored) else np.zeros(0),
        threshold=choose_threshold(grid.labels[division.valid], valid_risks, plan.training.threshold),
    )
