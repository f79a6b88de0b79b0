"""The command that writes tables for papers."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icudl.cli.session import Session, examples, shared_options

if TYPE_CHECKING:
    from icudl.report.elements import Entry
    from icudl.report.tables.base import Line, PaperTable

FORMATS = ("latex", "csv", "md", "html")
ENDINGS = {".tex": "latex", ".csv": "csv", ".md": "md", ".html": "html", ".htm": "html"}
LONGEST_LABEL, SHORTEST_LABEL = 26, 18
LONGEST_HEAD = 11
"""Most characters of a line of the first column, and of the head of another, where a table is wide for its terminal."""
KINDS = ("cohort", "scores", "subgroups", "attacks", "fragility")


@click.command(
    epilog=examples(
        "icudl table report --kind cohort --kind scores",
        "icudl table report/3f1c --output tables.tex",
        "icudl table train/lstm --kind subgroups --format md",
    )
)
@click.argument("reference", default="report")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    help="What to tell: the cohort by outcome, scores, scores by subgroup, attacks, or flipped stays by subgroup. May "
    "be repeated; without it, everything.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    help="Without it, the ending of --output decides; without --output, the tables are drawn on the terminal.",
)
@click.option(
    "--output",
    "--out",
    type=click.Path(path_type=Path),
    help="File to write, or for CSV a folder; else standard output.",
)
@shared_options
def table(
    session: Session, reference: str, kinds: tuple[str, ...], file_format: str | None, output: Path | None
) -> None:
    """Write the tables of a paper.

    REFERENCE is a report, which stands for its whole study, or a result of preprocess, train, score or attack; without
    it, the report of --config or the newest one. The numbers are those of the report: all intervals are of 95 %, and
    scores on fewer than ten deaths are not told. Of credentialed data, small groups are masked. LaTeX needs the package
    booktabs.
    """
    from rich.markup import escape

    from icudl.errors import ConfigError
    from icudl.pipeline.results.gathered import Gathered
    from icudl.pipeline.results.paper import paper_tables
    from icudl.report.tables.base import Kind

    chosen = file_format or _format_of(output)
    gathered = Gathered(session.store(), session.find(reference))
    tables = paper_tables(
        gathered, [Kind(kind) for kind in kinds], lambda why: session.say(f"[yellow]![/] {escape(why)}")
    )
    told: list[dict[str, Any]] = [_plain(each) for each in tables]
    if chosen == "csv" and len(tables) > 1 and (output is None or output.suffix):
        raise ConfigError(
            f"{len(tables)} tables do not fit one CSV file: {', '.join(each.id for each in tables)}. Give one --kind, "
            "or --output FOLDER for a file each."
        )
    if chosen is None:
        session.emit("\n\n".join(session.drawn(_fitting(each, session.width)) for each in tables), told)
        return
    texts = _written(tables, chosen)
    if output is None:
        session.emit("\n".join(texts.values()).rstrip("\n"), told)
        return
    paths = _write(texts, output, chosen)
    session.emit("\n".join(paths), {"format": chosen, "paths": paths, "tables": told})


def _format_of(output: Path | None) -> str | None:
    """Return the format that the name of the file asks for.

    Raises:
        ConfigError: It asks for none that is known.
    """
    from icudl.errors import ConfigError

    if output is None:
        return None
    found = ENDINGS.get(output.suffix.lower(), "csv" if not output.suffix else None)
    if found is None:
        raise ConfigError(
            f"--output {str(output)!r} has an unknown ending. Expected {', '.join(ENDINGS)}, or give --format."
        )
    return found


def _written(tables: list[PaperTable], chosen: str) -> dict[str, str]:
    """Return the texts by the stem of their file."""
    from icudl.report.tables.writers import to_csv, to_html_page, to_latex, to_markdown

    if chosen == "csv":
        return {each.id: to_csv(each) for each in tables}
    if chosen == "html":
        return {"tables": to_html_page(tables)}
    writer = to_latex if chosen == "latex" else to_markdown
    return {"tables": "\n".join(map(writer, tables))}


def _write(texts: dict[str, str], output: Path, chosen: str) -> list[str]:
    from icudl.errors import ConfigError

    try:
        if chosen == "csv" and not output.suffix:
            output.mkdir(parents=True, exist_ok=True)
            paths = {output / f"{stem}.csv": text for stem, text in texts.items()}
        else:
            paths = {output: "\n".join(texts.values())}
        for path, text in paths.items():
            path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(
            f"--output {str(output)!r} cannot be written: {error}. Name a place you may write to."
        ) from error
    return [str(path) for path in paths]


def _plain(each: PaperTable) -> dict[str, Any]:
    rows = [
        {
            "label": line.label,
            "heading": not line.cells,
            "cells": [{"text": cell.text, "value": cell.sort, "detail": cell.detail} for cell in line.cells],
        }
        for line in each.lines
    ]
    named = {"id": each.id, "title": each.title, "head": each.head, "columns": list(each.columns)}
    return named | {"rows": rows, "notes": list(each.notes)}


def _fitting(each: PaperTable, width: int) -> Any:
    """Draw a table as wide as it has room: intervals beside the numbers, else below them, else in two lines below."""
    from rich.console import Console

    measured = Console(width=1000)
    fitting = (drawn for tight in (0, 1) if measured.measure(drawn := _drawn(each, tight)).maximum <= width)
    return next(fitting, None) or _drawn(each, 2)


def _drawn(each: PaperTable, tight: int) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Column, Table

    from icudl.report.tables.writers import full

    def label(line: Line) -> str:
        indent = "  " * line.indented
        lines = (
            textwrap.wrap(line.label, (0, LONGEST_LABEL, SHORTEST_LABEL)[tight] - len(indent))
            if tight
            else [line.label]
        )
        text = "\n".join(indent + escape(part) for part in lines)
        return text if line.cells else f"[bold]{text}[/]"

    def said(cell: Entry) -> str:
        if not tight or not cell.detail:
            return escape(full(cell))
        detail = cell.detail.replace(" %", "").replace(" to ", " to\n") if tight > 1 else cell.detail
        return escape(f"{cell.text}\n({detail})")

    def head(words: str) -> str:
        return escape("\n".join(textwrap.wrap(words, LONGEST_HEAD, break_long_words=False)) if tight else words)

    heads = [Column(head(words), justify="right", overflow="fold") for words in each.columns]
    drawn = Table(
        Column(escape(each.head), no_wrap=True),
        *heads,
        title=escape(each.title),
        title_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=tight > 1,
    )
    for line in each.lines:
        drawn.add_row(label(line), *map(said, line.cells))
    drawn.caption, drawn.caption_justify = escape("\n".join(each.notes)), "left"
    return drawn
