"""A study: trials drawn in batches, run anywhere, kept one file each.

What is drawn depends on the seed, the number of the trial and the results of the batches before, and on nothing else.
So a study is the same with any number of workers, after a kill, and when it is extended; and processes that share its
folder can divide the trials of a batch among them, each trial being guarded by a lock that dies with its process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from icudl.artifacts import TRIALS_SCHEMA, TuningResult, read_json, write_json
from icudl.errors import StageError
from icudl.execution.base import seed_for, write_atomically
from icudl.search.space import Dimension

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
_WAIT_SECONDS = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """How a study draws and judges trials.

    Attributes:
        maximize: Whether a larger score is better.
        sampler: ``"tpe"`` or ``"random"``.
        pruner: ``"median"`` or ``"none"``.
        startup_trials: Trials drawn at random first; the pruner waits for as many.
        batch: Trials drawn at once.
        seed: Root of what is drawn.
    """

    maximize: bool
    sampler: str
    pruner: str
    startup_trials: int
    batch: int
    seed: int

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Optuna's word."""
        return "maximize" if self.maximize else "minimize"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a trial.

    Attributes:
        number: From 0.
        parameters: By dotted path.
        state: ``"complete"``, ``"pruned"`` or ``"failed"`` (the model diverged with these parameters).
        value: Score; for a pruned trial its last intermediate one; None for a failed one.
        intermediate: Scores by step.
    """

    number: int
    parameters: Mapping[str, Any]
    state: str
    value: float | None
    intermediate: Mapping[int, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """A trial to run.

    Attributes:
        number: From 0.
        parameters: By dotted path.
        finished: Outcomes of the batches before, for the pruner.
        rules: Those of the study.
    """

    number: int
    parameters: Mapping[str, Any]
    finished: tuple[Outcome, ...]
    rules: Rules

    def judge(self) -> Callable[[int, float], bool]:
        """Return a function of (step, score) that tells whether to give the trial up: Optuna's median pruner."""
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
    folder: Path,
    on_trials: Callable[[int], None],
) -> tuple[Outcome, ...]:
    """Run trials until there are ``trials`` of them; those that ``folder`` holds are not run again.

    Args:
        space: What varies.
        rules: How to draw and judge.
        trials: How many in all.
        run_batch: Runs trials and gives their outcomes, None for one that another process is running. It must keep
            each in ``folder`` by ``claim`` and ``keep``.
        folder: Where outcomes are kept.
        on_trials: Told how many trials have been finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished: tuple[Outcome, ...] = ()
    for start in range(0, trials, rules.batch):
        asked = _ask(space, rules, finished, range(start, min(start + rules.batch, trials)))
        outcomes: dict[int, Outcome] = {}
        while len(outcomes) < len(asked):
            known = {trial.number: read_outcome(folder, trial) for trial in asked if trial.number not in outcomes}
            outcomes |= {number: outcome for number, outcome in known.items() if outcome is not None}
            missing = [trial for trial in asked if trial.number not in outcomes]
            fresh = [outcome for outcome in (run_batch(missing) if missing else ()) if outcome is not None]
            outcomes |= {outcome.number: outcome for outcome in fresh}
            if missing and not fresh:
                time.sleep(_WAIT_SECONDS)
        on_trials(len(asked))
        finished += tuple(outcomes[trial.number] for trial in asked)
    return finished


@contextlib.contextmanager
def claim(folder: Path, trial: Asked) -> Iterator[bool]:
    """Give True where this process may run the trial; nobody else may while the ``with`` block lasts.

    The lock is the operating system's: it is free again when the process ends, however it ends.
    """
    with (folder / f"trial-{trial.number}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def keep(folder: Path, outcome: Outcome) -> None:
    """Keep an outcome."""
    content = dataclasses.asdict(outcome)
    write_atomically(folder / f"trial-{outcome.number}.json", lambda path: write_json(path, content))


def read_outcome(folder: Path, trial: Asked) -> Outcome | None:
    """Return the outcome of a trial that was run before, or None.

    Raises:
        StageError: The folder holds a trial with other parameters.
    """
    path = folder / f"trial-{trial.number}.json"
    if not path.exists():
        return None
    content = read_json(path)
    intermediate = {int(step): value for step, value in content.pop("intermediate").items()}
    outcome = Outcome(**content, intermediate=intermediate)
    if dict(outcome.parameters) != dict(trial.parameters):
        raise StageError(
            f"{path} holds a trial with {dict(outcome.parameters)}; this study would draw {dict(trial.parameters)}. "
            "It was made by another version of Optuna or of this package: use another folder."
        )
    return outcome


def study_key(*parts: Any) -> str:
    """Return a name for the study of these JSON-able values: studies that differ never share a folder."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def tuning_result(outcomes: Sequence[Outcome], rules: Rules, objective: str) -> TuningResult:
    """Choose the best complete trial; of equals the first.

    Raises:
        StageError: No trial was completed.
    """
    complete = [outcome for outcome in outcomes if outcome.state == COMPLETE and outcome.value is not None]
    if not complete:
        raise StageError(
            f"None of {len(outcomes)} trials was completed. Narrow the search space (most often the learning rate is "
            "too high), or run more trials."
        )
    sign = 1 if rules.maximize else -1
    best = max(complete, key=lambda outcome: (sign * (outcome.value or 0.0), -outcome.number))
    rows = [
        {
            "trial": outcome.number,
            "state": outcome.state,
            "value": outcome.value,
            "parameters": json.dumps(dict(outcome.parameters), sort_keys=True),
            # How long a trial took would differ from run to run, and the artifact with it.
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
        objective=f"{rules.direction} {objective}",
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
    """Return Optuna's study of the finished trials; what it is told is forgotten with it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=rules.startup_trials)
    study = optuna.create_study(direction=rules.direction, pruner=pruner)
    distributions = {dimension.path: dimension.distribution() for dimension in space}
    states = {
        COMPLETE: optuna.trial.TrialState.COMPLETE,
        PRUNED: optuna.trial.TrialState.PRUNED,
        FAILED: optuna.trial.TrialState.FAIL,
    }
    for outcome in finished:
        study.add_trial(
            optuna.trial.create_trial(
                state=states[outcome.state],
                value=outcome.value if outcome.state == COMPLETE else None,
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
