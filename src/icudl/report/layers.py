"""What stands where on the page: the answer first, then layers that go deeper, provenance last."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from icudl.analysis.numbers.comparison import AttackLine, ModelLine, attack_line
from icudl.analysis.numbers.headline import Headline, headline
from icudl.report.elements import Chapter, Group, Layer, Note, Part, Section
from icudl.report.options import ReportOptions
from icudl.report.sections.answer.answer import answer
from icudl.report.sections.attack.explorer import MOST_BYTES, explorer_section
from icudl.report.sections.attack.results import attack_basis, attack_section
from icudl.report.sections.attack.susceptibility import susceptibility_section
from icudl.report.sections.attack.whom import whom_section
from icudl.report.sections.certificates import certificates_section
from icudl.report.sections.cohort import cohort_section
from icudl.report.sections.glossary import glossary_section
from icudl.report.sections.model.quality import quality_section
from icudl.report.sections.model.tuning import Search, trial_asked_for, tuning_section
from icudl.report.sections.probes import responsiveness_section, verdicts_section
from icudl.report.sections.provenance import provenance_section
from icudl.report.sections.side_by_side import attacks_section, model_lines, models_section
from icudl.report.study import AttackResults, ModelResults, StudyResults
from icudl.report.wording import listed

MODELS, ATTACKS, WHOM = "models-in-detail", "attacks-in-detail", "whom-in-detail"
STAYS, COHORTS = "stays-in-detail", "cohorts-in-detail"
PROOFS, PROBES = "proofs-in-detail", "probes-in-detail"


def parts_of(study: StudyResults, options: ReportOptions, seed: int) -> list[Part]:
    """Return the parts of the page in order; layers without content are left out.

    Args:
        study: What is told.
        options: Content of the page.
        seed: Of the resamples behind the differences between models.
    """
    lines = [
        attack_line(
            each.model, each.attack, each.data, each.result, each.susceptibility, study.data_named(each.data).grid
        )
        for each in study.attacks
    ]
    compared = model_lines(study, seed)
    told = headline(compared, lines, study.main.name)
    layers = (
        _models_layer(study, compared, seed),
        _fragile_layer(study, lines, told),
        _whom_layer(study, told),
        _stays_layer(study, options, told),
        _evidence_layer(study, told, seed),
        Layer(
            "provenance",
            "Words, origin and citation",
            "Provenance",
            "What the words mean, where every number comes from, and what to cite.",
            (glossary_section(study), provenance_section(study.lineage)),
        ),
    )
    return [answer(study, options, compared, lines, told), *(layer for layer in layers if layer.parts)]


def _several_models(study: StudyResults) -> bool:
    return len(study.models) > 1 or bool(study.external)


def _models_layer(study: StudyResults, compared: Sequence[ModelLine], seed: int) -> Layer:
    parts: list[Section | Group] = []
    if _several_models(study):
        ids = _chapters(MODELS, _model_names(study))
        parts.append(
            models_section(study, compared, dict(zip([model.name for model in study.models], ids, strict=True)))
        )
    else:
        parts += [quality_section(study, model, seed) for model in study.models]
    return Layer(
        "models",
        "How well the models predict" if len(study.models) > 1 else "How well it predicts",
        "Models",
        "Always on stays that the judged model was not fitted on.",
        tuple(parts),
    )


def _fragile_layer(study: StudyResults, lines: Sequence[AttackLine], told: Headline | None) -> Layer:
    parts: list[Section | Group] = []
    if len(study.attacks) > 1:
        parts.append(attacks_section(study, lines, _chapters(ATTACKS, _attack_names(study))))
    parts += _group(
        ATTACKS,
        "Attack",
        [
            (
                name,
                study.attack_title(each),
                [
                    attack_section(study, each, line),
                    susceptibility_section(each.result, each.susceptibility).based_on(attack_basis(each)),
                ],
            )
            for each, line, name in zip(study.attacks, lines, _attack_names(study), strict=True)
        ],
        _attack_told(study, told),
    )
    chosen = "" if told is None else _anchors([f"{told.line.model}.{told.line.data}"])[0]
    names = _anchors(f"{each.model}.{each.data}" for each in study.certificates)
    parts += _group(
        PROOFS,
        "Proofs",
        [
            (name, study.certificate_title(each), [certificates_section(each, study.attacks_on(each.model, each.data))])
            for each, name in zip(study.certificates, names, strict=True)
        ],
        chosen,
    )
    names = _anchors(f"{each.model}.{each.data}" for each in study.probes)
    parts += _group(
        PROBES,
        "Probes",
        [
            (name, study.certificate_title(each), [responsiveness_section(each), verdicts_section(each)])
            for each, name in zip(study.probes, names, strict=True)
        ],
        chosen,
    )
    return Layer(
        "fragile",
        "Where it is fragile",
        "Fragility",
        "Which changes of a record turn a prediction, how few of them, at which hours and in which variables.",
        tuple(parts),
    )


def _whom_layer(study: StudyResults, told: Headline | None) -> Layer:
    chapters = [
        (name, study.attack_title(each), [section])
        for each, name in zip(study.attacks, _attack_names(study), strict=True)
        if (section := whom_section(study, each)).contents
    ]
    return Layer(
        "whom",
        "Whom it concerns",
        "Whom",
        "Groups of patients, and risks, at which predictions are flipped more often than elsewhere.",
        tuple(_group(WHOM, "Attack", chapters, _attack_told(study, told))),
    )


def _stays_layer(study: StudyResults, options: ReportOptions, told: Headline | None) -> Layer:
    explored = _explored(study, options, told)
    chapters = []
    for each in explored:
        section = explorer_section(
            study.data_named(each.data).grid,
            study.model_named(each.model).training,
            each.result,
            each.susceptibility,
            options.explorer_stays,
            proofs=study.proofs_about(each.model, each.data),
            most_bytes=MOST_BYTES // len(explored),
        )
        if len(study.attacks) > len(explored):
            shown = _titles(explored)
            note = Note(f"To keep this page small, it shows single stays of one attack on each model: {shown}.")
            section = dataclasses.replace(section, blocks=(*section.blocks, note))
        (name,) = _anchors([f"{each.model}.{each.attack}.{each.data}"])
        chapters.append((name, study.attack_title(each), [section]))
    return Layer(
        "stays-layer",
        "Stay by stay",
        "Stays",
        "Single records: what the model was given, what was changed, how the risk moved.",
        tuple(_group(STAYS, "Stays of", chapters, _attack_told(study, told))),
    )


def _titles(explored: Sequence[AttackResults]) -> str:
    """Name attacks, each once, with the models that it was run on."""
    models: dict[str, list[str]] = {}
    for each in explored:
        models.setdefault(each.attack, []).append(each.model)
    return "; ".join(f"{attack} on {listed(names)}" for attack, names in models.items())


def _evidence_layer(study: StudyResults, told: Headline | None, seed: int) -> Layer:
    parts: list[Section | Group] = []
    parts += _group(
        COHORTS,
        "Data set",
        [
            (name, data.name, [cohort_section(data)])
            for data, name in zip(study.data, _anchors(data.name for data in study.data), strict=True)
        ],
    )
    if _several_models(study):
        parts += _group(
            MODELS,
            "Model",
            [
                (name, model.name, [quality_section(study, model, seed)])
                for model, name in zip(study.models, _model_names(study), strict=True)
            ],
            "" if told is None else _anchors([told.line.model])[0],
        )
    parts += _tuning(study)
    return Layer(
        "evidence",
        "Evidence",
        "Evidence",
        "Who was studied, how each model was judged, and what was searched.",
        tuple(parts),
    )


def _tuning(study: StudyResults) -> list[Section | Group]:
    """Return the searches: in one section for one model and one attack, else in a chapter for each."""
    if len(study.models) == 1 and len(study.attacks) == 1:
        searches = _attack_searches(study.attacks[0]) + _model_searches(study, study.models[0])
        return [tuning_section(searches)] if searches else []
    found: list[tuple[str, str, list[Section]]] = []
    for model, name in zip(study.models, _model_names(study), strict=True):
        if searches := _model_searches(study, model):
            found.append((name, model.name, [tuning_section(searches)]))
    for attack, name in zip(study.attacks, _attack_names(study), strict=True):
        if searches := _attack_searches(attack):
            found.append((name, study.attack_title(attack), [tuning_section(searches)]))
    return _group("searches", "Search", found)


def _model_searches(study: StudyResults, model: ModelResults) -> list[Search]:
    if model.tuning is None:
        return []
    return [Search("model", model.tuning, trial_asked_for(study.lineage, model.name))]


def _attack_searches(attack: AttackResults) -> list[Search]:
    return [] if attack.tuning is None else [Search("attack", attack.tuning)]


def _explored(study: StudyResults, options: ReportOptions, told: Headline | None) -> list[AttackResults]:
    """Return the attacks whose stays can be looked at one by one.

    That is one attack on each model, on the main data: the one that the report begins with, else the first.
    """
    if not options.explorer_stays or (study.restricted and not options.show_restricted_rows):
        return []
    shown: dict[str, AttackResults] = {}
    for attack in study.attacks:
        if attack.data == study.main.name and attack.susceptibility.tables["fragility"].height:
            first = attack.model not in shown
            if first or (told is not None and attack.attack == told.line.attack):
                shown[attack.model] = attack
    return list(shown.values())


def _attack_told(study: StudyResults, told: Headline | None) -> str:
    """Return the anchor of the attack that the report begins with."""
    if told is None:
        return ""
    wanted = (told.line.model, told.line.attack, told.line.data)
    found = zip(study.attacks, _attack_names(study), strict=True)
    return next(name for each, name in found if (each.model, each.attack, each.data) == wanted)


def _group(
    anchor: str, label: str, chapters: Sequence[tuple[str, str, list[Section]]], chosen: str = ""
) -> list[Section | Group]:
    """Return the sections of a single chapter as they are, those of several as a group to choose from.

    Args:
        anchor: Of the group.
        label: What the reader chooses.
        chapters: Anchor within the group, title and sections of each.
        chosen: Anchor within the group of the chapter to begin with; the first where there is none of this name.
    """
    if len(chapters) < 2:
        return [section for _, _, sections in chapters for section in sections]
    names = [name for name, _, _ in chapters]
    ids = _chapters(anchor, names)
    return [
        Group(
            anchor,
            label,
            tuple(
                Chapter(chapter, title, tuple(section.under(name, title) for section in sections))
                for chapter, (name, title, sections) in zip(ids, chapters, strict=True)
            ),
            ids[names.index(chosen)] if chosen in names else ids[0],
        )
    ]


def _chapters(anchor: str, names: Sequence[str]) -> list[str]:
    """Return the anchors of a group's chapters; "" for the only one, which is no chapter."""
    return [f"{anchor}--{name}" if len(names) > 1 else "" for name in names]


def _model_names(study: StudyResults) -> list[str]:
    return _anchors(model.name for model in study.models)


def _attack_names(study: StudyResults) -> list[str]:
    return _anchors(f"{each.model}.{each.attack}.{each.data}" for each in study.attacks)


def _anchors(names: Iterable[str]) -> list[str]:
    """Turn names into anchors, each once."""
    anchors: list[str] = []
    for name in names:
        anchor = re.sub(r"[^a-z0-9_]+", "-", name.lower())
        anchors.append(anchor if anchor not in anchors else f"{anchor}-{len(anchors)}")
    return anchors
