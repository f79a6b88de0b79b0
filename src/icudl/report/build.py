"""From artifacts to one self-contained HTML page.

The page loads nothing: style, scripts and data are inside it, and a Content-Security-Policy lets only these scripts
and this style run (by their SHA-256). Whatever comes from data passes through Jinja's escaping or through JSON whose
``<``, ``>`` and ``&`` are written as escapes, so text of a source can never become markup.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from icudl.artifacts import HOSPITAL_DEATH, Report, ReportAnswer, ToldNumber
from icudl.report import elements
from icudl.report.charts.descriptions import as_json
from icudl.report.elements import (
    Answer,
    Explorer,
    Figure,
    FigureGrid,
    Part,
    SharesPicture,
    StayPicture,
    Switch,
    sections_of,
)
from icudl.report.layers import parts_of
from icudl.report.options import ReportOptions
from icudl.report.study import StudyResults
from icudl.report.vocabulary import Vocabulary

SCRIPTS = (
    "dom.js",
    "scales.js",
    "charts.js",
    "tables.js",
    "saving.js",
    "figures.js",
    "explorer.js",
    "picture.js",
    "page.js",
)
KINDS = (
    "Answer", "Code", "Explorer", "Figure", "FigureGrid", "Group", "Listing", "Note", "StayPicture", "Table", "Terms",
)  # fmt: skip


def build_report(study: StudyResults, options: ReportOptions, seed: int = 0) -> Report:
    """Assemble the page; the same inputs give the same bytes.

    Args:
        study: What is told.
        options: Content of the page.
        seed: Of the resamples behind the differences between models.
    """
    names = [*(each.name for each in study.data), *(each.name for each in study.models)]
    words = Vocabulary.of(study.main.grid.outcome, [*names, *(each.attack for each in study.attacks), options.title])
    parts = [words.value(part) for part in parts_of(study, options, seed)]
    answers = [in_short(part) for part in parts if isinstance(part, Answer)]
    return Report(html=render(options.title, parts, words), answer=answers[0] if answers else None)


def in_short(answer: Answer) -> ReportAnswer:
    """Return what the first screen says, without picture and links."""
    return ReportAnswer(
        setting=answer.setting,
        headline=answer.headline,
        lead=answer.lead,
        numbers=tuple(ToldNumber(label=fact.label, value=fact.value, detail=fact.detail) for fact in answer.facts),
        cautions=tuple(note.text for note in answer.notes),
    )


def render(title: str, parts: Sequence[Part], words: Vocabulary | None = None) -> str:
    """Turn the parts of a page into HTML; ``words`` are those of its outcome, death in hospital by default."""
    import jinja2

    words = words or Vocabulary.of(HOSPITAL_DEATH)
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
        f"script-src {_source(theme)} {_source(script)}; style-src {_source(style)}; "
        "img-src data:"  # a chart becomes a PNG by way of an image that the page writes itself
    )
    page = environment.get_template("page.html.j2").render(
        title=title,
        turns=[words.text(turn) for turn in ("Survival flipped to death", "Death flipped to survival")],
        closing="This page is one file: it needs no server, sends nothing and loads nothing. It is no medical device "
        "and must not guide the care of a patient.",
        parts=parts,
        policy=policy,
        style=_trusted(style),
        theme_script=_trusted(theme),
        script=_trusted(script),
        data=_trusted(embed(_payload(parts))),
    )
    return page + "\n"


def _payload(parts: Sequence[Part]) -> dict[str, Any]:
    blocks = [block for section in sections_of(parts) for block in section.contents]
    figures = []
    for block in blocks:
        if isinstance(block, Figure):
            figures.append(_figure(block, block.id, block.switches))
        elif isinstance(block, FigureGrid):
            figures += [_figure(figure, block.id, block.switches) for figure in block.figures]
    explorers = [{"id": block.id, "pack": block.pack} for block in blocks if isinstance(block, Explorer)]
    pictures = [_picture(part.picture) for part in parts if isinstance(part, Answer) and part.picture is not None]
    return {"figures": figures, "explorers": explorers, "pictures": pictures}


def _picture(picture: StayPicture | SharesPicture) -> dict[str, Any]:
    if isinstance(picture, StayPicture):
        return {"id": picture.id, "kind": "stay", "pack": picture.pack}
    return {"id": picture.id, "kind": "shares", "shares": [list(each) for each in picture.shares]}


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
