"""Section of the page: the searches for hyperparameters."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from icudl.analysis.numbers.models.searches import (
    LOG_RATIO,
    finished,
    history_table,
    importance_table,
    minimised,
    score_name,
    settings_of,
    slices_table,
)
from icudl.artifacts import LineageEntry, TrialState, TuningResult
from icudl.report.charts.descriptions import Axis, Dot, Dots, Line, Lines
from icudl.report.elements import Block, Entry, Figure, Section, Switch, Table, Terms
from icudl.report.names import METRIC_NAMES
from icudl.report.wording import columns, count, entry, number, numeric, rounded, row

TRIALS_LISTED = 100

SCORED_ON = {
    "model": "A trial of a model is scored by cross-validation on the training folds. The out-of-fold scores come from "
    "the same folds, so those of a model chosen this way are somewhat too good; the test stays took no part.",
    "attack": "A trial of an attack is scored on a sample of the out-of-fold stays; the test stays took no part.",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """One search of a study.

    Attributes:
        of: ``"model"`` or ``"attack"``.
        result: Its trials and its choice.
        asked_for: Trial whose setting was asked for in place of the best one; None for the best one.
    """

    of: str
    result: TuningResult
    asked_for: int | None = None


def trial_asked_for(lineage: Sequence[LineageEntry], model: str) -> int | None:
    """Return the trial that a model was to be trained with in place of the best one, or None."""
    for made in lineage:
        if made.node == "train" and made.name in {"train", f"train/{model}"}:
            trial = int(made.requested.get("tuned", {}).get("trial", -1))
            return trial if trial >= 0 else None
    return None


def tuning_section(searches: Sequence[Search]) -> Section:
    """Tell what was tried and what was chosen."""
    blocks: list[Block] = []
    for search in searches:
        name, result = search.of, search.result
        blocks += [_history(name, result), _slices(name, result), *_importance(name, result)]
        blocks += [_chosen(search), _trials(name, result)]
    lead = (
        "A search tried settings one after another and kept the best.",
        *(SCORED_ON[name] for name in dict.fromkeys(search.of for search in searches)),
    )
    return Section("tuning", "Search for settings", "Tuning", lead, tuple(blocks))


def _score(result: TuningResult) -> str:
    name = score_name(result)
    return METRIC_NAMES.get(name, name.replace("_", " ").capitalize())


def _history(name: str, result: TuningResult) -> Figure:
    table = history_table(result)
    complete = pl.col("state") == TrialState.COMPLETE.value
    series: list[Line] = []
    for words, part in (("Finished trial", table.filter(complete)), ("Stopped early", table.filter(~complete))):
        scored = part.filter(pl.col("value").is_not_null())
        numbers = scored["trial"].to_list()
        if numbers:
            series.append(
                Line(
                    name=words,
                    x=numbers,
                    y=rounded(scored["value"]),
                    labels=tuple(f"Trial {trial}" for trial in numbers),
                    big=tuple(int(trial == result.best_trial) for trial in numbers),
                    marks="only",
                )
            )
    best = table.filter(pl.col("best").is_not_null())
    series.append(Line(name="Best so far", x=best["trial"].to_list(), y=rounded(best["best"]), step=True))
    ended = table.filter(complete).height
    how = (
        "all of which ran to the end."
        if ended == table.height
        else f"of which {ended:,} ran to the end; the others were stopped because they fell behind, or failed."
    )
    return Figure(
        f"tuning-{name}-history",
        f"Search over the {name}: history",
        f"{count(table.height, 'trial')}, {how} The line is the best score so far: where it has been flat for long, "
        "more trials would hardly help.",
        Lines(x=Axis(label="Trial", whole=True), y=Axis(label=_score(result)), series=tuple(series)),
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
            Dots(
                x=Axis(label="Share explained", percent=True, min=0),
                rows=tuple(shares["option"].to_list()),
                series=(Dot(name="Share explained", x=rounded(shares["importance"])),),
                bars=True,
            ),
            size="full",
        )
    ]


def _slices(name: str, result: TuningResult) -> Figure:
    table = slices_table(result)
    keys = table["option"].unique().sort().to_list()
    return Figure(
        f"tuning-{name}-slices",
        f"Search over the {name}: one setting at a time",
        f"The score of each of the {count(finished(result).height, 'finished trial')} against one of its settings. A "
        "clear trend means that the setting matters.",
        {key: _slice(key, table.filter(pl.col("option") == key), result) for key in keys}
        or Lines(x=Axis(label="Setting"), y=Axis(label=_score(result)), series=()),
        (Switch("setting", "Setting", tuple((key, key) for key in keys)),) if keys else (),
    )


def _slice(key: str, tried: pl.DataFrame, result: TuningResult) -> Lines:
    numeric = tried["number"].null_count() == 0
    settings = [json.loads(setting) for setting in tried["setting"]]
    words = () if numeric else tuple(sorted({str(setting) for setting in settings}))
    places = tried["number"].to_list() if numeric else [words.index(str(setting)) for setting in settings]
    log = numeric and min(places) > 0 and max(places) / min(places) > LOG_RATIO
    trials = tried["trial"].to_list()
    points = Line(
        name="Trial",
        x=rounded(places),
        y=rounded(tried["value"]),
        labels=tuple(f"Trial {trial}: {setting}" for trial, setting in zip(trials, settings, strict=True)),
        big=tuple(int(trial == result.best_trial) for trial in trials),
        marks="only",
    )
    axis = Axis(label=key, log=log) if numeric else Axis(label=key, words=words, min=-0.5, max=len(words) - 0.5)
    return Lines(x=axis, y=Axis(label=_score(result)), series=(points,))


def _chosen(search: Search) -> Terms:
    name, result = search.of, search.result
    best = f"trial {result.best_trial}, {_score(result)} {number(result.best_value, 4)}"
    if search.asked_for is None:
        title, setting = f"Chosen for the {name}: {best}", result.best
    else:
        # The best trial is named beside it: a reader must see that another one was preferred, and at what price.
        title = f"Asked for: the {name} is trained with the setting of trial {search.asked_for} (best was {best})"
        setting = json.loads(result.trials.filter(trial=search.asked_for)["parameters"][0])
    return Terms(f"tuning-{name}-chosen", title, tuple((key, _word(value)) for key, value in sorted(setting.items())))


def _word(value: Any) -> str:
    return number(value, 4) if isinstance(value, float) else str(value)


def _trials(name: str, result: TuningResult) -> Table:
    settings = settings_of(result.trials)
    keys = sorted({key for setting in settings for key in setting})
    trials = result.trials.with_columns(settings=pl.Series(range(result.trials.height)))
    ordered = trials.sort("value", "trial", descending=[not minimised(result), False], nulls_last=True)
    rows = []
    for line in ordered.head(TRIALS_LISTED).iter_rows(named=True):
        setting = settings[line["settings"]]
        cells = [
            entry(setting.get(key))
            if isinstance(setting.get(key), int | float)
            else Entry(str(setting.get(key, "–")), None)
            for key in keys
        ]
        rows.append(row(line["trial"], line["state"], entry(line["value"], 4), line["steps"], *cells))
    return Table(
        f"tuning-{name}-trials",
        f"Trials of the {name}, best first",
        columns(numeric("Trial"), "State", numeric(_score(result)), numeric("Steps"), *keys),
        tuple(rows),
        f"The best {TRIALS_LISTED} are listed." if result.trials.height > TRIALS_LISTED else "",
        filtered=True,
    )
