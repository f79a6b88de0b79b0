"""Sections of the page: models side by side, and attacks side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.numbers.comparison import (
    COMPARED,
    FEWEST_ATTACKED,
    FEWEST_DEATHS,
    AttackLine,
    Estimate,
    Flips,
    JudgedOn,
    ModelLine,
    judged_on,
    models_side_by_side,
)
from icudl.analysis.numbers.models.quality import own_models
from icudl.report.charts.descriptions import Axis, Dot, Dots
from icudl.report.elements import Block, Entry, Figure, Note, Section, Switch, Table
from icudl.report.names import (
    CONDITION_NAMES,
    METRIC_NAMES,
    SPLIT_NAMES,
    predictor_name,
    short_threat,
    way_of_training,
)
from icudl.report.sections.answer.conclusions import attack_sentence, models_sentence
from icudl.report.sections.model.quality import judged_stays
from icudl.report.study import StudyResults
from icudl.report.wording import columns, count, listed, middle_entry, numeric, percent, rounded, row

UNKNOWN = Estimate(None, None, None)


def model_lines(study: StudyResults, seed: int) -> tuple[ModelLine, ...]:
    """Compare the models, and the baselines, on the stays that none of them was fitted on.

    Args:
        study: The study.
        seed: Of the resamples behind the differences.
    """
    return models_side_by_side(_judged(study), {data.name: data.grid.stays for data in study.data}, seed)


def models_section(study: StudyResults, lines: Sequence[ModelLine], chapters: Mapping[str, str]) -> Section:
    """Set the models, and the baselines, side by side.

    Args:
        study: The study.
        lines: Of the models in the comparison.
        chapters: Anchor of the chapter about each model, "" where it has none.
    """
    first = study.models[0].name
    lead = (
        models_sentence(study, lines),
        (
            "Each line is one model, judged on stays that it was not fitted on. Baselines stand below the models "
            "of the same stays."
        ),
        (
            f"Differences are to {first}, on the same resamples of the same patients: an interval without 0 speaks of "
            "a difference that chance does not explain. Where the stays are not the same, the table shows no "
            "difference."
        ),
    )
    return Section(
        "models-compared",
        "Models side by side",
        "Models",
        lead,
        (_models_table(study, lines, first, chapters),),
        (_models_figure(lines),),
    )


def _judged(study: StudyResults) -> list[JudgedOn]:
    return [
        each
        for model in study.models
        for group in judged_stays(study, model)
        for each in judged_on(
            model.name, own_models(model.training), group.predictions, group.metrics, group.data, group.split
        )
    ]


def _line_name(line: ModelLine) -> str:
    if not line.baseline:
        return line.model
    return f"{predictor_name(line.model)} (baseline{f' of {line.beside}' if line.beside else ''})"


def _stays_name(line: ModelLine) -> str:
    return f"{line.data}, {SPLIT_NAMES[line.split]}"


def _estimate(of: Estimate | None, *, signed: bool = False) -> Entry:
    if of is None or of.value is None or not math.isfinite(of.value):
        return Entry("–", None)
    known = of.low is not None and of.high is not None
    sign = "+" if signed else ""
    return Entry(
        f"{of.value:{sign}.3f}", of.value, f"{of.low:{sign}.3f} to {of.high:{sign}.3f}" if known else "no interval"
    )


def _told(line: ModelLine, of: Estimate | None, *, signed: bool = False, why: bool = False) -> Entry:
    if line.deaths < FEWEST_DEATHS:
        return Entry("–", None, f"fewer than {FEWEST_DEATHS} deaths" if why else "")
    return _estimate(of, signed=signed)


def _models_table(study: StudyResults, lines: Sequence[ModelLine], first: str, chapters: Mapping[str, str]) -> Table:
    names = {model.name: own_models(model.training) for model in study.models}
    outcome = study.main.grid.outcome
    others = {
        data.name: f"; judged by {data.grid.outcome.phrase}" for data in study.data if data.grid.outcome != outcome
    }
    rows = tuple(
        row(
            _model_entry(line, names, chapters, "" if line.baseline else way_of_training(study.lineage, line.model)),
            Entry(
                _stays_name(line),
                None,
                f"{count(line.stays, 'stay')}, {count(line.deaths, 'death')}{others.get(line.data, '')}",
            ),
            *(_told(line, line.scores.get(name), why=name == COMPARED[0]) for name in COMPARED),
            _told(line, line.difference, signed=True),
        )
        for line in lines
    )
    return Table(
        "models-table",
        "Scores of all models, with 95 % intervals",
        columns(
            "Model",
            "Judged on",
            *(numeric(METRIC_NAMES[name]) for name in COMPARED),
            numeric(f"AUROC minus that of {first}"),
        ),
        rows,
        "For AUROC and AUPRC more is better, for Brier score and calibration error less. The 95 % interval stands "
        "below each number.",
        filtered=True,
    )


def _model_entry(line: ModelLine, names: Mapping[str, Sequence[str]], chapters: Mapping[str, str], way: str) -> Entry:
    if line.baseline:
        return Entry(predictor_name(line.model), None, f"baseline{f' of {line.beside}' if line.beside else ''}")
    plugins = names[line.model]
    what = predictor_name(plugins[0] if plugins else line.model)
    return Entry(line.model, None, f"{what}, {way}" if way else what, chapters[line.model])


def _models_figure(lines: Sequence[ModelLine]) -> Figure:
    telling = sorted(lines, key=lambda line: line.deaths < FEWEST_DEATHS)  # stays with something to draw come first
    stays = list(dict.fromkeys(_stays_name(line) for line in telling))
    counted = {name: max((line.stays for line in lines if _stays_name(line) == name), default=0) for name in stays}
    variants = {}
    for place, name in enumerate(stays):
        own = [line for line in lines if _stays_name(line) == name]
        for metric in COMPARED:
            found = [UNKNOWN if line.deaths < FEWEST_DEATHS else line.scores.get(metric, UNKNOWN) for line in own]
            variants[f"{place}|{metric}"] = Dots(
                x=Axis(label=METRIC_NAMES[metric]),
                rows=tuple(_line_name(line) for line in own),
                series=(
                    Dot(
                        name=METRIC_NAMES[metric],
                        x=rounded([_number(each.value) for each in found]),
                        low=rounded([_number(each.low) for each in found]),
                        high=rounded([_number(each.high) for each in found]),
                        notes=tuple(f"{line.stays:,} stays, {line.deaths:,} deaths" for line in own),
                    ),
                ),
                sortable=True,
            )
    return Figure(
        "models-figure",
        "Scores as a picture",
        "One dot a model, with its 95 % interval. Intervals of the same stays may overlap although the difference is "
        "certain: the table above tells the differences themselves.",
        variants,
        (
            Switch(
                "stays",
                "Judged on",
                tuple((str(place), f"{name}: {counted[name]:,}") for place, name in enumerate(stays)),
            ),
            Switch("metric", "Score", tuple((name, METRIC_NAMES[name]) for name in COMPARED)),
        ),
        "full",
    )


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def attacks_section(study: StudyResults, lines: Sequence[AttackLine], chapters: Sequence[str]) -> Section:
    """Set the attacks side by side.

    Args:
        study: The study.
        lines: Of the attacks in the comparison.
        chapters: Anchor of the chapter about each of them.
    """
    lead = (
        *(attack_sentence(study, lines, name) for name in dict.fromkeys(line.attack for line in lines)),
        (
            "Each line is one attack on one model and data set. Shares are of the stays attacked; attacks with "
            "different threat models answer different questions, and only lines that may change the same "
            "things compare models. Where the 95 % intervals of two shares overlap, chance may explain the difference."
        ),
    )
    main = study.main.name
    filled = [
        f"{line.attack} on {line.model}{f' in {line.data}' if line.data != main else ''} ({percent(1 - line.charted)})"
        for line in lines
        if line.threat_model == "grid" and line.charted is not None and line.charted < 0.5
    ]
    blocks: tuple[Block, ...] = (_attacks_table(lines, chapters, several=len(study.data) > 1),)
    folded = (_attacks_figure(lines, main),)
    if filled:
        note = Note(
            f"Most of the cells that these attacks changed were never charted: {listed(filled)}. They could change "
            "any cell of the filled-in record; nobody could have entered such values wrongly."
        )
        blocks = (note, *blocks)
    return Section("attacks-compared", "Attacks side by side", "Attacks", lead, blocks, folded)


def _attack_name(line: AttackLine, main: str) -> str:
    return ", ".join([line.model, line.attack, *([line.data] if line.data != main else [])])


def _flipped(flips: Flips) -> Entry:
    of = flips.share
    if of.value is None or of.low is None or of.high is None:
        return Entry("–", None)
    if flips.attacked < FEWEST_ATTACKED:
        return Entry("–", None, f"{flips.flipped:,} of {flips.attacked:,}: too few")
    return Entry(percent(of.value), of.value, f"{percent(of.low)} to {percent(of.high)}")


def _how(line: AttackLine) -> str:
    what = short_threat(line.threat_model, line.plugin)
    return f"{line.plugin}, {what}" if line.plugin else what


def _attacks_table(lines: Sequence[AttackLine], chapters: Sequence[str], *, several: bool) -> Table:
    rows = tuple(
        row(
            line.model,
            Entry(line.attack, None, _how(line), chapter),
            *([line.data] if several else []),
            line.flips["both"].attacked,
            *(_flipped(line.flips[name]) for name in (*CONDITIONS, "both")),
            middle_entry(line.fewest),
            Entry("–", None) if line.charted is None else Entry(percent(line.charted), line.charted),
        )
        for line, chapter in zip(lines, chapters, strict=True)
    )
    return Table(
        "attacks-table",
        "What each attack reached",
        columns(
            "Model",
            "Attack",
            *(["Data set"] if several else []),
            numeric("Stays attacked"),
            numeric("Survival to death"),
            numeric("Death to survival"),
            numeric("Both"),
            numeric("Fewest changes, median"),
            numeric("Changes to charted cells"),
        ),
        rows,
        "Below each attack stand its method and what it may change, below each share its 95 % interval. The median of "
        "the fewest values changed is that of the flipped stays: an attack that flips few, easy stays has a small "
        "one. Charted cells are counted among those that the best examples change.",
        filtered=True,
    )


def _attacks_figure(lines: Sequence[AttackLine], main: str) -> Figure:
    names = tuple(_attack_name(line, main) for line in lines)

    def share(condition: str) -> Dot:
        found = [line.flips[condition] for line in lines]
        return Dot(
            name=CONDITION_NAMES[condition].capitalize(),
            x=rounded([_number(each.share.value) for each in found]),
            low=rounded([_number(each.share.low) for each in found]),
            high=rounded([_number(each.share.high) for each in found]),
            notes=tuple(f"{each.flipped:,} of {each.attacked:,} attacked stays" for each in found),
        )

    flipped = Dots(
        x=Axis(label="Stays flipped", percent=True, min=0, max=1),
        rows=names,
        series=tuple(share(condition) for condition in ("both", *CONDITIONS)),
        sortable=True,
    )
    fewest = Dots(
        x=Axis(label="Fewest values changed, median", min=0),
        rows=names,
        series=(Dot(name="Flipped stays", x=rounded([_number(line.fewest) for line in lines])),),
        sortable=True,
    )
    charted = Dots(
        x=Axis(label="Changed cells that were charted", percent=True, min=0, max=1),
        rows=names,
        series=(Dot(name="Best examples", x=rounded([_number(line.charted) for line in lines])),),
        sortable=True,
    )
    return Figure(
        "attacks-figure",
        "Flipped stays as a picture",
        "One line an attack; shares with their 95 % intervals.",
        {"flipped": flipped, "fewest": fewest, "charted": charted},
        (
            Switch(
                "number",
                "Number",
                (
                    ("flipped", "Stays flipped"),
                    ("fewest", "Fewest values changed"),
                    ("charted", "Charted cells"),
                ),
            ),
        ),
        "full",
    )
