"""The first screen of the page."""

from __future__ import annotations

from collections.abc import Sequence

from icudl.analysis.numbers.attacks.groups import SMALLEST_GROUP
from icudl.analysis.numbers.comparison import (
    FEWEST_ATTACKED,
    FEWEST_DEATHS,
    AttackLine,
    Estimate,
    ModelLine,
    telling_models,
)
from icudl.analysis.numbers.headline import Headline, Question
from icudl.analysis.numbers.proofs.certificates import proved_by_class
from icudl.artifacts import CertificateStatus
from icudl.report.elements import Answer, Fact, SharesPicture, StayPicture
from icudl.report.names import SPLIT_NAMES
from icudl.report.options import ReportOptions
from icudl.report.sections.answer.advice import advice
from icudl.report.sections.answer.conclusions import external_sentence
from icudl.report.sections.answer.notes import ENOUGH_DEATHS, MEANING, notes
from icudl.report.sections.answer.picture import shares_picture, stay_picture
from icudl.report.sections.answer.sentences import beside_sentences, first_sentence
from icudl.report.study import AttackResults, CertificateResults, StudyResults
from icudl.report.wording import count, middle, percent


def answer(
    study: StudyResults,
    options: ReportOptions,
    models: Sequence[ModelLine],
    attacks: Sequence[AttackLine],
    told: Headline | None,
) -> Answer:
    """Tell what was found: in one sentence, in one picture, in a few numbers.

    Scores that rest on fewer than ``FEWEST_DEATHS`` deaths, and shares of fewer than ``FEWEST_ATTACKED`` attacked
    stays, stand in the tables only.

    Args:
        study: The study.
        options: Content of the page.
        models: Lines of the comparison of models.
        attacks: Lines of the comparison of attacks, in the order of ``study.attacks``.
        told: What to begin with; None where no attack was run on enough stays.
    """
    lead = [] if told is None else list(beside_sentences(study, told))
    if study.external:
        lead.append(external_sentence(study, models, attacks, None if told is None else told.line.attack))
    lead += [_proven(each) for each in study.certificates[:1]]
    lead.append(MEANING)
    return Answer(
        "summary",
        "Answer",
        _setting(study),
        first_sentence(study, told),
        tuple(lead),
        _facts(study, models, told),
        advice(study, models, told),
        notes(study, models),
        None if told is None else _picture(study, options, told),
    )


def _setting(study: StudyResults) -> str:
    grid = study.main.grid
    hours, deaths = study.main.tables.window_hours, int(grid.labels.sum())
    return (
        f"Predicted: {grid.outcome.phrase}, from the first {hours} hours of {count(len(grid.labels), 'ICU stay')} "
        f"({count(deaths, 'death')})."
    )


def _proven(proofs: CertificateResults) -> str:
    groups = proved_by_class(proofs.result)
    if not groups:
        return f"Proofs were asked for, and no stay of {proofs.model} was looked at."
    stays, proven = groups[0].stays, groups[0].counts[CertificateStatus.PROVEN]
    what = "charted value" if proofs.result.threat_model == "measured" else "cell of the filled-in record"
    return (
        f"Proven for {proofs.model}: no plausible number in the place of any one {what} flips {proven:,} of "
        f"{count(stays, 'stay')}{f' ({percent(proven / stays)})' if stays >= SMALLEST_GROUP else ''}."
    )


def _results(study: StudyResults, line: AttackLine) -> AttackResults:
    return next(
        each for each in study.attacks if (each.model, each.attack, each.data) == (line.model, line.attack, line.data)
    )


def _picture(study: StudyResults, options: ReportOptions, told: Headline) -> StayPicture | SharesPicture | None:
    if not study.restricted or options.show_restricted_rows:
        picture = stay_picture(study, _results(study, told.line))
        if picture is not None:
            return picture
    line = told.others.get(Question.FEW_VALUES, told.line) if told.question is Question.ONE_VALUE else told.line
    return shares_picture(_results(study, line), told) if line.flips["both"].flipped else None


def _facts(study: StudyResults, models: Sequence[ModelLine], told: Headline | None) -> tuple[Fact, ...]:
    facts = [_how_well(study, models, told)]
    if told is None:
        facts.append(Fact("How fragile", "–", f"fewer than {FEWEST_ATTACKED} stays{study.of_main} attacked"))
    else:
        facts += [_how_fragile(told), *_how_many(told)]
    facts.append(_how_sure(study, models))
    return tuple(facts)


def _spoken_of(study: StudyResults, models: Sequence[ModelLine], told: Headline | None) -> ModelLine | None:
    lines = telling_models(models, study.main.name)
    if told is None:
        return lines[-1] if lines else None
    return next((line for line in lines if line.model == told.line.model), None)


def _how_well(study: StudyResults, models: Sequence[ModelLine], told: Headline | None) -> Fact:
    line = _spoken_of(study, models, told)
    if line is None:
        return Fact("How well it predicts", "–", f"fewer than {FEWEST_DEATHS} deaths in the stays judged")
    found = line.scores["auroc"]
    value = "–" if found.value is None else f"{found.value:.3f}"
    return Fact(
        "How well it predicts: AUROC",
        value,
        f"{between(found)}{count(line.stays, SPLIT_NAMES[line.split][:-1])}, {count(line.deaths, 'death')}",
    )


def between(of: Estimate, *, share: bool = False) -> str:
    """Write an interval as the beginning of a detail; nothing where there is none."""
    if of.low is None or of.high is None:
        return ""
    low, high = (percent(end) if share else f"{end:.3f}" for end in (of.low, of.high))
    return f"95 % interval {low} to {high}; "


FRAGILE = {
    Question.ONE_VALUE: "How fragile: flipped by one charted value",
    Question.FEW_VALUES: "How fragile: flipped by charted values",
    Question.ANY_CELL: "Flipped by any cells, charted or not",
    Question.CONTROL: "Flipped by errors that nobody aimed",
}


def _how_fragile(told: Headline) -> Fact:
    flips = told.line.flips["both"]
    value = "–" if flips.share.value is None else percent(flips.share.value)
    return Fact(
        FRAGILE[told.question],
        value,
        f"{between(flips.share, share=True)}{flips.flipped:,} of {count(flips.attacked, 'attacked stay')}",
    )


def _how_many(told: Headline) -> list[Fact]:
    line = told.others.get(Question.FEW_VALUES, told.line)
    if told.question is Question.CONTROL or line.fewest is None or line.plugin == "sweep":
        return []
    what = "charted values" if line.threat_model != "grid" else "cells"
    return [
        Fact(
            f"How many {what} it takes",
            middle(line.fewest),
            f"median of the {count(line.flips['both'].flipped, 'flipped stay')} (attack {line.attack})",
        )
    ]


def _how_sure(study: StudyResults, models: Sequence[ModelLine]) -> Fact:
    told = telling_models(models, study.main.name)
    judged = [line.deaths for line in (told or models) if not line.baseline]
    deaths = max(judged, default=0)
    thin = deaths < ENOUGH_DEATHS
    detail = (
        f"in the stays judged: no evidence yet, that takes {ENOUGH_DEATHS} or more"
        if thin
        else f"in the stays judged; to tell how good a model is takes {ENOUGH_DEATHS} or more"
    )
    return Fact("How sure", count(deaths, "death"), detail, warning=thin)
