"""The answer of a report on a terminal: what its first screen says."""

from __future__ import annotations

from rich.markup import escape

from icudl.artifacts import Report
from icudl.store.base import Store
from icudl.store.manifest import Manifest


def answer_lines(store: Store, report: Manifest) -> list[str]:
    """Return the lines of an answer, with markup; none for a page that tells no answer.

    Args:
        store: The store.
        report: Manifest of a report.
    """
    told = store.load(Report, report).answer
    if told is None:
        return []
    widest = max((len(number.value) for number in told.numbers), default=0)
    return [
        f"[dim]{escape(told.setting)}[/]",
        f"[bold]{escape(told.headline)}[/]",
        *map(escape, told.lead),
        *(
            f"  [bold]{escape(number.value):>{widest}}[/]  {escape(number.label)} [dim]· {escape(number.detail)}[/]"
            for number in told.numbers
        ),
        *(f"[yellow]![/] {escape(caution)}" for caution in told.cautions),
    ]
