"""Section of the page: what was found, in plain words, with what must be said about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from icudl.artifacts import AttackResult, GridDataset, LineageEntry, SusceptibilityResult, TrainingResult
from icudl.report.elements import (
    Block,
    Fact,
    Note,
    Section,
)
from icudl.report.names import (
    SPLIT_NAMES,
    display_name,
)
from icudl.report.sections.fragility import SMALLEST_GROUP
from icudl.report.sections.quality import main_split, metric_value, model_names
from icudl.report.wording import count, number, percent
from icudl.variables import Variable

ENOUGH_DEATHS = 100
"""Fewer deaths than this in the stays judged, and the scores are no evidence (Vergouwe et al. 2005, J Clin Epidemiol
58, 475-483, and Collins et al. 2016, Stat Med 35, 214-226: at least 100 events to validate a prediction model)."""


def summary_section(
    grid: GridDataset,
    training: TrainingResult,
    attack: AttackResult,
    susceptibility: SusceptibilityResult,
    lineage: Sequence[LineageEntry],
) -> Section:
    """Tell what was found."""
    stays, deaths = len(grid.labels), int(grid.labels.sum())
    split = main_split(training)
    judged = _judged(training, split)
    total = _line(susceptibility, "both")
    facts = [
        Fact(
            "ICU stays studied",
            f"{stays:,}",
            f"{percent(deaths / stays)} died in hospital ({deaths:,})" if stays else "",
        ),
        *_score_facts(training, split),
        *_attack_facts(total),
    ]
    notes: list[Block] = []
    if judged is not None and judged["deaths"] < ENOUGH_DEATHS:
        notes.append(
            Note(
                f"These metrics are no evidence: the {SPLIT_NAMES[split]} hold only "
                f"{count(judged['deaths'], 'death')}, and fewer than {ENOUGH_DEATHS} say next to nothing about how "
                "good a model is. Read this page as a demonstration of the method.",
                "warning",
            )
        )
    if any(entry.plugin.split(" ")[0] == "synthetic" for entry in lineage):
        notes.append(
            Note(
                "The patients of this study are synthetic. The page shows how the method works, and nothing about real "
                "patients."
            )
        )
    if any(entry.restricted for entry in lineage):
        notes.append(Note("The data behind this page are credentialed: share it only as their licence allows."))
    lead = (
        _model_sentence(training, split, judged),
        _attack_sentence(total, susceptibility),
        *_where_sentence(attack, susceptibility),
        (
            "An adversarial example shows what the model hangs on, not what happens to patients. A wrong entry that "
            "flips a prediction is a weakness of the model; it says nothing about treatment."
        ),
    )
    return Section("summary", "What was found", "Summary", lead, tuple(notes), tuple(facts))


def _judged(training: TrainingResult, split: str) -> dict[str, Any] | None:
    models = model_names(training)
    return metric_value(training, models[0], split, "auroc") if models else None


def _score_facts(training: TrainingResult, split: str) -> list[Fact]:
    facts = []
    for metric, label in (("auroc", "Discrimination (AUROC)"), ("auprc", "Precision-recall (AUPRC)")):
        models = model_names(training)
        found = metric_value(training, models[0], split, metric) if models else None
        if found is None or found["value"] is None:
            continue
        between = (
            f"95 % interval {found['low']:.3f} to {found['high']:.3f}; "
            if found["low"] is not None and found["high"] is not None
            else ""
        )
        where = f"{found['stays']:,} {SPLIT_NAMES[split]}, {count(found['deaths'], 'death')}"
        facts.append(Fact(label, f"{found['value']:.3f}", between + where))
    return facts


def _line(susceptibility: SusceptibilityResult, condition: str) -> dict[str, Any]:
    summary = susceptibility.tables["summary"]
    return summary.filter(pl.col("condition") == condition, pl.col("example") == "best").row(0, named=True)


def _attack_facts(total: dict[str, Any]) -> list[Fact]:
    if not total["attacked"]:
        return [Fact("Predictions flipped", "–", "no stay was attacked")]
    facts = [
        Fact(
            "Predictions flipped",
            percent(total["success"]),
            f"{total['flipped']:,} of {count(total['attacked'], 'attacked stay')}",
        )
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


def _model_sentence(training: TrainingResult, split: str, judged: dict[str, Any] | None) -> str:
    models = model_names(training)
    if judged is None or judged["value"] is None:
        return "The model could not be judged: there are no held-out stays of both outcomes."
    name = display_name(models[0], inside_sentence=True)
    text = (
        f"Given the first hours of an ICU stay, the {name} predicts whether the patient dies in hospital. On "
        f"{judged['stays']:,} {SPLIT_NAMES[split]} ({count(judged['deaths'], 'death')}) it ranked a patient who died "
        f"above one who survived in {percent(judged['value'])} of pairs."
    )
    others = [
        (display_name(name, inside_sentence=True), found["value"])
        for name in models[1:]
        if (found := metric_value(training, name, split, "auroc")) is not None and found["value"] is not None
    ]
    if others:
        words = " and ".join(f"{name} in {percent(value)}" for name, value in others)
        text += f" On the same stays, {words}."
    return text


def _attack_sentence(total: dict[str, Any], susceptibility: SusceptibilityResult) -> str:
    if not total["attacked"]:
        return "No stay was attacked."
    if not total["flipped"]:
        return f"The attack flipped none of the {count(total['attacked'], 'prediction')} it tried."
    median = total["l0_median"]
    text = (
        f"Of {count(total['attacked'], 'prediction')} that were attacked, {total['flipped']:,} "
        f"({percent(total['success'])}) could be flipped"
    )
    if median is not None:
        text += f", half of them by changing at most {math.floor(median)} of the stay's values"
    parts = []
    for condition, words in (("survival_to_death", "survival"), ("death_to_survival", "death")):
        line = _line(susceptibility, condition)
        if line["attacked"]:
            parts.append(f"{percent(line['success'])} of the predictions of {words} ({line['attacked']:,})")
    return f"{text}. Flipped were {' and '.join(parts)}."


def _where_sentence(attack: AttackResult, susceptibility: SusceptibilityResult) -> tuple[str, ...]:
    variables = susceptibility.tables["variables"].filter(
        pl.col("example") == "best", pl.col("stays") >= SMALLEST_GROUP
    )
    by_name = {variable.name: variable for variable in attack.variables}
    sentences = []
    for condition, words in (
        ("survival_to_death", "To turn survival into death"),
        ("death_to_survival", "To turn death into survival"),
    ):
        part = variables.filter(pl.col("condition") == condition, pl.col("touched") > 0)
        top = part.sort("touched", "variable", descending=[True, False]).head(3)
        if not top.height:
            continue
        names = [_changed(by_name[line["variable"]], line) for line in top.iter_rows(named=True)]
        sentences.append(f"{words}, the attack most often changed {_listed(names)}.")
    return tuple(sentences)


def _changed(variable: Variable, line: dict[str, Any]) -> str:
    size = f"{number(line['ganzp_clinical'])} {variable.unit}".strip()
    return f"{variable.label} ({percent(line['touched'])} of these stays, by {size} on average)"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
