"""A study: trials are drawn in batches, run on any worker, and kept one by one.

A draw depends on the seed, the number of the trial and the results of earlier batches, and on nothing else. So a study
is the same with any number of workers, after a kill, and when it is extended. Processes that share its storage can
divide the trials of a batch; a lock that ends with its process guards each trial.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from icudl.artifacts import TRIALS_SCHEMA, Objective, TrialState, TuningResult
from icudl.errors import StageError
from icudl.execution.context import seed_for
from icudl.search.space import Dimension
from icudl.search.trials import Outcome, Trials

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
"""How long to wait for trials that other processes run, before looking again."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """How a study draws and judges trials.

    Attributes:
        objective: What is optimised.
        sampler: ``"tpe"`` or ``"random"``.
        pruner: ``"median"`` or ``"none"``.
        startup_trials: Number of trials drawn at random first; the pruner waits for as many.
        batch: Trials drawn at once.
        seed: Root of the random draws.
    """

    objective: Objective
    sampler: str
    pruner: str
    startup_trials: int
    batch: int
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """A trial to run.

    Attributes:
        number: Its number, from 0.
        parameters: Its setting by dotted path.
        finished: Outcomes of earlier batches, for the pruner.
        rules: Rules of the study.
    """

    number: int
    parameters: Mapping[str, Any]
    finished: tuple[Outcome, ...]
    rules: Rules

    def judge(self) -> Callable[[int, float], bool]:
        """Return a function of (step, score) that tells whether to stop the trial: Optuna's median pruner."""
        if self.rules.pruner == "none" or not self.finished:
            return lambda _step, _score: False
        study = _memory_study(self.rules, self.finished, ())
        trial = study.ask()

        def give_up(step: int, score: float) -> bool:
            trial.report(score, step)
            return bool(trial.should_prune())

        return give_up


def run_study(
    space: Sequence[Dimension],
    rules: Rules,
    trials: int,
    run_batch: Callable[[Sequence[Asked]], Sequence[Outcome | None]],
    store: Trials,
    on_trials: Callable[[int], None],
) -> tuple[Outcome, ...]:
    """Run trials until the study has ``trials`` of them. Trials that ``store`` holds are not run again.

    Args:
        space: The options that vary.
        rules: How trials are drawn and judged.
        trials: Number of trials in all.
        run_batch: Claims and runs trials, keeps their outcomes in ``store`` and returns them; None for a trial that
            another process is running.
        store: Where outcomes are kept.
        on_trials: Called with the number of finished trials.
    """
    finished: tuple[Outcome, ...] = ()
    for start in range(0, trials, rules.batch):
        asked = _ask(space, rules, finished, range(start, min(start + rules.batch, trials)))
        outcomes: dict[int, Outcome] = {}
        pause = FIRST_PAUSE_SECONDS
        while len(outcomes) < len(asked):
            known = {trial.number: known_outcome(store, trial) for trial in asked if trial.number not in outcomes}
            outcomes |= {number: outcome for number, outcome in known.items() if outcome is not None}
            missing = [trial for trial in asked if trial.number not in outcomes]
            # Workers are started for free trials only; waiting for other processes needs no worker.
            free = [trial for trial in missing if _is_free(store, trial.number)]
            fresh = [outcome for outcome in (run_batch(free) if free else ()) if outcome is not None]
            outcomes |= {outcome.number: outcome for outcome in fresh}
            if missing and not fresh:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        on_trials(len(asked))
        finished += tuple(outcomes[trial.number] for trial in asked)
    return finished


def _is_free(store: Trials, number: int) -> bool:
    with store.claim(number) as free:
        return free


def known_outcome(trials: Trials, trial: Asked) -> Outcome | None:
    """Return the outcome of a trial that was run before, or None.

    Raises:
        StageError: The trial was run with other parameters.
    """
    outcome = trials.read(trial.number)
    if outcome is not None and dict(outcome.parameters) != dict(trial.parameters):
        raise StageError(
            f"Trial {trial.number} is kept with {dict(outcome.parameters)}; this study would draw "
            f"{dict(trial.parameters)}. Another version of Optuna or of this package made it: use another storage."
        )
    return outcome


def study_key(*parts: Any) -> str:
    """Return a name for the study of these JSON-able values: studies that differ never share a folder."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def tuning_result(outcomes: Sequence[Outcome], objective: Objective) -> TuningResult:
    """Choose the best complete trial, the first of equals.

    Raises:
        StageError: No trial was completed.
    """
    complete = [outcome for outcome in outcomes if outcome.state is TrialState.COMPLETE and outcome.value is not None]
    if not complete:
        raise StageError(
            f"None of {len(outcomes)} trials was completed. Narrow the search space (most often the learning rate is "
            "too high), or run more trials."
        )
    best = max(complete, key=lambda outcome: (objective.sign * (outcome.value or 0.0), -outcome.number))
    rows = [
        {
            "trial": outcome.number,
            "state": outcome.state,
            "value": outcome.value,
            "parameters": json.dumps(dict(outcome.parameters), sort_keys=True),
            # Durations are left out: they differ from run to run, and so would the artifact.
            "seconds": None,
            "steps": len(outcome.intermediate),
        }
        for outcome in outcomes
    ]
    return TuningResult(
        trials=pl.DataFrame(rows, schema=dict(TRIALS_SCHEMA)),
        best=dict(best.parameters),
        best_trial=best.number,
        best_value=float(best.value if best.value is not None else math.nan),
        objective=objective,
    )


def _ask(
    space: Sequence[Dimension], rules: Rules, finished: tuple[Outcome, ...], numbers: Sequence[int]
) -> list[Asked]:
    study = _memory_study(rules, finished, space)
    distributions = {dimension.path: dimension.distribution() for dimension in space}
    asked = []
    for number in numbers:
        study.sampler = _sampler(rules, number)
        parameters = study.ask(distributions).params
        asked.append(Asked(number=number, parameters=parameters, finished=finished, rules=rules))
    return asked


def _memory_study(rules: Rules, finished: Sequence[Outcome], space: Sequence[Dimension]) -> Any:
    """Return Optuna's study of the finished trials, held in memory only."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=rules.startup_trials)
    study = optuna.create_study(direction=rules.objective.direction.value, pruner=pruner)
    distributions = {dimension.path: dimension.distribution() for dimension in space}
    states = {
        TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
        TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
        TrialState.FAILED: optuna.trial.TrialState.FAIL,
    }
    for outcome in finished:
        study.add_trial(
            optuna.trial.create_trial(
                state=states[outcome.state],
                value=outcome.value if outcome.state is TrialState.COMPLETE else None,
                params=dict(outcome.parameters) if space else {},
                distributions=distributions,
                intermediate_values=dict(outcome.intermediate),
            )
        )
    return study


def _sampler(rules: Rules, number: int) -> Any:
    import optuna

    seed = seed_for(rules.seed, "trial", number) % 2**32
    if rules.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=rules.startup_trials, multivariate=True)
