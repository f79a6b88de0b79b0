"""What a reader can do with what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from icudl.analysis.numbers.attacks.groups import SMALLEST_GROUP
from icudl.analysis.numbers.comparison import AttackLine, ModelLine, overlap, telling_models
from icudl.analysis.numbers.headline import Headline, Question
from icudl.report.elements import Advice
from icudl.report.sections.answer.notes import ENOUGH_DEATHS
from icudl.report.sections.answer.sentences import called, share_of
from icudl.report.study import AttackResults, StudyResults
from icudl.report.wording import count, listed, percent

MOST_VARIABLES = 3
MOST_OF_THE_RISKS = 0.5
"""Where flipped predictions spread over more of the risks than this, no range of risks is the fragile one."""
WIDE = 0.2
"""A 95 % interval of a share wider than this is worth more attacked stays."""


def advice(study: StudyResults, models: Sequence[ModelLine], told: Headline | None) -> tuple[Advice, ...]:
    """Return what to do, the most useful first.

    Nothing is advised on fewer than ``SMALLEST_GROUP`` flipped stays.

    Args:
        study: The study.
        models: Lines of the comparison of models.
        told: What the report begins with; None where no attack was run on enough stays.
    """
    found: list[Advice] = []
    if told is not None:
        attack = next(
            each
            for each in study.attacks
            if (each.model, each.attack, each.data) == (told.line.model, told.line.attack, told.line.data)
        )
        fragility = attack.susceptibility.tables["fragility"]
        flipped = fragility.filter(pl.col("changed").is_not_null())
        if flipped.height >= SMALLEST_GROUP:
            found += [*_entries(study, attack, told, flipped), _risks(study, told, flipped)]
        found += _models(study, models, told)
    found.append(_evidence(study, models, told))
    return tuple(found)


def _entries(study: StudyResults, attack: AttackResults, told: Headline, flipped: pl.DataFrame) -> list[Advice]:
    changes = attack.result.ask(
        "perturbations",
        lambda table: (
            table.filter(pl.col("example") == "best")
            .select("stay_id", "variable")
            .unique()
            .group_by("variable")
            .agg(stays=pl.len())
        ),
    ).sort("stays", "variable", descending=[True, False])
    top = [
        (attack.result.variables[line["variable"]].label, line["stays"] / flipped.height)
        for line in changes.head(MOST_VARIABLES).iter_rows(named=True)
    ]
    if not top:
        return []
    spelled = listed([f"{label} ({percent(share)})" for label, share in top])
    what = "cells" if told.question is Question.ANY_CELL else "entries"
    return [
        Advice(
            f"Check these {what} first: {listed([label for label, _ in top])}",
            f"The smallest change that flips a prediction of {called(study, told.line.model)} touches {spelled} of "
            f"the {flipped.height:,} flipped stays.",
            "fragile",
        )
    ]


def _risks(study: StudyResults, told: Headline, flipped: pl.DataFrame) -> Advice:
    risk = flipped["probability_before"]
    low, high = (float(risk.quantile(at, "linear") or 0.0) for at in (0.1, 0.9))
    if high - low > MOST_OF_THE_RISKS:
        return Advice(
            "Trust no risk for being far from the threshold",
            f"Flipped predictions of {called(study, told.line.model)} had risks from {percent(low)} to "
            f"{percent(high)} before the change (eight of ten): sure predictions turn as well.",
            "whom",
        )
    return Advice(
        f"Doubt risks between {percent(low)} and {percent(high)}",
        f"Eight of ten flipped predictions of {called(study, told.line.model)} lay there before the change: a "
        "prediction far from them took more to turn, or did not turn.",
        "whom",
    )


def _models(study: StudyResults, models: Sequence[ModelLine], told: Headline) -> list[Advice]:
    scored = telling_models(models, study.main.name)
    if len(scored) < 2 or len(told.beside) < 2:
        return []
    best, least = scored[-1], told.beside[0]
    mine = _line_of(told, best.model)
    score = f"AUROC {best.scores['auroc'].value:.3f}"
    if mine is None:
        return []
    compared = [line for line in told.beside if line.model != best.model] if best.model == least.model else [least]
    apart = not any(overlap(mine.flips["both"].share, each.flips["both"].share) for each in compared)
    if best.model == least.model and apart:
        return [
            Advice(
                f"Prefer {best.model}",
                f"Of the {count(len(scored), 'model')} it ranks patients best ({score}) and is flipped least often "
                f"({share_of(least)}), by more than chance explains.",
                "models",
            )
        ]
    if not apart:
        if len({share_of(line) for line in told.beside}) == 1:
            text = f"every model is flipped equally often ({share_of(least)})."
        else:
            text = "none is flipped clearly less often than the others."
        text = f"{best.model} ranks patients best ({score}); {text}"
        return [Advice("Choose no model by these shares yet", text, "models")]
    return [
        Advice(
            f"Weigh {best.model} against {least.model}",
            f"{best.model} ranks patients best ({score}) but is flipped in {share_of(mine)}; {least.model} is flipped "
            f"least often ({share_of(least)}).",
            "models",
        )
    ]


def _line_of(told: Headline, model: str) -> AttackLine | None:
    return next((line for line in told.beside if line.model == model), None)


def _evidence(study: StudyResults, models: Sequence[ModelLine], told: Headline | None) -> Advice:
    scored = telling_models(models, study.main.name)
    deaths = max((line.deaths for line in scored), default=0)
    if deaths < ENOUGH_DEATHS:
        return Advice(
            "Do not rely on these numbers yet",
            f"{count(deaths, 'death')} in the stays judged, and evidence takes {ENOUGH_DEATHS}: run the study on more "
            "patients.",
            "evidence",
        )
    if told is not None:
        share = told.line.flips["both"].share
        if share.low is not None and share.high is not None and share.high - share.low > WIDE:
            return Advice(
                "Attack more stays",
                f"The interval runs from {percent(share.low)} to {percent(share.high)}: a larger max_stays narrows it.",
                "fragile",
            )
    elsewhere = {line.data: line.deaths for line in models if line.split == "external"}
    if elsewhere:
        return _elsewhere(elsewhere)
    return Advice(
        "Test it elsewhere",
        "A model that holds here may fail in another hospital: add a data set with the role external.",
        "evidence",
    )


def _elsewhere(deaths: Mapping[str, int]) -> Advice:
    enough = sorted(data for data, number in deaths.items() if number >= ENOUGH_DEATHS)
    if enough:
        return Advice(
            f"Expect what {listed(enough)} shows" if len(enough) == 1 else f"Expect what {listed(enough)} show",
            "Scores where nothing was fitted tell more about a hospital of your own than those of held-out stays.",
            "models",
        )
    each = listed([f"{data} has {count(number, 'death')}" for data, number in sorted(deaths.items())])
    return Advice(
        "Test it on more stays elsewhere",
        f"{each}, and evidence takes {ENOUGH_DEATHS}: how well the model holds there is not told yet.",
        "models",
    )
