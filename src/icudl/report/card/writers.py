"""A model card as Markdown and as HTML."""

from __future__ import annotations

import html

from icudl.report.card.contents import Card, Chapter, Grid, ToFill

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid #d0d7de;padding:.25rem .75rem;"
    "text-align:left;vertical-align:top}td,th{overflow-wrap:anywhere}"
    "@media(max-width:40rem){td,th{padding:.25rem .3rem}}mark{background:#fff3bf}"
)


def to_markdown(card: Card) -> str:
    """Write a card as Markdown."""
    lines = [f"# {card.title}", ""]
    for chapter in card.chapters:
        lines += [f"## {chapter.title}", ""]
        for block in chapter.blocks:
            lines += [*_markdown(block), ""]
    return "\n".join(lines)


def _markdown(block: str | ToFill | Grid) -> list[str]:
    match block:
        case Grid():
            rows = [block.columns, tuple("---" for _ in block.columns), *block.rows]
            return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        case ToFill():
            return [f"**{block}**"]
        case _:
            return [block]


def to_html(card: Card) -> str:
    """Write a card as one HTML page that loads nothing; text of data is escaped."""
    title = html.escape(card.title)
    body = "\n".join(_chapter(chapter) for chapter in card.chapters)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )


def _chapter(chapter: Chapter) -> str:
    blocks = "\n".join(_html(block) for block in chapter.blocks)
    return f"<h2>{html.escape(chapter.title)}</h2>\n{blocks}"


def _html(block: str | ToFill | Grid) -> str:
    match block:
        case Grid():
            head = "".join(f"<th>{html.escape(cell)}</th>" for cell in block.columns)
            rows = "".join(
                "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in block.rows
            )
            return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        case ToFill():
            return f"<p><mark>{html.escape(str(block))}</mark></p>"
        case _:
            return f"<p>{html.escape(block)}</p>"
