"""From artifacts to one self-contained HTML page.

The page loads nothing: style, scripts and data are inside it, and a Content-Security-Policy lets only these scripts
and this style run (by their SHA-256). Whatever comes from data passes through Jinja's escaping or through JSON whose
``<``, ``>`` and ``&`` are written as escapes, so text of a source can never become markup.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from icudl.analysis.numbers.comparison import AttackLine, attack_line
from icudl.artifacts import Report
from icudl.report import elements
from icudl.report.charts.descriptions import as_json
from icudl.report.elements import (
    Chapter,
    Explorer,
    Figure,
    FigureGrid,
    Group,
    Note,
    Part,
    Section,
    Switch,
    sections_of,
)
from icudl.report.options import ReportOptions
from icudl.report.sections.attack.explorer import MOST_BYTES, explorer_section
from icudl.report.sections.attack.results import attack_basis, attack_section
from icudl.report.sections.attack.susceptibility import susceptibility_section
from icudl.report.sections.certificates import certificates_section
from icudl.report.sections.cohort import cohort_section
from icudl.report.sections.model.quality import quality_section
from icudl.report.sections.model.tuning import Search, trial_asked_for, tuning_section
from icudl.report.sections.overview import overview_section
from icudl.report.sections.probes import responsiveness_section, verdicts_section
from icudl.report.sections.provenance import provenance_section
from icudl.report.sections.side_by_side import attacks_section, model_lines, models_section
from icudl.report.sections.summary import summary_section
from icudl.report.study import AttackResults, ModelResults, StudyResults

SCRIPTS = ("dom.js", "scales.js", "charts.js", "tables.js", "figures.js", "explorer.js", "page.js")
MODELS, ATTACKS, PROOFS = "models-in-detail", "attacks-in-detail", "proofs-in-detail"
PROBES = "probes-in-detail"
KINDS = ("Figure", "FigureGrid", "Table", "Note", "Terms", "Listing", "Code", "Explorer", "Group")


def build_report(study: StudyResults, options: ReportOptions, seed: int = 0) -> Report:
    """Assemble the page; the same inputs give the same bytes.

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
    parts: list[Part] = []
    if len(study.models) > 1 or len(study.attacks) > 1 or study.external:
        compared = model_lines(study, seed)
        parts.append(overview_section(study, compared, lines))
        if len(study.models) > 1 or study.external:
            models = dict(
                zip([model.name for model in study.models], _chapters(MODELS, _model_names(study)), strict=True)
            )
            parts.append(models_section(study, compared, models))
    else:
        parts.append(summary_section(study, lines))
    if len(study.attacks) > 1:
        parts.append(attacks_section(study, lines, _chapters(ATTACKS, _attack_names(study))))
    parts += _cohorts(study)
    # The tables of one model and one attack stand in one section at the end; those of several in their chapters.
    apart = len(study.models) > 1 or len(study.attacks) > 1
    parts += _group(
        MODELS,
        "Model",
        "Model by model",
        [
            (name, model.name, _model_sections(study, model, tuning=apart))
            for model, name in zip(study.models, _model_names(study), strict=True)
        ],
    )
    shown = _explored(study, options)
    parts += _group(
        ATTACKS,
        "Attack",
        "Attack by attack",
        [
            (name, study.attack_title(each), _attack_sections(study, each, line, options, shown, tuning=apart))
            for each, line, name in zip(study.attacks, lines, _attack_names(study), strict=True)
        ],
    )
    names = _anchors(f"{each.model}.{each.data}" for each in study.certificates)
    parts += _group(
        PROOFS,
        "Proofs",
        "Proofs by model",
        [
            (name, study.certificate_title(each), [certificates_section(each)])
            for each, name in zip(study.certificates, names, strict=True)
        ],
    )
    names = _anchors(f"{each.model}.{each.data}" for each in study.probes)
    parts += _group(
        PROBES,
        "Probes",
        "Probes by model",
        [
            (name, study.certificate_title(each), [responsiveness_section(each), verdicts_section(each)])
            for each, name in zip(study.probes, names, strict=True)
        ],
    )
    searches = [] if apart else _searches(study)
    if searches:
        parts.append(tuning_section(searches))
    parts.append(provenance_section(study.lineage))
    return Report(html=render(options.title, parts))


def _model_names(study: StudyResults) -> list[str]:
    return _anchors(model.name for model in study.models)


def _attack_names(study: StudyResults) -> list[str]:
    return _anchors(f"{each.model}.{each.attack}.{each.data}" for each in study.attacks)


def _chapters(anchor: str, names: Sequence[str]) -> list[str]:
    """Return the anchors of a group's chapters; "" for the only one, which is no chapter."""
    return [f"{anchor}--{name}" if len(names) > 1 else "" for name in names]


def _cohorts(study: StudyResults) -> list[Section]:
    if len(study.data) == 1:
        return [cohort_section(study.main)]
    return [
        dataclasses.replace(cohort_section(data).under(name, data.name), short=f"Cohort: {data.name}")
        for data, name in zip(study.data, _anchors(data.name for data in study.data), strict=True)
    ]


def _model_sections(study: StudyResults, model: ModelResults, *, tuning: bool) -> list[Section]:
    sections = [quality_section(study, model)]
    if tuning and model.tuning is not None:
        sections.append(tuning_section([Search("model", model.tuning, trial_asked_for(study.lineage, model.name))]))
    return sections


def _attack_sections(
    study: StudyResults,
    attack: AttackResults,
    line: AttackLine,
    options: ReportOptions,
    explored: Sequence[AttackResults],
    *,
    tuning: bool,
) -> list[Section]:
    basis = attack_basis(attack)
    sections = [
        attack_section(study, attack, line),
        susceptibility_section(attack.result, attack.susceptibility).based_on(basis),
    ]
    if attack in explored:
        grid, training = study.data_named(attack.data).grid, study.model_named(attack.model).training
        share = MOST_BYTES // len(explored)
        sections.append(
            explorer_section(
                grid, training, attack.result, attack.susceptibility, options.explorer_stays, most_bytes=share
            )
        )
    elif explored:
        titles = "; ".join(study.attack_title(each) for each in explored)
        first = sections[0]
        note = Note(f"To keep this page small, it shows single stays for one attack on each model only: {titles}.")
        sections[0] = dataclasses.replace(first, blocks=(*first.blocks, note))
    if tuning and attack.tuning is not None:
        sections.append(tuning_section([Search("attack", attack.tuning)]))
    return sections


def _searches(study: StudyResults) -> list[Search]:
    searches = [Search("attack", attack.tuning) for attack in study.attacks if attack.tuning is not None]
    return searches + [
        Search("model", model.tuning, trial_asked_for(study.lineage, model.name))
        for model in study.models
        if model.tuning is not None
    ]


def _explored(study: StudyResults, options: ReportOptions) -> list[AttackResults]:
    """Return the attacks whose stays can be looked at one by one: the first attack on each model, on the main data."""
    if not options.explorer_stays or (study.restricted and not options.show_restricted_rows):
        return []
    first: dict[str, AttackResults] = {}
    for attack in study.attacks:
        if attack.data == study.main.name and attack.susceptibility.tables["fragility"].height:
            first.setdefault(attack.model, attack)
    return list(first.values())


def _group(anchor: str, short: str, label: str, chapters: Sequence[tuple[str, str, list[Section]]]) -> list[Part]:
    """Return the sections of a single chapter as they are, those of several as a group to choose from.

    Args:
        anchor: Of the group.
        short: What the reader chooses.
        label: Of the group in the navigation.
        chapters: Anchor within the group, title and sections of each.
    """
    if len(chapters) < 2:
        return [section for _, _, sections in chapters for section in sections]
    ids = _chapters(anchor, [name for name, _, _ in chapters])
    return [
        Group(
            anchor,
            label,
            short,
            tuple(
                Chapter(chapter, title, tuple(section.under(name, title) for section in sections))
                for chapter, (name, title, sections) in zip(ids, chapters, strict=True)
            ),
        )
    ]


def _anchors(names: Iterable[str]) -> list[str]:
    """Turn names into anchors, each once."""
    anchors: list[str] = []
    for name in names:
        anchor = re.sub(r"[^a-z0-9_]+", "-", name.lower())
        anchors.append(anchor if anchor not in anchors else f"{anchor}-{len(anchors)}")
    return anchors


def render(title: str, parts: Sequence[Part]) -> str:
    """Turn the parts of a page into HTML."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    for kind in KINDS:
        environment.tests[kind.lower()] = _kind_test(getattr(elements, kind))
    style, theme = _asset("page.css"), _asset("theme.js")
    script = '(() => {\n"use strict";\n' + "\n".join(_asset(name) for name in SCRIPTS) + "\n})();\n"
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"script-src {_source(theme)} {_source(script)}; style-src {_source(style)}"
    )
    page = environment.get_template("page.html.j2").render(
        title=title,
        subtitle="How well models predict death in the ICU, and how little must change in a record before they say the "
        "opposite.",
        closing="This page is one file: it needs no server, sends nothing and loads nothing. It is no medical device "
        "and must not guide the care of a patient.",
        parts=parts,
        policy=policy,
        style=_trusted(style),
        theme_script=_trusted(theme),
        script=_trusted(script),
        data=_trusted(embed(_payload(sections_of(parts)))),
    )
    return page + "\n"


def _payload(sections: Sequence[Section]) -> dict[str, Any]:
    blocks = [block for section in sections for block in section.blocks]
    figures = []
    for block in blocks:
        if isinstance(block, Figure):
            figures.append(_figure(block, block.id, block.switches))
        elif isinstance(block, FigureGrid):
            figures += [_figure(figure, block.id, block.switches) for figure in block.figures]
    explorers = [{"id": block.id, "pack": block.pack} for block in blocks if isinstance(block, Explorer)]
    return {"figures": figures, "explorers": explorers}


def _figure(figure: Figure, controls: str, switches: Sequence[Switch]) -> dict[str, Any]:
    names = [switch.name for switch in switches]
    return {"id": figure.id, "size": figure.size, "controls": controls, "switches": names, **as_json(figure.chart)}


def embed(value: Any) -> str:
    """Write JSON that can stand inside a script element: no character in it can end the element or open another."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _kind_test(kind: type) -> Any:
    return lambda block: isinstance(block, kind)


def _asset(name: str) -> str:
    return files("icudl.report").joinpath("assets", name).read_text("utf-8")


def _trusted(text: str) -> Any:
    import markupsafe

    return markupsafe.Markup(text)  # noqa: S704 - package data, and JSON made safe by ``embed``


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
