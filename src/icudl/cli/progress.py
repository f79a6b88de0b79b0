"""Progress on a terminal (bars with rate and remaining time) and elsewhere (plain lines)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from icudl.execution.context import ProgressTask

SECONDS_BETWEEN_LINES = 10.0
FEWEST_UNITS = 2
"""Units after the first before the time that is left is estimated."""


class _Rate(ProgressColumn):
    """Units per second and units done."""

    def render(self, task: Task) -> Text:
        """Draw the column."""
        unit = task.fields["unit"]
        done = f"{task.completed:,.0f}" + (f"/{task.total:,.0f}" if task.total is not None else "")
        speed = f" {task.speed:,.1f} {unit}/s" if task.speed else f" {unit}"
        return Text(done + speed, style="cyan")


class TerminalProgress:
    """Bars that stay on the screen when they are done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Progress | None = None

    @contextmanager
    def task(self, description: str, total: int | None = None, unit: str = "it") -> Iterator[ProgressTask]:
        """Open a bar; a bar opened while another is open is drawn below it."""
        outermost = self._live is None
        if self._live is None:
            self._live = Progress(
                SpinnerColumn(finished_text="[green]✓[/]"),
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                _Rate(),
                TimeRemainingColumn(elapsed_when_finished=True, compact=True),
                TextColumn("[dim]{task.fields[note]}[/]"),
                console=self._console,
            )
            self._live.start()
        bar = self._live.add_task(description, total=total, unit=unit, note="")
        try:
            yield _Bar(self._live, bar)
            self._finish(bar, total)
        finally:
            if outermost:
                self._live.stop()
                self._live = None

    def _finish(self, bar: int, total: int | None) -> None:
        live = self._live
        if live is None:
            return
        task = next(task for task in live.tasks if task.id == bar)
        # A stage that stops early (patience, converged stays) has finished its work.
        live.update(
            task.id, total=task.completed if total is None else total, completed=total or task.completed, note=""
        )


class _Bar:
    def __init__(self, live: Progress, bar: int) -> None:
        self._live, self._bar = live, bar

    def advance(self, units: int = 1) -> None:
        """Move the bar."""
        self._live.advance(next(task.id for task in self._live.tasks if task.id == self._bar), units)

    def note(self, text: str) -> None:
        """Show a remark behind the bar."""
        self._live.update(next(task.id for task in self._live.tasks if task.id == self._bar), note=text)


class PlainProgress:
    """A line when a task starts, one every ten seconds, and one at its end."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def task(self, description: str, total: int | None = None, unit: str = "it") -> Iterator[ProgressTask]:
        """Open a task."""
        line = _Line(self._console, description, total, unit)
        yield line
        line.finish()


class _Line:
    def __init__(self, console: Console, description: str, total: int | None, unit: str) -> None:
        self._console, self._description, self._total, self._unit = console, description, total, unit
        self._started = self._printed = time.monotonic()
        self._done = 0
        self._first: tuple[float, int] | None = None

    def advance(self, units: int = 1) -> None:
        """Count units, and print a line every ten seconds."""
        self._done += units
        now = time.monotonic()
        if self._first is None:
            self._first = (now, self._done)
        if now - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = now
            self._print(self._remaining(now))

    def note(self, text: str) -> None:
        """Drop the remark: only terminals show remarks."""

    def finish(self) -> None:
        """Print the last line."""
        self._print(f"done in {time.monotonic() - self._started:.1f} s")

    def _remaining(self, now: float) -> str:
        """Estimate from the units after the first: what comes before it (workers that start) is done once only."""
        if not self._total or self._first is None or self._done - self._first[1] < FEWEST_UNITS:
            return "..."
        began, done = self._first
        seconds = (now - began) / (self._done - done) * max(self._total - self._done, 0)
        return f"about {seconds:.0f} s left"

    def _print(self, tail: str) -> None:
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        of = f"/{self._total:,}" if self._total else ""
        self._console.print(
            f"  {self._description}: {self._done:,}{of} {self._unit}, {rate:,.1f} {self._unit}/s, {tail}",
            highlight=False,
        )
