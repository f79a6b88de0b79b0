"""Section of the page: what a study of one model and one attack found, with what must be said about it."""

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
from icudl.report.sections.attack.results import charted_sentence
from icudl.report.sections.model.quality import JudgedStays, judged_stays, main_stays, metric_value
from icudl.report.study import AttackResults, ModelResults, StudyResults
from icudl.report.wording import count, listed, number, percent
from icudl.variables import Variable

ENOUGH_DEATHS = 100
"""Fewer deaths than this in the stays judged, and the scores are no evidence (Vergouwe et al. 2005, J Clin Epidemiol
58, 475-483, and Collins et al. 2016, Stat Med 35, 214-226: at least 100 events to validate a prediction model)."""

MEANING = (
    "An adversarial example shows what the model depends on, not what happens to patients. A wrong entry that flips a "
    "prediction is a weakness of the model; it says nothing about treatment."
)

SYNTHETIC = Note(
    "Patients of this study are synthetic. The page shows how the method works, and nothing about real patients."
)

CREDENTIALED = Note("The data behind this page are credentialed: share it only as their licence allows.")

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
    (model,) = study.models
    group = main_stays(judged_stays(study, model))
    lead = [_model_sentence(model, group)]
    for attack, line in zip(study.attacks, lines, strict=True):
        lead += [_attack_sentence(attack, line), *_where_sentences(attack)]
    lead.append(MEANING)
    return Section(
        "summary", "What was found", "Summary", tuple(lead), _notes(study, model, group), _facts(study, group)
    )


def _notes(study: StudyResults, model: ModelResults, group: JudgedStays | None) -> tuple[Block, ...]:
    notes: list[Block] = []
    judged = _judged(model, group)
    if group is not None and judged is not None and judged["deaths"] < ENOUGH_DEATHS:
        notes.append(
            Note(
                f"These metrics are no evidence: the {group.words} hold only {count(judged['deaths'], 'death')}, and "
                f"fewer than {ENOUGH_DEATHS} say next to nothing about how good a model is. Read this page as a "
                "demonstration of the method.",
                "warning",
            )
        )
    if is_synthetic(study):
        notes.append(SYNTHETIC)
    if study.restricted:
        notes.append(CREDENTIALED)
    return tuple(notes)


def is_synthetic(study: StudyResults) -> bool:
    """Whether any patients of the study are made up."""
    return any(entry.plugin.split(" ")[0] == "synthetic" for entry in study.lineage)


def _facts(study: StudyResults, group: JudgedStays | None) -> tuple[Fact, ...]:
    grid = study.main.grid
    stays, deaths = len(grid.labels), int(grid.labels.sum())
    died = f"{percent(deaths / stays)} died in hospital ({deaths:,})" if stays else ""
    facts = [Fact("ICU stays studied", f"{stays:,}", died), *_score_facts(study.models[0], group)]
    for attack in study.attacks:
        facts += _attack_facts(attack)
    return tuple(facts)


def _judged(model: ModelResults, group: JudgedStays | None, metric: str = "auroc") -> dict[str, Any] | None:
    names = model_names(model.training.predictions, own_models(model.training))
    return metric_value(group, names[0], metric) if names and group is not None else None


def _score_facts(model: ModelResults, group: JudgedStays | None) -> list[Fact]:
    facts = []
    for metric, label in (("auroc", "Discrimination (AUROC)"), ("auprc", "Precision-recall (AUPRC)")):
        found = _judged(model, group, metric)
        if group is None or found is None or found["value"] is None:
            continue
        between = (
            f"95 % interval {found['low']:.3f} to {found['high']:.3f}; "
            if found["low"] is not None and found["high"] is not None
            else ""
        )
        where = f"{found['stays']:,} {SPLIT_NAMES[group.split]}, {count(found['deaths'], 'death')}"
        facts.append(Fact(label, f"{found['value']:.3f}", between + where))
    return facts


def _line(attack: AttackResults, condition: str) -> dict[str, Any]:
    summary = attack.susceptibility.tables["summary"]
    return summary.filter(pl.col("condition") == condition, pl.col("example") == "best").row(0, named=True)


def _attack_facts(attack: AttackResults) -> list[Fact]:
    label = "Predictions flipped"
    total = _line(attack, "both")
    if not total["attacked"]:
        return [Fact(label, "–", "no stay was attacked")]
    facts = [
        Fact(label, percent(total["success"]), f"{total['flipped']:,} of {count(total['attacked'], 'attacked stay')}")
    ]
    if total["l0_median"] is not None:
        facts.append(
            Fact(
                "Values changed to flip one",
                number(total["l0_median"]),
                f"median; {number(total['l0_mean'])} on average",
            )
        )
    return facts


def _model_sentence(model: ModelResults, group: JudgedStays | None) -> str:
    names = model_names(model.training.predictions, own_models(model.training))
    judged = _judged(model, group)
    if group is None or judged is None or judged["value"] is None:
        return "The model could not be judged: there are no held-out stays of both outcomes."
    text = (
        f"Given the first hours of an ICU stay, the {predictor_in_sentence(names[0])} predicts whether the patient "
        f"dies in hospital. On {judged['stays']:,} {SPLIT_NAMES[group.split]} ({count(judged['deaths'], 'death')}) it "
        f"ranked a patient who died above one who survived in {percent(judged['value'])} of pairs."
    )
    others = [
        (predictor_in_sentence(name), found["value"])
        for name in names[1:]
        if (found := metric_value(group, name, "auroc")) is not None and found["value"] is not None
    ]
    if others:
        words = listed([f"the {name} did so in {percent(value)}" for name, value in others])
        text += f" On the same stays, {words}."
    return text


def _attack_sentence(attack: AttackResults, line: AttackLine) -> str:
    subject, total = "The attack", _line(attack, "both")
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
