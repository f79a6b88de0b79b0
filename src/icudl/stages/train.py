"""Train: from a grid to fitted models and their scores on stays that they were not fitted on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import polars as pl

from icudl.artifacts import FINAL, HISTORY_SCHEMA, PREDICTIONS_SCHEMA, GridDataset, TrainingResult
from icudl.execution.base import Executor, Tick
from icudl.execution.context import RunContext
from icudl.execution.threads import single_thread
from icudl.models.baselines import BASELINES
from icudl.models.build import charted_class
from icudl.models.options import ModelOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.training.finished import Finished
from icudl.training.fold_ensemble import ensemble_of_folds
from icudl.training.members import MemberJob, Plan, finished_member, keep_member, run_member
from icudl.training.options import TrainingOptions
from icudl.training.outside import as_given, has_folds, met_before
from icudl.training.pretraining.options import PretrainOptions
from icudl.training.robust.options import RobustOptions
from icudl.training.scores.evaluation import score_predictions

SPLITS = ("out-of-fold", "test")


def train(
    grid: GridDataset,
    inputs: InputOptions,
    model: ModelOptions,
    training: TrainingOptions,
    context: RunContext,
    robust: RobustOptions | None = None,
    pretrain: PretrainOptions | None = None,
) -> TrainingResult:
    """Fit one member per fold and a final one; score each on the stays it was not fitted on.

    Member ``fold-k`` is fitted on the stays of the other folds and scores fold k ("out-of-fold"); ``final`` is fitted
    on all stays that are not test stays and scores the test stays ("test"). Each keeps a part of its own training
    patients for early stopping and the threshold. With ``training.final = "folds"`` the final member is the mean of the
    models of the folds instead, which together have seen the same stays. The baselines are fitted on the stays that
    the network of the member is fitted on, those kept apart included where ``training.fit_again`` says so. A model of
    charted values is no network and has no baselines beside it. A model from outside is read instead of fitted, and
    scores stays of patients whom it has not met. ``robust`` concerns networks alone, and
    ``pretrain`` those with recurrent layers.

    Raises:
        StageError: A member cannot be trained: one class only, too few patients, a loss that diverges.
    """
    training = as_given(model, training)
    plan = Plan(
        grid=grid,
        inputs=inputs,
        model=model,
        training=training,
        seed=context.seed,
        device=context.device,
        scratch=context.scratch,
        logs=context.logs,
        met_before=met_before(grid, model),
        robust=robust or RobustOptions(),
        pretrain=pretrain or PretrainOptions(),
    )
    jobs = _jobs(grid, model, training)
    n_models, unit = sum(not job.baseline for job in jobs), "epochs" if charted_class(model) is None else "models"
    with context.progress.task("Training", total=plan.most_epochs * n_models, unit=unit) as bar:
        finished = _run(jobs, plan, context.executor, bar.advance)
    if training.final == "folds":
        folds = [member.checkpoint for member in finished if member.checkpoint]
        with single_thread():
            jobs, finished = (
                [*jobs, MemberJob(fold=-1)],
                [*finished, ensemble_of_folds(folds, grid, FINAL, training, context.device)],
            )
    predictions = _predictions(grid, model.name, jobs, finished)
    with single_thread():
        metrics = score_predictions(predictions, grid.stays, training.bootstrap_samples, context.seed)
    return TrainingResult(
        checkpoints={str(member.checkpoint.member): member.checkpoint for member in finished if member.checkpoint},
        history=_history(jobs, finished),
        predictions=predictions,
        metrics=metrics,
    )


def _run(jobs: Sequence[MemberJob], plan: Plan, executor: Executor, tick: Tick) -> list[Finished]:
    """Fit the unfinished members, and keep them on this machine too: a remote worker keeps its own copy elsewhere."""
    done = {job: finished_member(plan, job) for job in jobs}
    missing = [job for job in jobs if done[job] is None]
    tick(sum(plan.most_epochs for job in jobs if done[job] is not None and not job.baseline))

    def keep(position: int, member: Finished) -> None:
        done[missing[position]] = member
        keep_member(plan, missing[position], member)

    executor.run(run_member, missing, shared=plan, on_result=keep, tick=tick)
    return [member for job in jobs if (member := done[job]) is not None]


def _jobs(grid: GridDataset, model: ModelOptions, training: TrainingOptions) -> list[MemberJob]:
    """Return the models, the longest job first, then the baselines."""
    folds = [-1, *(range(grid.n_folds) if has_folds(model) else ())]
    baselines = BASELINES if training.baselines and charted_class(model) is None else ()
    jobs = [MemberJob(fold=fold, baseline=name) for name in ("", *baselines) for fold in folds]
    return [job for job in jobs if job.baseline or job.fold >= 0 or training.final == "refit"]


def _predictions(
    grid: GridDataset, network: str, jobs: Sequence[MemberJob], finished: Sequence[Finished]
) -> pl.DataFrame:
    frames = []
    for job, member in zip(jobs, finished, strict=True):
        n_stays = len(member.scored)
        columns = {
            "model": [job.baseline or network] * n_stays,
            "member": [str(job.member)] * n_stays,
            "split": [SPLITS[job.fold < 0]] * n_stays,
            "fold": [job.fold] * n_stays,
            "stay_id": grid.stay_ids[member.scored],
            "label": grid.labels[member.scored],
            "probability": member.probabilities,
            "threshold": [member.threshold] * n_stays,
        }
        frames.append(pl.DataFrame(columns, schema=dict(PREDICTIONS_SCHEMA)))
    return pl.concat(frames).sort("model", "split", "stay_id")


def _history(jobs: Sequence[MemberJob], finished: Sequence[Finished]) -> pl.DataFrame:
    rows = [
        {"member": str(job.member), "network": number} | dataclasses.asdict(epoch)
        for job, member in zip(jobs, finished, strict=True)
        for number, history in enumerate(member.histories)
        for epoch in history
    ]
    return pl.DataFrame(rows, schema=dict(HISTORY_SCHEMA)).sort("member", "network", "epoch")
