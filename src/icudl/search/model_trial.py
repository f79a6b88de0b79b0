"""One trial of a model search: cross-validation with a setting, stopped early where it cannot win."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import cast

import numpy as np

from icudl.artifacts import TrialState
from icudl.execution.base import Tick
from icudl.execution.threads import single_thread
from icudl.models.options import ModelOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.search.space import apply_parameters
from icudl.search.study import Asked, known_outcome
from icudl.search.trials import Outcome, Trials, remove_work
from icudl.training.members import MemberJob, Plan, divide, risks_of, train_model
from icudl.training.options import TrainingOptions
from icudl.training.scores.metrics import Scored, all_scores
from icudl.training.snapshot import Epoch
from icudl.training.steps import DivergenceError


class _GivenUpError(Exception):
    """The pruner gave the trial up."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ModelSearch:
    """The inputs that all trials share.

    Attributes:
        plan: The setting of everything that does not vary.
        folds: How many folds score a trial.
        store: Keeps the outcomes.
    """

    plan: Plan
    folds: int
    store: Trials


def run_trial(search: ModelSearch, trial: Asked, tick: Tick) -> Outcome | None:
    """Run a trial, or return None where another process is running it.

    The score of a trial is the mean over folds of the score on the left-out fold. After every epoch the pruner is told
    the mean, over the folds so far, of the best validation score: the left-out folds are scored once, at the end.
    """
    with search.store.claim(trial.number) as free:
        if not free:
            return None
        outcome = known_outcome(search.store, trial)
        if outcome is None:
            with single_thread():
                outcome = _Trial(search, trial).run(tick)
            remove_work(search.plan.scratch, trial.number)
            outcome = search.store.keep(outcome)
        return outcome


class _Trial:
    """A trial while it runs."""

    def __init__(self, search: ModelSearch, trial: Asked) -> None:
        self.search, self.trial = search, trial
        tables = {"model": search.plan.model, "training": search.plan.training, "inputs": search.plan.inputs}
        changed = apply_parameters(trial.parameters, tables)
        self.plan = dataclasses.replace(
            search.plan,
            model=cast("ModelOptions", changed["model"]),
            training=cast("TrainingOptions", changed["training"]),
            inputs=cast("InputOptions", changed["inputs"]),
        )
        self.give_up = trial.judge()
        self.objective = trial.rules.objective
        self.intermediate: dict[int, float] = {}
        self.best: list[float] = []
        self.scores: list[float] = []

    def run(self, tick: Tick) -> Outcome:
        """Train and score fold after fold."""
        try:
            for fold in range(min(self.search.folds, self.plan.grid.n_folds)):
                self.scores.append(self._fold(fold, tick))
        except _GivenUpError:
            return self._outcome(TrialState.PRUNED, self.intermediate[max(self.intermediate)])
        except DivergenceError:
            return self._outcome(TrialState.FAILED, None)
        value = float(np.nanmean(self.scores)) if not all(map(math.isnan, self.scores)) else None
        return self._outcome(TrialState.COMPLETE if value is not None else TrialState.FAILED, value)

    def _fold(self, fold: int, tick: Tick) -> float:
        job = MemberJob(fold=fold)
        division = divide(self.plan.grid, fold, self.plan.training.validation_fraction, self.plan.seed)
        self.best.append(math.nan)
        snapshot = self.plan.scratch / f"trial-{self.trial.number}-fold-{fold}.epochs"
        trained = train_model(self.plan, division, job, snapshot=snapshot, tick=tick, on_epoch=self._reporter(fold))
        rows, grid = division.scored, self.plan.grid
        if len(rows) == 0:
            return math.nan
        threshold = np.full(len(rows), trained.threshold)
        scored = Scored(grid.labels[rows], risks_of(self.plan, rows, trained), threshold, grid.patient_ids[rows])
        return float(all_scores(scored)[self.objective.metric][0])

    def _reporter(self, fold: int) -> Callable[[int, Epoch], None]:
        def report(network: int, epoch: Epoch) -> None:
            value = {"auroc": epoch.valid_auroc, "auprc": epoch.valid_auprc}.get(self.objective.metric)
            # Where a score is not computed every epoch, the validation loss decides.
            merit = value if value is not None else -self.objective.sign * epoch.valid_loss
            if math.isnan(merit):
                return
            best = self.best[-1]
            self.best[-1] = merit if math.isnan(best) or self.objective.better(merit, best) else best
            step = (fold * self.plan.model.ensemble_size + network) * self.plan.training.max_epochs + epoch.epoch
            self.intermediate[step] = float(np.nanmean(self.best))
            if self.give_up(step, self.intermediate[step]):
                raise _GivenUpError

        return report

    def _outcome(self, state: TrialState, value: float | None) -> Outcome:
        return Outcome(
            number=self.trial.number,
            parameters=self.trial.parameters,
            state=state,
            value=value,
            intermediate=self.intermediate,
        )
