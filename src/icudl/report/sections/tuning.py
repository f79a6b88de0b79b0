"""Section of the page: the searches for hyperparameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from icudl.artifacts import Direction, LineageEntry, TuningResult
from icudl.report.elements import (
    Block,
    Entry,
    Figure,
    Section,
    Switch,
    Table,
    Terms,
)
from icudl.report.figures.tuning import history_table, importance_table
from icudl.report.names import METRIC_NAMES
from icudl.report.wording import columns, count, entry, number, rounded, row

NAMES = {"tune-model": "model", "tune-attack": "attack"}
TRIALS_LISTED = 100


def trial_trained_with(lineage: Sequence[LineageEntry]) -> int:
    """Return the trial that was asked for in place of the best one, or -1."""
    trained = (entry.options.get("tuned", {}).get("trial", -1) for entry in lineage if entry.node == "train")
    return int(next(trained, -1))


def tuning_section(tuning: Mapping[str, TuningResult], asked_for: int = -1) -> Section:
    """Tell what was tried and what was chosen.

    Args:
        tuning: Searches by node.
        asked_for: Trial of the model's search that was trained with in place of the best one, or -1.
    """
    blocks: list[Block] = []
    for node, result in sorted(tuning.items()):
        name = NAMES.get(node, node)
        blocks += [_history(name, result), _slices(name, result), *_importance(name, result)]
        blocks += [_chosen(name, result, asked_for if node == "tune-model" else -1), _trials(name, result)]
    lead = (
        (
            "A search tried settings one after another and kept the best. Scores come from stays set apart for the "
            "search; the test stays took no part in it."
        ),
    )
    return Section("tuning", "Search for settings", "Tuning", lead, tuple(blocks))


def _score(result: TuningResult) -> str:
    name = result.objective.metric
    return METRIC_NAMES.get(name, name.replace("_", " ").capitalize())


def _history(name: str, result: TuningResult) -> Figure:
    table = history_table(result)
    complete = pl.col("state").str.to_lowercase() == "complete"
    series: list[dict[str, Any]] = []
    for words, part in (("Finished trial", table.filter(complete)), ("Stopped early", table.filter(~complete))):
        scored = part.filter(pl.col("value").is_not_null())
        numbers = scored["trial"].to_list()
        if numbers:
            series.append(
                {
                    "name": words,
                    "marks": "only",
                    "x": numbers,
                    "y": rounded(scored["value"]),
                    "labels": [f"Trial {trial}" for trial in numbers],
                    "big": [int(trial == result.best_trial) for trial in numbers],
                }
            )
    best = table.filter(pl.col("best").is_not_null())
    series.append({"name": "Best so far", "x": best["trial"].to_list(), "y": rounded(best["best"]), "step": True})
    finished = table.filter(complete).height
    ended = (
        "all of which ran to the end."
        if finished == table.height
        else f"of which {finished:,} ran to the end; the others were stopped because they fell behind, or failed."
    )
    return Figure(
        f"tuning-{name}-history",
        f"Search over the {name}: history",
        f"{count(table.height, 'trial')}, {ended} The line is the best score so far: where it has been flat for long, "
        "more trials would hardly help.",
        {"kind": "lines", "x": {"label": "Trial"}, "y": {"label": _score(result)}, "series": series},
    )


def _importance(name: str, result: TuningResult) -> list[Figure]:
    shares = importance_table(result)
    if not shares.height:
        return []
    return [
        Figure(
            f"tuning-{name}-importance",
            f"Search over the {name}: which settings mattered",
            "Share of the differences between the scores that each setting explains (functional analysis of variance, "
            "Hutter et al. 2014).",
            {
                "kind": "dots",
                "bars": True,
                "x": {"label": "Share explained", "percent": True, "min": 0},
                "rows": shares["option"].to_list(),
                "series": [{"name": "Share explained", "x": rounded(shares["importance"])}],
            },
            size="full",
        )
    ]


def _parameters(result: TuningResult) -> list[dict[str, Any]]:
    return [json.loads(text) for text in result.trials["parameters"]]


def _slices(name: str, result: TuningResult) -> Figure:
    settings = _parameters(result)
    keys = sorted({key for setting in settings for key in setting})
    values, trials = result.trials["value"].to_list(), result.trials["trial"].to_list()
    variants = {}
    for key in keys:
        tried = [
            (setting[key], value, trial)
            for setting, value, trial in zip(settings, values, trials, strict=True)
            if key in setting and value is not None
        ]
        variants[key] = _slice(key, tried, result)
    return Figure(
        f"tuning-{name}-slices",
        f"Search over the {name}: one setting at a time",
        "The score of every trial against one of its settings. A clear trend means that the setting matters.",
        {"kind": "lines", "y": {"label": _score(result)}, "variants": variants},
        (Switch("setting", "Setting", tuple((key, key) for key in keys)),),
    )


def _slice(key: str, tried: list[tuple[Any, float, int]], result: TuningResult) -> dict[str, Any]:
    numeric = all(isinstance(setting, int | float) and not isinstance(setting, bool) for setting, _, _ in tried)
    words = sorted({str(setting) for setting, _, _ in tried})
    places = [setting if numeric else words.index(str(setting)) for setting, _, _ in tried]
    log = numeric and bool(places) and min(places) > 0 and max(places) / min(places) > 50
    return {
        "x": {"label": key, "log": log} | ({} if numeric else {"words": words, "min": -0.5, "max": len(words) - 0.5}),
        "series": [
            {
                "name": "Trial",
                "marks": "only",
                "x": rounded(places),
                "y": rounded([value for _, value, _ in tried]),
                "labels": [f"Trial {trial}: {setting}" for setting, _, trial in tried],
                "big": [int(trial == result.best_trial) for _, _, trial in tried],
            }
        ],
    }


def _chosen(name: str, result: TuningResult, asked_for: int) -> Terms:
    best = f"trial {result.best_trial}, {_score(result)} {number(result.best_value, 4)}"
    if asked_for < 0:
        title, setting = f"Chosen for the {name}: {best}", result.best
    else:
        # The best trial is named beside it: a reader must see that another one was preferred, and at what price.
        title = f"Asked for: the {name} is trained with the setting of trial {asked_for} (best was {best})"
        setting = json.loads(result.trials.filter(trial=asked_for)["parameters"][0])
    return Terms(f"tuning-{name}-chosen", title, tuple((key, _word(value)) for key, value in sorted(setting.items())))


def _word(value: Any) -> str:
    return number(value, 4) if isinstance(value, float) else str(value)


def _trials(name: str, result: TuningResult) -> Table:
    settings = _parameters(result)
    keys = sorted({key for setting in settings for key in setting})
    trials = result.trials.with_columns(settings=pl.Series(range(result.trials.height)))
    ordered = trials.sort(
        "value", "trial", descending=[result.objective.direction is Direction.MAXIMIZE, False], nulls_last=True
    )
    rows = []
    for line in ordered.head(TRIALS_LISTED).iter_rows(named=True):
        setting = settings[line["settings"]]
        cells = [
            entry(setting.get(key))
            if isinstance(setting.get(key), int | float)
            else Entry(str(setting.get(key, "–")), None)
            for key in keys
        ]
        rows.append(row(line["trial"], line["state"].lower(), entry(line["value"], 4), line["steps"], *cells))
    return Table(
        f"tuning-{name}-trials",
        f"Trials of the {name}, best first",
        columns("#Trial", "State", f"#{_score(result)}", "#Steps", *(f"{key}" for key in keys)),
        tuple(rows),
        f"The best {TRIALS_LISTED} are listed." if result.trials.height > TRIALS_LISTED else "",
        filtered=True,
    )
