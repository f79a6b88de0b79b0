"""Section of the page: what a study of several models, attacks or data sets found, on one screen."""

from __future__ import annotations

from collections.abc import Sequence

from icudl.analysis.numbers.comparison import (
    FEWEST_ATTACKED,
    FEWEST_DEATHS,
    AttackLine,
    Estimate,
    ModelLine,
    overlap,
    telling_attacks,
    telling_models,
)
from icudl.report.elements import Block, Fact, Note, Section
from icudl.report.names import SHORT_THREATS, SPLIT_NAMES, short_threat
from icudl.report.sections.summary import CREDENTIALED, ENOUGH_DEATHS, MEANING, SYNTHETIC, is_synthetic
from icudl.report.study import DataResults, StudyResults
from icudl.report.wording import count, listed, percent

MOST_EXTERNAL = 2
"""External data sets that the overview speaks of; the tables show all of them."""


def overview_section(study: StudyResults, models: Sequence[ModelLine], attacks: Sequence[AttackLine]) -> Section:
    """Tell the range over the models, and under the first attack the most and the least fragile of them.

    Scores that rest on fewer than ``FEWEST_DEATHS`` deaths, and shares of fewer than ``FEWEST_ATTACKED`` attacked
    stays, stand in the tables only.

    Args:
        study: The study.
        models: Lines of the comparison of models.
        attacks: Lines of the comparison of attacks, in the order of ``study.attacks``.
    """
    attack = _first_attack(study, attacks)
    lead = [_models_sentence(study, models)]
    if attack is not None:
        lead.append(_attack_sentence(study, attacks, attack))
    if study.external:
        lead.append(_external_sentence(study, models, attacks, attack))
    lead.append(_rest_sentence(study))
    if len(study.attacks) < 2:
        lead.append(MEANING)
    facts = [_stays_fact(study), _score_fact(study, models)]
    if attack is not None:
        facts += _attack_facts(study, attacks, attack)
    return Section("summary", "What was found", "Summary", tuple(lead), _notes(study, models), tuple(facts))


def _first_attack(study: StudyResults, attacks: Sequence[AttackLine]) -> str | None:
    names = [line.attack for line in attacks if line.data == study.main.name] or [line.attack for line in attacks]
    return names[0] if names else None


def _notes(study: StudyResults, models: Sequence[ModelLine]) -> tuple[Block, ...]:
    told = {line.split for line in telling_models(models, study.main.name)}
    thin: dict[tuple[str, str], int] = {}
    for line in models:
        if not line.baseline and line.deaths < ENOUGH_DEATHS and (line.split != "out-of-fold" or line.split in told):
            thin.setdefault((line.data, line.split), line.deaths)
    synthetic = is_synthetic(study)
    notes: list[Block] = []
    if thin:
        reason = "the patients are synthetic, and too few" if synthetic else "too few"
        found = listed([f"{deaths:,} of the {_stays(*stays)}" for stays, deaths in thin.items()])
        notes.append(
            Note(
                f"These metrics are no evidence: {reason} died ({found}; a verdict takes {ENOUGH_DEATHS}). Read this "
                "page as a demonstration of the method.",
                "warning",
            )
        )
    elif synthetic:
        notes.append(SYNTHETIC)
    if study.restricted:
        notes.append(CREDENTIALED)
    return tuple(notes)


def _stays(data: str, split: str) -> str:
    return f"stays of {data}" if split == "external" else f"{SPLIT_NAMES[split]} of {data}"


def _stays_fact(study: StudyResults) -> Fact:
    total = sum(len(data.grid.labels) for data in study.data)
    shown = [_died(data) for data in study.data[: 1 + MOST_EXTERNAL]]
    if len(study.data) > len(shown):
        shown.append(f"{count(len(study.data) - len(shown), 'more data set')}")
    return Fact("ICU stays studied", f"{total:,}", "; ".join(shown))


def _died(data: DataResults) -> str:
    stays, deaths = len(data.grid.labels), int(data.grid.labels.sum())
    return f"{data.name}: {stays:,}" + (f", {percent(deaths / stays)} died" if stays else "")


def _score_fact(study: StudyResults, models: Sequence[ModelLine]) -> Fact:
    told = telling_models(models, study.main.name)
    if not told:
        return Fact("AUROC", "–", f"fewer than {FEWEST_DEATHS} deaths in the stays judged")
    best = told[-1]
    among = f", best of {len(told)}" if len(told) > 1 else ""
    return Fact(
        f"AUROC of {best.model}{among}",
        _score(best),
        f"{_between(best.scores['auroc'])}{count(best.stays, SPLIT_NAMES[best.split][:-1])}, "
        f"{count(best.deaths, 'death')}",
    )


def _between(of: Estimate, *, share: bool = False) -> str:
    if of.low is None or of.high is None:
        return ""
    low, high = (percent(end) if share else f"{end:.3f}" for end in (of.low, of.high))
    return f"95 % interval {low} to {high}; "


def _attack_facts(study: StudyResults, attacks: Sequence[AttackLine], attack: str) -> list[Fact]:
    told = telling_attacks(attacks, attack, study.main.name)
    if not told:
        return [Fact(f"Flipped by {attack}", "–", f"fewer than {FEWEST_ATTACKED} stays of {study.main.name} attacked")]
    if len(told) == 1:
        return [_flipped_fact(f"Flipped by {attack}: {told[0].model}", told[0])]
    return [
        _flipped_fact(f"Flipped by {attack}, most: {told[-1].model}", told[-1]),
        _flipped_fact(f"Flipped by {attack}, least: {told[0].model}", told[0]),
    ]


def _flipped_fact(label: str, line: AttackLine) -> Fact:
    flips = line.flips["both"]
    return Fact(label, _share(line), f"{_between(flips.share, share=True)}{_of(line)}")


def _score(line: ModelLine) -> str:
    value = line.scores["auroc"].value
    return "–" if value is None else f"{value:.3f}"


def _share(line: AttackLine) -> str:
    value = line.flips["both"].share.value
    return "–" if value is None else percent(value)


def _of(line: AttackLine) -> str:
    flips = line.flips["both"]
    return f"{flips.flipped:,} of {count(flips.attacked, 'attacked stay')}"


def _models_sentence(study: StudyResults, models: Sequence[ModelLine]) -> str:
    told = telling_models(models, study.main.name)
    if not told:
        return (
            f"The page does not say how well the models predict: fewer than {FEWEST_DEATHS} patients died in the "
            f"stays of {study.main.name} on which they are judged."
        )
    first = told[0]
    where = (
        f"On {count(first.stays, SPLIT_NAMES[first.split][:-1])} of {study.main.name} ({count(first.deaths, 'death')})"
    )
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


def _attack_sentence(study: StudyResults, attacks: Sequence[AttackLine], attack: str) -> str:
    told = telling_attacks(attacks, attack, study.main.name)
    subject = f"The attack “{attack}”"
    if not told:
        return (
            f"The page does not say what {subject[0].lower()}{subject[1:]} flips on {study.main.name}: it was run on "
            f"fewer than {FEWEST_ATTACKED} stays of each model."
        )
    subject += _may_change(told)
    least, most = told[0], told[-1]
    if len(told) == 1:
        return f"{subject} flips {_share(most)} of the predictions of {most.model} ({_of(most)})."
    if _share(least) == _share(most):
        return f"{subject} flips the same share of predictions of every model: {_share(most)}."
    difference = (
        "their 95 % intervals overlap, so chance may explain the difference"
        if overlap(least.flips["both"].share, most.flips["both"].share)
        else "their 95 % intervals do not overlap"
    )
    return (
        f"{subject} flips {most.model} most often ({_share(most)}, {_of(most)}) and {least.model} least often "
        f"({_share(least)}, {_of(least)}); {difference}."
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


def _external_sentence(
    study: StudyResults, models: Sequence[ModelLine], attacks: Sequence[AttackLine], attack: str | None
) -> str:
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


def _rest_sentence(study: StudyResults) -> str:
    if len(study.attacks) > 1:
        return "All scores, baselines and attacks stand side by side below; a chapter on each model and attack follows."
    return "All scores and baselines stand side by side below."
