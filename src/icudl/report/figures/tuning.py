"""Figures of a ``TuningResult``: how the search went, which options mattered, what each value scored."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from icudl.artifacts import Direction, TuningResult
from icudl.report.figures.style import MUTED, PALETTE, new_figure, say_nothing_found, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 3
"""Panels in a row of the slices."""
LOG_RATIO = 30.0
"""An option whose values span more than this factor is drawn on a logarithmic axis."""
FEWEST_TRIALS = 4
"""Importance is not computed from fewer finished trials."""


def _score_name(result: TuningResult) -> str:
    return result.objective.metric


def _finished(result: TuningResult) -> pl.DataFrame:
    complete = pl.col("state").str.to_lowercase() == "complete"
    return result.trials.filter(complete, pl.col("value").is_not_null(), pl.col("value").is_finite()).sort("trial")


def history_table(result: TuningResult) -> pl.DataFrame:
    """Return ``trial, state, value`` and the ``best`` score of a finished trial so far, in the order of the trials."""
    value = pl.col("value")
    so_far = value.cum_max() if result.objective.direction is Direction.MAXIMIZE else value.cum_min()
    best = _finished(result).select("trial", best=so_far)
    table = result.trials.select("trial", "state", "value").sort("trial").join(best, on="trial", how="left")
    return table.sort("trial").with_columns(pl.col("best").forward_fill())


@styled
def history(result: TuningResult) -> Figure:
    """Draw the score of each trial and the best one so far; pruned trials are crosses."""
    table = history_table(result)
    figure = new_figure(6.4, 3.4)
    axes = figure.subplots()
    axes.set(title="Search history", xlabel="Trial", ylabel=_score_name(result))
    if table["value"].null_count() == table.height:
        say_nothing_found(axes, "no trial has finished")
        return figure
    complete = table["state"].str.to_lowercase() == "complete"
    done, others = table.filter(complete), table.filter(~complete)
    axes.plot(done["trial"], done["value"], "o", color=PALETTE[0], markersize=4, alpha=0.7, label="finished")
    if others["value"].count():
        axes.plot(others["trial"], others["value"], "x", color=MUTED, markersize=4, label="stopped early")
    best = table.drop_nulls("best")
    axes.plot(best["trial"], best["best"], drawstyle="steps-post", color=PALETTE[1], label="best so far")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _parameters(trials: pl.DataFrame) -> list[dict[str, Any]]:
    return [json.loads(text) for text in trials["parameters"]]


def slices_table(result: TuningResult) -> pl.DataFrame:
    """Return ``trial, option, setting, number, value``: one row per finished trial and option.

    ``setting`` is JSON; ``number`` is null where the setting is none.
    """
    trials = _finished(result)
    rows: list[tuple[Any, ...]] = []
    for trial, value, settings in zip(trials["trial"], trials["value"], _parameters(trials), strict=True):
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


@styled
def slices(result: TuningResult) -> Figure:
    """Draw the score of each finished trial against each option; darker is later, the chosen trial is ringed."""
    table = slices_table(result)
    names = table["option"].unique().sort().to_list()
    down = max(1, math.ceil(len(names) / ACROSS))
    figure = new_figure(3.2 * ACROSS, 2.5 * down + 0.2)
    axes = figure.subplots(down, ACROSS, squeeze=False, sharey=True)
    for index, panel in enumerate(axes.ravel()):
        if index < len(names):
            _slice(panel, table.filter(pl.col("option") == names[index]), names[index], result.best_trial)
        elif names or index:
            panel.set_visible(False)
        else:
            say_nothing_found(panel, "no trial has finished")
    if names:
        for row in axes:
            row[0].set_ylabel(_score_name(result))
    return figure


def _slice(panel: Axes, rows: pl.DataFrame, name: str, best_trial: int) -> None:
    numeric = rows["number"].null_count() == 0
    settings = rows["setting"].unique().sort().to_list()
    x = rows["number"].to_list() if numeric else [settings.index(setting) for setting in rows["setting"]]
    panel.scatter(x, rows["value"], c=rows["trial"], cmap="Blues", vmin=-0.5 * rows.height, s=16, linewidth=0)
    chosen = [index for index, trial in enumerate(rows["trial"]) if trial == best_trial]
    panel.scatter(
        [x[index] for index in chosen],
        [rows["value"][index] for index in chosen],
        s=70,
        facecolor="none",
        edgecolor=PALETTE[1],
        linewidth=1.4,
    )
    if not numeric:
        panel.set_xticks(range(len(settings)), [str(json.loads(setting)) for setting in settings])
        panel.margins(x=0.2)
    elif min(x) > 0 and max(x) / min(x) > LOG_RATIO:
        panel.set_xscale("log")
    panel.set_xlabel(name)


def importance_table(result: TuningResult) -> pl.DataFrame:
    """Return ``option, importance``: shares of the variance of the score, by functional ANOVA (Hutter et al. 2014).

    Optuna's evaluator, 64 trees, a fixed seed; numbers that span more than ``LOG_RATIO`` are taken by their logarithm.
    Empty where fewer than ``FEWEST_TRIALS`` trials have finished or all have the same score.
    """
    empty = pl.DataFrame(schema={"option": pl.String, "importance": pl.Float64})
    trials = _finished(result)
    if trials.height < FEWEST_TRIALS or trials["value"].n_unique() < 2:
        return empty
    shares = _functional_anova(_parameters(trials), trials["value"].to_list())
    rows = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return pl.DataFrame(rows, schema=empty.schema, orient="row") if rows else empty


def _functional_anova(settings: list[dict[str, Any]], values: list[float]) -> dict[str, float]:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    distributions: dict[str, BaseDistribution] = {}
    for name in set.intersection(*(set(setting) for setting in settings)):
        seen = [setting[name] for setting in settings]
        if len({json.dumps(each) for each in seen}) < 2:
            continue
        if all(isinstance(each, int | float) and not isinstance(each, bool) for each in seen):
            low, high = float(min(seen)), float(max(seen))
            distributions[name] = FloatDistribution(low, high, log=low > 0 and high / low > LOG_RATIO)
        else:
            distributions[name] = CategoricalDistribution(sorted({json.dumps(each) for each in seen}))
    if not distributions:
        return {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    for setting, value in zip(settings, values, strict=True):
        params = {
            name: float(setting[name]) if isinstance(kind, FloatDistribution) else json.dumps(setting[name])
            for name, kind in sorted(distributions.items())
        }
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=dict(sorted(distributions.items())), value=value)
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found: dict[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items() if np.isfinite(share)}


@styled
def importance(result: TuningResult) -> Figure:
    """Draw how much of the score's variance each option explains."""
    table = importance_table(result)
    figure = new_figure(5.6, 1.2 + 0.32 * max(table.height, 2))
    axes = figure.subplots()
    axes.set_title("Which options mattered")
    if table.is_empty():
        say_nothing_found(axes, "too few trials have finished")
        return figure
    positions = range(table.height)
    axes.barh(positions, 100 * table["importance"].to_numpy(), color=PALETTE[0])
    axes.set_yticks(positions, table["option"].to_list())
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"Share of the variance of {_score_name(result)} (%)")
    return figure
