"""Tune: search options of the model or of the attack by their scores on stays that are not test stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from icudl.artifacts import Direction, GridDataset, Objective, TrainingResult, TuningResult
from icudl.attacks.options import AttackOptions
from icudl.execution.context import RunContext
from icudl.models.options import ModelOptions
from icudl.options import Options
from icudl.preprocessing.scaling import InputOptions
from icudl.search.attack_trial import AttackSearch, run_attack_trial
from icudl.search.model_trial import ModelSearch, run_trial
from icudl.search.opening import data_key, open_study
from icudl.search.options import AttackTuningOptions, ModelTuningOptions
from icudl.search.space import parse_space
from icudl.search.study import Asked, Rules, run_study, tuning_result
from icudl.search.trials import Outcome
from icudl.training.judged import choose_stays
from icudl.training.members import Plan
from icudl.training.options import TrainingOptions
from icudl.training.pretraining.options import PretrainOptions
from icudl.training.robust.options import RobustOptions
from icudl.training.scores.metrics import LOWER_IS_BETTER


def tune_model(
    grid: GridDataset,
    inputs: InputOptions,
    model: ModelOptions,
    training: TrainingOptions,
    tuning: ModelTuningOptions,
    context: RunContext,
    robust: RobustOptions | None = None,
    pretrain: PretrainOptions | None = None,
) -> TuningResult:
    """Search the options of inputs, model and training by cross-validation on the stays that are not test stays.

    Where ``tuning.space`` is empty, the search varies what the model names (``ModelOptions.SPACE``).

    Raises:
        ConfigError: The search space is illegal, or the number of trials is 0.
        StageError: No trial was completed, or the stays cannot be trained on.
    """
    tables: dict[str, Options] = {"model": model, "training": training, "inputs": inputs}
    tuning = dataclasses.replace(tuning, space=tuning.space or model.SPACE)
    space = parse_space("tune_model", tuning.space, tables)
    rules = Rules(
        objective=Objective(tuning.objective, _direction(tuning.objective)),
        sampler=tuning.sampler,
        pruner=tuning.pruner,
        startup_trials=tuning.startup_trials,
        batch=tuning.batch,
        seed=context.seed_for("tune-model"),
    )
    # Named only where they do something, so that studies of the usual training keep their keys.
    extra = (options for options in (robust, pretrain) if options is not None and options.active)
    named = tables | {options.table: options for options in extra}
    study = open_study(named, tuning, data_key(grid), context)
    plan = Plan(
        grid=grid,
        inputs=inputs,
        model=model,
        training=training,
        seed=context.seed,
        device=context.device,
        scratch=study.scratch,
        robust=robust or RobustOptions(),
        pretrain=pretrain or PretrainOptions(),
    )
    search = ModelSearch(plan=plan, folds=tuning.folds, store=study.store)

    def run_batch(trials: Sequence[Asked]) -> list[Outcome | None]:
        def keep(_position: int, outcome: Outcome | None) -> None:
            # A worker on another machine keeps the outcome there, where this machine does not look.
            if outcome is not None:
                study.store.keep(outcome)

        return context.executor.map(run_trial, list(trials), shared=search, on_result=keep)

    with context.progress.task("Tuning the model", total=tuning.trials, unit="trials") as bar:
        bar.note(f"study {study.key}")
        outcomes = run_study(space, rules, tuning.trials, run_batch, study.store, bar.advance)
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
        ConfigError: The search space is illegal, or the number of trials is 0.
        StageError: No stay is left to attack.
        AttackError: The model is not differentiable.
    """
    # The space is filled in first, so that the study has one name whether the space was given or is the default.
    tuning = dataclasses.replace(tuning, space=dict(tuning.space or attack.SPACE))
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
    study = open_study({"attack": attack}, tuning, data_key(grid, training.checkpoints), context)
    search = AttackSearch(
        checkpoints=training.checkpoints,
        grid=grid,
        rows=rows,
        attack=attack,
        n_critical=tuning.n_critical,
        store=study.store,
        scratch=study.scratch,
    )

    def run_batch(trials: Sequence[Asked]) -> list[Outcome | None]:
        return [run_attack_trial(search, trial, context) for trial in trials]

    with context.progress.task("Tuning the attack", total=tuning.trials, unit="trials") as bar:
        bar.note(f"study {study.key}")
        outcomes = run_study(space, rules, tuning.trials, run_batch, study.store, bar.advance)
    return tuning_result(outcomes, rules.objective)


def _direction(metric: str) -> Direction:
    return Direction.MINIMIZE if metric in LOWER_IS_BETTER else Direction.MAXIMIZE
