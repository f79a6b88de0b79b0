"""Tune: search options of the model, or of the attack, by what they score on stays that are not test stays."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from icudl.artifacts import Direction, GridDataset, Objective, TrainingResult, TrialState, TuningResult
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.runner import run_attack
from icudl.errors import ConfigError
from icudl.execution.context import RunContext, SilentProgress
from icudl.models.options import ModelOptions
from icudl.options import Options
from icudl.preprocessing.scaling import InputOptions
from icudl.search.attack_trial import attack_score
from icudl.search.model_trial import ModelSearch, run_trial
from icudl.search.options import AttackTuningOptions, ModelTuningOptions
from icudl.search.postgres_trials import open_trials
from icudl.search.space import apply_parameters, parse_space
from icudl.search.study import Asked, Rules, known_outcome, run_study, study_key, tuning_result
from icudl.search.trials import FolderTrials, Outcome, Trials, remove_work
from icudl.stages.attack import choose_stays
from icudl.training.members import Plan
from icudl.training.options import TrainingOptions
from icudl.training.scores.metrics import LOWER_IS_BETTER


def tune_model(
    grid: GridDataset,
    inputs: InputOptions,
    model: ModelOptions,
    training: TrainingOptions,
    tuning: ModelTuningOptions,
    context: RunContext,
) -> TuningResult:
    """Search the options of inputs, model and training by cross-validation on the stays that are not test stays.

    Raises:
        ConfigError: The search space is illegal, or there are no trials.
        StageError: No trial was completed, or the stays cannot be trained on.
    """
    _require_trials("tune_model", tuning.trials)
    tables: dict[str, Options] = {"model": model, "training": training, "inputs": inputs}
    space = parse_space("tune_model", tuning.space, tables)
    rules = Rules(
        objective=Objective(tuning.objective, _direction(tuning.objective)),
        sampler=tuning.sampler,
        pruner=tuning.pruner,
        startup_trials=tuning.startup_trials,
        batch=tuning.batch,
        seed=context.seed_for("tune-model"),
    )
    study = _study(context, tables, tuning, _digest(grid))
    store = _open(context, tuning.storage, study)
    plan = Plan(
        grid=grid,
        inputs=inputs,
        model=model,
        training=training,
        seed=context.seed,
        device=context.device,
        scratch=_scratch(context, store, study),
    )
    search = ModelSearch(plan=plan, folds=tuning.folds, store=store)

    def run_batch(trials: Sequence[Asked]) -> list[Outcome | None]:
        def keep(_position: int, outcome: Outcome | None) -> None:
            # A worker of another machine may have kept it where this one does not look.
            if outcome is not None:
                store.keep(outcome)

        return context.executor.map(run_trial, list(trials), shared=search, on_result=keep)

    with context.progress.task("Tuning the model", total=tuning.trials, unit="trials") as bar:
        bar.note(f"study {study}")
        outcomes = run_study(space, rules, tuning.trials, run_batch, store, bar.advance)
    return tuning_result(outcomes, rules.objective)


def tune_attack(
    grid: GridDataset,
    training: TrainingResult,
    attack: AttackOptions,
    tuning: AttackTuningOptions,
    context: RunContext,
) -> TuningResult:
    """Search the options of the attack on a sample of stays, each attacked through the fold it was left out of.

    Raises:
        ConfigError: The search space is illegal, or there are no trials.
        StageError: There is no stay to attack.
        AttackError: The model is not differentiable.
    """
    _require_trials("tune_attack", tuning.trials)
    space = parse_space("tune_attack", tuning.space, {"attack": attack})
    rules = Rules(
        objective=Objective(tuning.objective, Direction.MAXIMIZE),
        sampler=tuning.sampler,
        pruner="none",
        startup_trials=tuning.startup_trials,
        batch=1,
        seed=context.seed_for("tune-attack"),
    )
    sample = dataclasses.replace(attack, split="out-of-fold", max_stays=tuning.stays)
    rows = choose_stays(grid, sample, context)
    weights = [
        checkpoint.weights[name].tobytes()
        for _, checkpoint in sorted(training.checkpoints.items())
        for name in sorted(checkpoint.weights)
    ]
    study = _study(context, {"attack": attack}, tuning, _digest(grid, *weights))
    store = _open(context, tuning.storage, study)
    scratch = _scratch(context, store, study)

    def run_batch(trials: Sequence[Asked]) -> list[Outcome | None]:
        return [_run_attack_trial(trial) for trial in trials]

    def _run_attack_trial(trial: Asked) -> Outcome | None:
        with store.claim(trial.number) as free:
            if not free:
                return None
            outcome = known_outcome(store, trial)
            if outcome is None:
                options = cast("AttackOptions", apply_parameters(trial.parameters, {"attack": attack})["attack"])
                shards = scratch / f"trial-{trial.number}.shards"
                shards.mkdir(exist_ok=True)
                quiet = dataclasses.replace(context, scratch=shards, progress=SilentProgress())
                result = run_attack(training.checkpoints, grid, rows, options, quiet)
                value = attack_score(result, tuning.objective, tuning.n_critical)
                outcome = Outcome(
                    number=trial.number, parameters=trial.parameters, state=TrialState.COMPLETE, value=value
                )
                remove_work(scratch, trial.number)
                outcome = store.keep(outcome)
            return outcome

    with context.progress.task("Tuning the attack", total=tuning.trials, unit="trials") as bar:
        bar.note(f"study {study}")
        outcomes = run_study(space, rules, tuning.trials, run_batch, store, bar.advance)
    return tuning_result(outcomes, rules.objective)


def _direction(metric: str) -> Direction:
    return Direction.MINIMIZE if metric in LOWER_IS_BETTER else Direction.MAXIMIZE


def _require_trials(table: str, trials: int) -> None:
    if trials == 0:
        raise ConfigError(f"{table}.trials is 0: nothing to tune. Set it to the number of trials.")


def _study(context: RunContext, tables: Mapping[str, Options], tuning: Options, data: str) -> str:
    """Return the key of the study: studies that differ in anything but their length have different ones."""
    settings = {name: table.to_dict(identity_only=True) for name, table in tables.items()}
    search = {key: value for key, value in tuning.to_dict(identity_only=True).items() if key != "trials"}
    return study_key(settings, search, data, context.seed)


def _open(context: RunContext, storage: str, study: str) -> Trials:
    return open_trials(storage, context.studies or context.scratch, study)


def _scratch(context: RunContext, store: Trials, study: str) -> Path:
    """Return the folder of unfinished trials: beside the outcomes, where they are in a folder."""
    folder = store.folder if isinstance(store, FolderTrials) else context.scratch / study
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(grid: GridDataset, *more: bytes) -> str:
    """Return a hash of what the trials are scored on."""
    digest = hashlib.sha256()
    for array in (grid.values, grid.lengths, grid.labels, grid.statics, grid.is_test, grid.folds, grid.stay_ids):
        digest.update(array.tobytes())
    for part in more:
        digest.update(part)
    return digest.hexdigest()
