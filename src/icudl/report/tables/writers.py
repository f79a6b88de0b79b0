"""Tables for papers as LaTeX, Markdown, HTML and CSV."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Sequence

from icudl.report.elements import Entry
from icudl.report.tables.base import Line, PaperTable

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "–": "--",
    "—": "---",
    "−": r"\ensuremath{-}",
    "“": "``",
    "”": "''",
    "’": "'",
    "°": r"\textdegree{}",
    "µ": r"\textmu{}",
    "μ": r"\textmu{}",
    "²": r"\textsuperscript{2}",
    "³": r"\textsuperscript{3}",
    "≤": r"\ensuremath{\le}",
    "≥": r"\ensuremath{\ge}",
    "±": r"\ensuremath{\pm}",
    "×": r"\ensuremath{\times}",
    "∞": r"\ensuremath{\infty}",
    "→": r"\ensuremath{\to}",
    "\N{NO-BREAK SPACE}": "~",
    "\N{NARROW NO-BREAK SPACE}": r"\,",
}
"""What LaTeX reads as a command, and characters that not every engine knows, as commands that all know."""

_INDENT = r"\quad "
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|])")


def full(cell: Entry) -> str:
    """Return a cell in one line: ``0.812 (0.790 to 0.834)``."""
    return f"{cell.text} ({cell.detail})" if cell.detail else cell.text


def to_csv(table: PaperTable) -> str:
    """Return a table as CSV with a header; headings become a column of their own where there are any."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    headed = any(not line.cells for line in table.lines)
    writer.writerow([*(["Part"] if headed else []), table.head, *table.columns])
    heading = ""
    for line in table.lines:
        if not line.cells:
            heading = line.label
            continue
        heading = heading if line.indented else ""
        writer.writerow([*([heading] if headed else []), line.label, *map(full, line.cells)])
    return out.getvalue()


def to_markdown(table: PaperTable) -> str:
    """Return a table as Markdown with its title and notes."""
    rows = [[table.head, *table.columns]]
    for line in table.lines:
        cells = [full(cell) for cell in line.cells] or [""] * len(table.columns)
        rows.append([("\N{EM SPACE}" if line.indented else "") + line.label, *cells])
    texts = [[_marked(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in texts) for place in range(len(texts[0]))]
    drawn = [
        "| " + " | ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ) + " |"
        for row in texts
    ]  # fmt: skip
    rule = "| " + " | ".join(
        "-" * (width - 1) + ":" if place else "-" * width for place, width in enumerate(widths)
    ) + " |"  # fmt: skip
    notes = "".join(f"\n{_marked(note)}\n" for note in table.notes)
    return f"**{_marked(table.title)}**\n\n" + "\n".join([drawn[0], rule, *drawn[1:]]) + f"\n{notes}"


def _marked(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return _MARKDOWN.sub(r"\\\1", text)


def to_html(table: PaperTable) -> str:
    """Return a table as an HTML element, which takes the style of the page that it is put into."""

    def cell(of: Entry) -> str:
        detail = f"<br><small>{html.escape(of.detail)}</small>" if of.detail else ""
        return f'<td style="text-align:right">{html.escape(of.text)}{detail}</td>'

    def row(line: Line) -> str:
        inset = ' style="text-align:left;padding-left:1.5em"' if line.indented else ' style="text-align:left"'
        label = html.escape(line.label)
        if not line.cells:
            span = len(table.columns) + 1
            return f'<tr><th scope="rowgroup" colspan="{span}" style="text-align:left">{label}</th></tr>'
        return f'<tr><th scope="row"{inset}>{label}</th>{"".join(map(cell, line.cells))}</tr>'

    heads = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in (table.head, *table.columns))
    notes = "".join(f"<p><small>{html.escape(note)}</small></p>\n" for note in table.notes)
    rows = "\n".join(map(row, table.lines))
    return (
        f'<table id="{html.escape(table.id)}">\n<caption>{html.escape(table.title)}</caption>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n{notes}"
    )


def to_html_page(tables: Sequence[PaperTable]) -> str:
    """Return tables as a page that stands alone."""
    body = "\n".join(map(to_html, tables))
    style = (
        "body{font:15px/1.4 sans-serif;margin:2em}table{border-collapse:collapse;margin-top:2em}"
        "caption{text-align:left;font-weight:bold;padding:.4em 0}thead{border-block:2px solid}"
        "tbody{border-bottom:2px solid}td,th{padding:.2em .8em;vertical-align:top}"
        "tbody th{font-weight:normal}tbody th[scope=rowgroup]{font-style:italic}"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Tables</title>'
        f"<style>{style}</style></head>\n<body>\n{body}</body>\n</html>\n"
    )


def to_latex(table: PaperTable) -> str:
    r"""Return a table as LaTeX that needs the package booktabs: ``\usepackage{booktabs}``, then ``\input``.

    Intervals stand in small type below their numbers, so that tables of several scores fit a page.
    """
    n_columns = len(table.columns)
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{latex(table.title)}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]+', '-', table.id)}}}",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\begin{{tabular}}{{@{{}}l{'r' * n_columns}@{{}}}}",
        r"\toprule",
        *_heads(table),
        r"\midrule",
    ]
    for place, line in enumerate(table.lines):
        if not line.cells:
            space = [r"\addlinespace"] if place else []
            lines += [*space, rf"\multicolumn{{{n_columns + 1}}}{{@{{}}l}}{{\textit{{{latex(line.label)}}}}} \\"]
            continue
        label = (_INDENT if line.indented else "") + latex(line.label)
        lines.append(" & ".join([label, *(latex(cell.text) for cell in line.cells)]) + r" \\")
        if any(cell.detail for cell in line.cells):
            details = [rf"{{\footnotesize ({latex(cell.detail)})}}" if cell.detail else "" for cell in line.cells]
            lines.append(" & ".join(["", *details]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        lines += ["", r"\smallskip", rf"\parbox{{\linewidth}}{{\footnotesize {' '.join(map(latex, table.notes))}}}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


_WIDEST_HEAD = 12
"""Characters of a column's head beyond which it goes on in another row."""


def _heads(table: PaperTable) -> list[str]:
    """Return the rows of the header: long heads are broken between words, and stand on the rule below them."""
    broken = [_broken(head) for head in table.columns]
    rows = max(map(len, broken))
    padded = [[""] * (rows - len(parts)) + parts for parts in broken]
    labels = [""] * (rows - 1) + [table.head]
    return [
        " & ".join(latex(text) for text in (labels[row], *(parts[row] for parts in padded))) + r" \\"
        for row in range(rows)
    ]


def _broken(head: str) -> list[str]:
    lines: list[str] = []
    # What stands in parentheses stays together.
    for word in re.findall(r"\([^)]*\)|\S+", head):
        if lines and len(lines[-1]) + len(word) < _WIDEST_HEAD:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def latex(text: str) -> str:
    """Return a text that LaTeX sets as it is; characters that no rule covers are left to the engine."""
    return "".join(_LATEX.get(character, character) for character in text)
