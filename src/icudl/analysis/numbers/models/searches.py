"""How a search went: scores trial by trial, which options mattered, and the score against each option."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from icudl.artifacts import Direction, TrialState, TuningResult

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LOG_RATIO = 30.0
"""An option whose values span more than this factor is drawn on a logarithmic axis."""
FEWEST_TRIALS = 4
"""Importance is not computed from fewer finished trials."""


def minimised(result: TuningResult) -> bool:
    """Return whether a lower score is the better one."""
    return result.objective.direction is Direction.MINIMIZE


def score_name(result: TuningResult) -> str:
    """Return the name of what the search optimised."""
    return result.objective.metric


def finished(result: TuningResult) -> pl.DataFrame:
    """Return the trials that ran to the end and have a score."""
    complete = pl.col("state") == TrialState.COMPLETE.value
    return result.trials.filter(complete, pl.col("value").is_not_null(), pl.col("value").is_finite()).sort("trial")


def history_table(result: TuningResult) -> pl.DataFrame:
    """Return ``trial, state, value`` and the ``best`` score of a finished trial so far, in the order of the trials."""
    value = pl.col("value")
    so_far = value.cum_min() if minimised(result) else value.cum_max()
    best = finished(result).select("trial", best=so_far)
    table = result.trials.select("trial", "state", "value").sort("trial").join(best, on="trial", how="left")
    return table.sort("trial").with_columns(pl.col("best").forward_fill())


def settings_of(trials: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the setting of each trial, by option."""
    return [json.loads(text) for text in trials["parameters"]]


def slices_table(result: TuningResult) -> pl.DataFrame:
    """Return ``trial, option, setting, number, value``: one row per finished trial and option.

    ``setting`` is JSON; ``number`` is null where the setting is not a number.
    """
    trials = finished(result)
    rows: list[tuple[Any, ...]] = []
    for trial, value, settings in zip(trials["trial"], trials["value"], settings_of(trials), strict=True):
        for name, setting in sorted(settings.items()):
            numeric = isinstance(setting, int | float) and not isinstance(setting, bool)
            rows.append((trial, name, json.dumps(setting), float(setting) if numeric else None, value))
    schema = {
        "trial": pl.Int32,
        "option": pl.String,
        "setting": pl.String,
        "number": pl.Float64,
        "value": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def importance_table(result: TuningResult) -> pl.DataFrame:
    """Return ``option, importance``: shares of the variance of the score, by functional ANOVA (Hutter et al. 2014).

    Optuna's evaluator, 64 trees, a fixed seed; numbers that span more than ``LOG_RATIO`` are taken by their logarithm.
    Empty where fewer than ``FEWEST_TRIALS`` trials have finished or all have the same score.
    """
    empty = pl.DataFrame(schema={"option": pl.String, "importance": pl.Float64})
    trials = finished(result)
    if trials.height < FEWEST_TRIALS or trials["value"].n_unique() < 2:
        return empty
    shares = _functional_anova(settings_of(trials), trials["value"].to_list())
    rows = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return pl.DataFrame(rows, schema=empty.schema, orient="row") if rows else empty


def distributions_of(settings: Sequence[Mapping[str, Any]]) -> dict[str, BaseDistribution]:
    """Return for each option a distribution that holds every setting: floats of the range, or JSON texts."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    found: dict[str, BaseDistribution] = {}
    for name in dict.fromkeys(name for setting in settings for name in setting):
        seen = [setting[name] for setting in settings if name in setting]
        if all(isinstance(each, int | float) and not isinstance(each, bool) for each in seen):
            low, high = float(min(seen)), float(max(seen))
            found[name] = FloatDistribution(low, high, log=low > 0 and high / low > LOG_RATIO)
        else:
            found[name] = CategoricalDistribution(sorted({json.dumps(each) for each in seen}))
    return dict(sorted(found.items()))


def parameters_of(setting: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Return the values that the options with a distribution have in it."""
    from optuna.distributions import FloatDistribution

    return {
        name: float(setting[name]) if isinstance(kind, FloatDistribution) else json.dumps(setting[name])
        for name, kind in distributions.items()
        if name in setting
    }


def _functional_anova(settings: list[dict[str, Any]], values: list[float]) -> dict[str, float]:
    import optuna

    varied = [
        name
        for name in set.intersection(*(set(setting) for setting in settings))
        if len({json.dumps(setting[name]) for setting in settings}) > 1
    ]
    distributions = distributions_of([{name: setting[name] for name in varied} for setting in settings])
    if not distributions:
        return {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    for setting, value in zip(settings, values, strict=True):
        params = parameters_of(setting, distributions)
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found: dict[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items() if np.isfinite(share)}
