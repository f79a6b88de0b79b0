"""Section of the page: what was found, in plain words, with what must be said about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from icudl.analysis.numbers.comparison import AttackLine
from icudl.analysis.numbers.groups import SMALLEST_GROUP
from icudl.analysis.numbers.quality import model_names, own_models
from icudl.report.elements import Block, Fact, Note, Section
from icudl.report.names import SPLIT_NAMES, predictor_in_sentence
from icudl.report.sections.attacks import charted_sentence
from icudl.report.sections.quality import JudgedStays, judged_stays, main_stays, metric_value
from icudl.report.study import AttackResults, ModelResults, StudyResults
from icudl.report.wording import count, listed, number, percent
from icudl.variables import Variable

ENOUGH_DEATHS = 100
"""Fewer deaths than this in the stays judged, and the scores are no evidence (Vergouwe et al. 2005, J Clin Epidemiol
58, 475-483, and Collins et al. 2016, Stat Med 35, 214-226: at least 100 events to validate a prediction model)."""

MOST_SENTENCES = 6
"""Attacks that the summary tells of in sentences; the comparison has all of them."""

TURNED = {
    "survival_to_death": "To turn survival into death",
    "death_to_survival": "To turn death into survival",
}


def summary_section(study: StudyResults, lines: Sequence[AttackLine]) -> Section:
    """Tell what was found.

    Args:
        study: The study.
        lines: The attacks' lines in the comparison, in the order of ``study.attacks``.
    """
    models = [(model, judged_stays(study, model)) for model in study.models]
    several = len(models) > 1
    lead = [
        _model_sentence(model, groups, several=several) if place == 0 else _other_model_sentence(model, groups)
        for place, (model, groups) in enumerate(models)
    ]
    lead += _attack_sentences(study, lines)
    lead.append(
        "An adversarial example shows what the model hangs on, not what happens to patients. A wrong entry that "
        "flips a prediction is a weakness of the model; it says nothing about treatment."
    )
    return Section("summary", "What was found", "Summary", tuple(lead), _notes(study, models), _facts(study, models))


def _notes(study: StudyResults, models: Sequence[tuple[ModelResults, tuple[JudgedStays, ...]]]) -> tuple[Block, ...]:
    notes: list[Block] = []
    thin: dict[str, tuple[str, int]] = {}
    for model, groups in models:
        main = main_stays(groups)
        for group in groups:
            judged = _judged(model, group)
            if judged is None or (group is not main and group.split != "external"):
                continue
            if judged["deaths"] < ENOUGH_DEATHS:
                thin.setdefault(group.data, (group.words, judged["deaths"]))
    if thin:
        holds = listed([f"the {words} hold only {count(deaths, 'death')}" for words, deaths in thin.values()])
        notes.append(
            Note(
                f"These metrics are no evidence: {holds}, and fewer than {ENOUGH_DEATHS} say next to nothing about how "
                "good a model is. Read this page as a demonstration of the method.",
                "warning",
            )
        )
    if any(entry.plugin.split(" ")[0] == "synthetic" for entry in study.lineage):
        notes.append(
            Note(
                "Patients of this study are synthetic. The page shows how the method works, and nothing about real "
                "patients."
            )
        )
    if study.restricted:
        notes.append(Note("The data behind this page are credentialed: share it only as their licence allows."))
    return tuple(notes)


def _facts(study: StudyResults, models: Sequence[tuple[ModelResults, tuple[JudgedStays, ...]]]) -> tuple[Fact, ...]:
    facts = []
    for data in study.data:
        stays, deaths = len(data.grid.labels), int(data.grid.labels.sum())
        label = "ICU stays studied" if len(study.data) == 1 else f"ICU stays in {data.name}"
        facts.append(
            Fact(label, f"{stays:,}", f"{percent(deaths / stays)} died in hospital ({deaths:,})" if stays else "")
        )
    several = len(models) > 1
    for model, groups in models:
        facts += _score_facts(model, groups, several=several)
    for attack in _told(study):
        facts += _attack_facts(study, attack)
    return tuple(facts)


def _judged(model: ModelResults, group: JudgedStays | None, metric: str = "auroc") -> dict[str, Any] | None:
    names = model_names(model.training.predictions, own_models(model.training))
    return metric_value(group, names[0], metric) if names and group is not None else None


def _score_facts(model: ModelResults, groups: tuple[JudgedStays, ...], *, several: bool) -> list[Fact]:
    facts = []
    group = main_stays(groups)
    metrics = (("auroc", "Discrimination (AUROC)"), ("auprc", "Precision-recall (AUPRC)"))
    for metric, label in metrics[:1] if several else metrics:
        found = _judged(model, group, metric)
        if group is None or found is None or found["value"] is None:
            continue
        between = (
            f"95 % interval {found['low']:.3f} to {found['high']:.3f}; "
            if found["low"] is not None and found["high"] is not None
            else ""
        )
        where = f"{found['stays']:,} {SPLIT_NAMES[group.split]}, {count(found['deaths'], 'death')}"
        facts.append(Fact(f"AUROC of {model.name}" if several else label, f"{found['value']:.3f}", between + where))
    return facts


def _line(attack: AttackResults, condition: str) -> dict[str, Any]:
    summary = attack.susceptibility.tables["summary"]
    return summary.filter(pl.col("condition") == condition, pl.col("example") == "best").row(0, named=True)


def _attack_facts(study: StudyResults, attack: AttackResults) -> list[Fact]:
    several = len(study.attacks) > 1
    label = f"Flipped: {study.attack_title(attack)}" if several else "Predictions flipped"
    total = _line(attack, "both")
    if not total["attacked"]:
        return [Fact(label, "–", "no stay was attacked")]
    facts = [
        Fact(label, percent(total["success"]), f"{total['flipped']:,} of {count(total['attacked'], 'attacked stay')}")
    ]
    if not several and total["l0_median"] is not None:
        facts.append(
            Fact(
                "Values changed to flip one",
                number(total["l0_median"]),
                f"median; {number(total['l0_mean'])} on average",
            )
        )
    return facts


def _model_sentence(model: ModelResults, groups: tuple[JudgedStays, ...], *, several: bool) -> str:
    names = model_names(model.training.predictions, own_models(model.training))
    group = main_stays(groups)
    judged = _judged(model, group)
    subject = f"model “{model.name}”" if several else "model"
    if group is None or judged is None or judged["value"] is None:
        return f"The {subject} could not be judged: there are no held-out stays of both outcomes."
    name = f"{subject} ({predictor_in_sentence(names[0])})" if several else predictor_in_sentence(names[0])
    text = (
        f"Given the first hours of an ICU stay, the {name} predicts whether the patient dies in hospital. On "
        f"{judged['stays']:,} {SPLIT_NAMES[group.split]} ({count(judged['deaths'], 'death')}) it ranked a patient who "
        f"died above one who survived in {percent(judged['value'])} of pairs."
    )
    others = [
        (predictor_in_sentence(name), found["value"])
        for name in names[1:]
        if (found := metric_value(group, name, "auroc")) is not None and found["value"] is not None
    ]
    if others:
        words = listed([f"the {name} did so in {percent(value)}" for name, value in others])
        text += f" On the same stays, {words}."
    return f"{text}{_elsewhere(model, groups, f'the {name}')}"


def _other_model_sentence(model: ModelResults, groups: tuple[JudgedStays, ...]) -> str:
    group = main_stays(groups)
    judged = _judged(model, group)
    if group is None or judged is None or judged["value"] is None:
        return f"The model “{model.name}” could not be judged: there are no held-out stays of both outcomes."
    plugin = model_names(model.training.predictions, own_models(model.training))[0]
    name = f"the model “{model.name}” ({predictor_in_sentence(plugin)})"
    text = (
        f"On {judged['stays']:,} {SPLIT_NAMES[group.split]} ({count(judged['deaths'], 'death')}), {name} ranked such "
        f"pairs rightly in {percent(judged['value'])}."
    )
    return f"{text}{_elsewhere(model, groups, name)}"


def _elsewhere(model: ModelResults, groups: tuple[JudgedStays, ...], name: str) -> str:
    text = ""
    for outside in (each for each in groups if each.split == "external"):
        found = _judged(model, outside)
        if found is not None and found["value"] is not None:
            text += f" On {found['stays']:,} {outside.words}, {name} did so in {percent(found['value'])}."
    return text


def _told(study: StudyResults) -> list[AttackResults]:
    """Return the attacks that the summary tells of: some of those on the main data set, or the only one."""
    if len(study.attacks) == 1:
        return list(study.attacks)
    return [attack for attack in study.attacks if attack.data == study.main.name][:MOST_SENTENCES]


def _attack_sentences(study: StudyResults, lines: Sequence[AttackLine]) -> list[str]:
    several = len(study.attacks) > 1
    sentences = []
    told = _told(study)
    for attack, line in zip(study.attacks, lines, strict=True):
        if attack not in told:
            continue
        subject = f"The attack “{attack.attack}” on “{attack.model}”" if several else "The attack"
        sentences.append(_attack_sentence(subject, attack, line))
        if not several:
            sentences += _where_sentences(attack)
    if len(study.attacks) > len(told):
        sentences.append("The table “What each attack reached” has all attacks, those on external data sets too.")
    return sentences


def _attack_sentence(subject: str, attack: AttackResults, line: AttackLine) -> str:
    total = _line(attack, "both")
    if not total["attacked"]:
        return f"{subject} found no stay to attack."
    if not total["flipped"]:
        return f"{subject} flipped none of the {count(total['attacked'], 'prediction')} it tried."
    text = (
        f"{subject} flipped {total['flipped']:,} of {count(total['attacked'], 'prediction')} "
        f"({percent(total['success'])})"
    )
    if total["l0_median"] is not None:
        text += f", half of them by changing at most {count(math.floor(total['l0_median']), 'value')} of the stay"
    parts = []
    for condition, words in (("survival_to_death", "survival"), ("death_to_survival", "death")):
        own = _line(attack, condition)
        if own["attacked"]:
            parts.append(f"{percent(own['success'])} of the predictions of {words} ({own['attacked']:,})")
    text = f"{text}. Flipped were {listed(parts)}."
    if line.threat_model == "grid" and line.charted is not None:
        text = f"{charted_sentence(line.charted, subject)} {text}"
    return text


def _where_sentences(attack: AttackResults) -> list[str]:
    variables = attack.susceptibility.tables["variables"].filter(
        pl.col("example") == "best", pl.col("stays") >= SMALLEST_GROUP
    )
    by_name = {variable.name: variable for variable in attack.result.variables}
    sentences = []
    for condition, words in TURNED.items():
        part = variables.filter(pl.col("condition") == condition, pl.col("touched") > 0)
        top = part.sort("touched", "variable", descending=[True, False]).head(3)
        if top.height:
            names = [_changed(by_name[line["variable"]], line) for line in top.iter_rows(named=True)]
            sentences.append(f"{words}, the attack most often changed {listed(names)}.")
    return sentences


def _changed(variable: Variable, line: dict[str, Any]) -> str:
    size = f"{number(line['ganzp_clinical'])} {variable.unit}".strip()
    return f"{variable.label} ({percent(line['touched'])} of these stays, by {size} on average)"
