"""From artifacts to one self-contained HTML page.

The page loads nothing: style, scripts and data are inside it, and a Content-Security-Policy lets only these scripts
and this style run (by their SHA-256). Whatever comes from data passes through Jinja's escaping or through JSON whose
``<``, ``>`` and ``&`` are written as escapes, so text of a source can never become markup.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from icudl.artifacts import (
    AttackResult,
    GridDataset,
    LineageEntry,
    Report,
    SourceTables,
    SusceptibilityResult,
    TrainingResult,
    TuningResult,
)
from icudl.report import elements
from icudl.report.elements import Explorer, Figure, FigureGrid, Section, Switch
from icudl.report.options import ReportOptions
from icudl.report.sections.attacks import attack_section
from icudl.report.sections.cohort import cohort_section
from icudl.report.sections.explorer import explorer_section
from icudl.report.sections.provenance import provenance_section
from icudl.report.sections.quality import quality_section
from icudl.report.sections.summary import summary_section
from icudl.report.sections.susceptibility import susceptibility_section
from icudl.report.sections.tuning import trial_trained_with, tuning_section

SCRIPTS = ("dom.js", "scales.js", "charts.js", "tables.js", "figures.js", "explorer.js", "page.js")
KINDS = ("Figure", "FigureGrid", "Table", "Note", "Terms", "Listing", "Code", "Explorer")


def build_report(
    tables: SourceTables,
    grid: GridDataset,
    training: TrainingResult,
    attack: AttackResult,
    susceptibility: SusceptibilityResult,
    tuning: Mapping[str, TuningResult],
    lineage: Sequence[LineageEntry],
    options: ReportOptions,
) -> Report:
    """Assemble the page; the same inputs give the same bytes."""
    sections = [
        summary_section(grid, training, attack, susceptibility, lineage),
        cohort_section(tables, grid),
        quality_section(training),
        attack_section(grid, attack, susceptibility),
        susceptibility_section(attack, susceptibility),
    ]
    if _rows_allowed(lineage, options) and options.explorer_stays and susceptibility.tables["fragility"].height:
        sections.append(explorer_section(grid, training, attack, susceptibility, options.explorer_stays))
    if tuning:
        sections.append(tuning_section(tuning, trial_trained_with(lineage)))
    sections.append(provenance_section(lineage))
    return Report(html=render(options.title, sections))


def _rows_allowed(lineage: Sequence[LineageEntry], options: ReportOptions) -> bool:
    return options.show_restricted_rows or not any(entry.restricted for entry in lineage)


def render(title: str, sections: Sequence[Section]) -> str:
    """Turn sections into HTML."""
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
        subtitle="How well a model predicts death in the ICU, and how little must change in a record before it says "
        "the opposite.",
        closing="This page is one file: it needs no server, sends nothing and loads nothing. It is no medical device "
        "and must not guide the care of a patient.",
        sections=sections,
        policy=policy,
        style=_trusted(style),
        theme_script=_trusted(theme),
        script=_trusted(script),
        data=_trusted(embed(_payload(sections))),
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
    return {"figures": figures, "explorer": next((block.pack for block in blocks if isinstance(block, Explorer)), None)}


def _figure(figure: Figure, controls: str, switches: Sequence[Switch]) -> dict[str, Any]:
    names = [switch.name for switch in switches]
    return {"id": figure.id, "size": figure.size, "controls": controls, "switches": names, **figure.spec}


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
