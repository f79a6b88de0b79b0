"""The answer of a report on a terminal: what its first screen says."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from icudl.artifacts import Report
from icudl.store.base import Store
from icudl.store.manifest import Manifest

WIDEST = 104
"""Columns beyond which a line of text is hard to follow."""


def answer_blocks(store: Store, report: Manifest) -> list[str | Table]:
    """Return paragraphs with markup, and the few numbers as a table; nothing for a page that tells no answer.

    Args:
        store: The store.
        report: Manifest of a report.
    """
    told = store.load(Report, report).answer
    if told is None:
        return []
    numbers = Table.grid(padding=(0, 2))
    numbers.add_column(justify="right", style="bold", no_wrap=True)
    numbers.add_column()
    for number in told.numbers:
        numbers.add_row(escape(number.value), f"{escape(number.label)} [dim]· {escape(number.detail)}[/]")
    groups: list[list[str | Table]] = [
        [f"[dim]{escape(told.setting)}[/]", f"[bold]{escape(told.headline)}[/]", *map(escape, told.lead[:1])],
        [numbers] if told.numbers else [],
        [*map(escape, told.lead[1:])],
        [f"[yellow]![/] {escape(caution)}" for caution in told.cautions],
    ]
    blocks: list[str | Table] = []
    for group in filter(None, groups):
        blocks += [*([""] if blocks else []), *group]
    return blocks
