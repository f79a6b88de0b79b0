"""Sentences that say what a comparison found: of models, of attacks, on external data."""

from __future__ import annotations

from collections.abc import Sequence

from icudl.analysis.numbers.comparison import (
    FEWEST_ATTACKED,
    FEWEST_DEATHS,
    AttackLine,
    ModelLine,
    telling_attacks,
    telling_models,
)
from icudl.report.names import SHORT_THREATS, SPLIT_NAMES, short_threat
from icudl.report.sections.answer.sentences import alike
from icudl.report.study import StudyResults
from icudl.report.wording import count, listed, percent

MOST_EXTERNAL = 2
"""External data sets that a sentence speaks of; the tables show all of them."""


def _score(line: ModelLine) -> str:
    value = line.scores["auroc"].value
    return "–" if value is None else f"{value:.3f}"


def _share(line: AttackLine) -> str:
    value = line.flips["both"].share.value
    return "–" if value is None else percent(value)


def _of(line: AttackLine) -> str:
    flips = line.flips["both"]
    return f"{flips.flipped:,} of {count(flips.attacked, 'attacked stay')}"


def models_sentence(study: StudyResults, models: Sequence[ModelLine]) -> str:
    """Say how well the models predict on the main data set, and which of them differ.

    Args:
        study: The study.
        models: Lines of the comparison of models.
    """
    told = telling_models(models, study.main.name)
    if not told:
        return (
            f"The page does not say how well the models predict: fewer than {FEWEST_DEATHS} patients died in the "
            f"stays{study.of_main} on which they are judged."
        )
    first = told[0]
    where = f"On {count(first.stays, SPLIT_NAMES[first.split][:-1])}{study.of_main} ({count(first.deaths, 'death')})"
    return f"{where}, {_range_of_scores(told)}{_differing(study, told)}."


def _range_of_scores(told: Sequence[ModelLine]) -> str:
    if len(told) == 1:
        return f"{told[0].model} reaches an AUROC of {_score(told[0])}"
    worst, best = told[0], told[-1]
    return f"the AUROC runs from {_score(worst)} ({worst.model}) to {_score(best)} ({best.model})"


def _differing(study: StudyResults, told: Sequence[ModelLine]) -> str:
    first = study.models[0].name
    known = [
        (line.model, line.difference.low, line.difference.high)
        for line in told
        if line.difference is not None and line.difference.low is not None and line.difference.high is not None
    ]
    if not known:
        return ""
    differing = [name for name, low, high in known if low > 0 or high < 0]
    if not differing:
        return f"; no other model differs from {first} by more than chance explains"
    verb = "differs" if len(differing) == 1 else "differ"
    return f"; {listed(differing)} {verb} from {first} by more than chance explains"


def attack_sentence(study: StudyResults, attacks: Sequence[AttackLine], attack: str) -> str:
    """Say which model an attack flips most and least often on the main data set.

    Args:
        study: The study.
        attacks: Lines of the comparison of attacks.
        attack: Name of the attack.
    """
    told = telling_attacks(attacks, attack, study.main.name)
    subject = f"The attack “{attack}”"
    if not told:
        return (
            f"The page does not say what {subject[0].lower()}{subject[1:]} flips: it was run on fewer than "
            f"{FEWEST_ATTACKED} stays{study.of_main} of each model."
        )
    subject += _may_change(told)
    least, most = told[0], told[-1]
    if len(told) == 1:
        return f"{subject} flips {_share(most)} of the predictions of {most.model} ({_of(most)})."
    if _share(least) == _share(most):
        return f"{subject} flips the same share of predictions of every model: {_share(most)}."
    return (
        f"{subject} flips {most.model} most often ({_share(most)}, {_of(most)}) and {least.model} least often "
        f"({_share(least)}, {_of(least)}){'' if alike(least, most) else ', by more than chance explains'}."
    )


def _may_change(told: Sequence[AttackLine]) -> str:
    threat = told[0].threat_model
    if threat not in SHORT_THREATS:
        return ""
    what = short_threat(threat, told[0].plugin)
    filled = sorted(1 - line.charted for line in told if line.charted is not None)
    never = ""
    if threat == "grid" and filled:
        shares = percent(filled[0]) if len(filled) == 1 else f"{percent(filled[0])} to {percent(filled[-1])}"
        never = f"; {shares} of the cells it changed were never charted"
    return f" ({what} may change{never})"


def external_sentence(
    study: StudyResults, models: Sequence[ModelLine], attacks: Sequence[AttackLine], attack: str | None
) -> str:
    """Say what was found on external data sets.

    Args:
        study: The study, with at least one of them.
        models: Lines of the comparison of models.
        attacks: Lines of the comparison of attacks.
        attack: Name of the attack to speak of; None for none.
    """
    parts = [_elsewhere(data.name, models, attacks, attack) for data in study.external[:MOST_EXTERNAL]]
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _elsewhere(data: str, models: Sequence[ModelLine], attacks: Sequence[AttackLine], attack: str | None) -> str:
    scored = telling_models(models, data)
    attacked = telling_attacks(attacks, attack, data) if attack is not None else ()
    if not scored and not attacked:
        return f"on {data}, where nothing was fitted, deaths and attacked stays are too few to tell"
    found = [_range_of_scores(scored)] if scored else []
    if attacked:
        least, most = attacked[0], attacked[-1]
        found.append(
            f"“{attack}” flips {_share(most)} of the predictions"
            if _share(least) == _share(most)
            else f"“{attack}” flips {_share(least)} ({least.model}) to {_share(most)} ({most.model}) of the predictions"
        )
    stays = f"{count(scored[0].stays, 'stay')} of {data} ({count(scored[0].deaths, 'death')})" if scored else data
    few = "" if scored else " (too few died there to judge the models)"
    return f"on {stays}, where nothing was fitted, {' and '.join(found)}{few}"
