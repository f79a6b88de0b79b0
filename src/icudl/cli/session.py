"""What all commands share: the common options, the configuration, the pipeline, and how results are printed."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from rich.table import Table

    from icudl.config.schema import Config
    from icudl.execution.context import Progress
    from icudl.pipeline.forecast import Forecast
    from icudl.pipeline.plan import Listener, Step
    from icudl.pipeline.run import Pipeline
    from icudl.store.base import Store
    from icudl.store.manifest import Manifest


DEFAULT_STORE = "runs"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """One call of the command line."""

    config_path: Path | None
    settings: tuple[str, ...]
    store_path: str
    as_json: bool
    verbosity: int
    errors: Console

    def config(self, study: Path | None = None, settings: Sequence[str] = ()) -> Config:
        """Read the configuration.

        Args:
            study: File that is read where the command line names none.
            settings: What is set of ``study``, unless the command line sets it otherwise.
        """
        from icudl.config.load import load_config

        if self.config_path is not None or study is None:
            return load_config(self.config_path, self.settings)
        return load_config(study, (*settings, *self.settings))

    def store(self) -> Store:
        """Open the store."""
        from icudl.store.base import open_store

        return open_store(self.store_path)

    def pipeline(self, config: Config | None = None, *listeners: Listener) -> Pipeline:
        """Build the pipeline with progress on this console; ``listeners`` follow its runs as well."""
        from icudl.pipeline.plan import Together
        from icudl.pipeline.run import Pipeline

        listener = Together(Printer(self), *listeners)
        return Pipeline(config or self.config(), self.store(), progress=self.progress(), listener=listener)

    def plan(self) -> list[Step]:
        """Return the plan of the configured study; an empty plan where the command names no configuration."""
        return self.pipeline().plan() if self.config_path is not None or self.settings else []

    def find(self, reference: str, stage: str = "") -> Manifest:
        """Return the manifest of the result that a reference means (``pipeline.references.find_result``).

        Raises:
            StoreError: No result matches, several ids match, or the result is of another stage.
        """
        from icudl.pipeline.references import find_result

        return find_result(self.store(), reference, stage=stage, plan=self.plan())

    def progress(self) -> Progress:
        """Return bars on a terminal, lines elsewhere, nothing when quiet."""
        from icudl.cli.progress import PlainProgress, TerminalProgress
        from icudl.execution.context import SilentProgress

        if self.verbosity < 0:
            return SilentProgress()
        return TerminalProgress(self.errors) if self.errors.is_terminal else PlainProgress(self.errors)

    def say(self, text: str) -> None:
        """Print a remark to standard error, unless quiet."""
        if self.verbosity >= 0:
            self.errors.print(text, highlight=False)

    def emit(self, plain: str, data: Any) -> None:
        """Print a result to standard output: JSON with --json, else text."""
        if self.as_json:
            # Where the encoding lacks a character, JSON has another way to write it.
            plain = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=not _writes_unicode())
        click.echo(plain)

    @property
    def width(self) -> int:
        """Characters that a line of standard output has room for; many where it is no terminal."""
        out = Console()
        return out.width if out.is_terminal else 400

    def drawn(self, table: Table | str) -> str:
        """Return a table, or a line with markup, as text.

        It is as wide as the terminal, or as it needs where standard output is no terminal.
        """
        canvas = Console(file=io.StringIO(), width=self.width, color_system=None)
        with canvas.capture() as captured:
            canvas.print(table)
        return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")

    def emit_artifact(self, manifest: Manifest) -> dict[str, str]:
        """Print an artifact's reference, and where it lies; return both for --json."""
        folder = self.store().fetch(manifest)
        path = folder / "index.html" if manifest.node == "report" else folder
        data = {"name": manifest.name, "node": manifest.node, "id": manifest.id, "reference": manifest.reference}
        if not self.as_json:
            click.echo(manifest.reference)
        self.say(f"[bold]{escape(manifest.name)}:[/] {escape(str(path))}")
        return data | {"path": str(path)}


class Printer:
    """Tells what the pipeline does, on standard error."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._has_foreseen = False

    def reused(self, step: Step) -> None:
        """Print that a result is up to date."""
        self._session.say(f"[dim]=[/] {step.name} [dim]up to date[/]")

    def started(self, step: Step) -> None:
        """Print the stage, and why it runs where more is to be said."""
        reason = f" [dim]{escape(step.reason)}[/]" if self._session.verbosity > 0 else ""
        self._session.say(f"[bold cyan]>[/] [bold]{step.name}[/]{reason}")
        if step.node.key.stage == "train":
            from icudl.training.events import can_be_written

            if not can_be_written():
                self._session.say("  [dim]No TensorBoard event files: the extra tensorboard is not installed.[/]")

    def waiting(self, step: Step) -> None:
        """Print that another run is computing the result."""
        self._session.say(f"[yellow]…[/] {step.name} is being computed by another run; waiting for it")

    def warned(self, step: Step, text: str) -> None:  # noqa: ARG002 - the text names the stage
        """Print a warning."""
        self._session.say(f"[yellow]![/] {escape(text)}")

    def foreseen(self, pending: Forecast) -> None:
        """Print what the rest of the run will take; once the stays are counted, only the time."""
        if self._has_foreseen:
            if pending.nodes:
                self._session.say(f"  {pending.stays:,} stays: {took(pending)} to go")
            return
        self._has_foreseen = True
        for line in foretold(pending):
            self._session.say(line)

    def finished(self, step: Step, manifest: Manifest) -> None:
        """Print duration and memory."""
        seconds = manifest.environment["duration_seconds"]
        memory = manifest.environment["peak_memory_bytes"] / 2**20
        size = sum(entry.bytes for entry in manifest.files) / 2**20
        self._session.say(
            f"[green]✓[/] {step.name} [dim]{step.id}  {seconds:.1f} s, peak {memory:,.0f} MB, {size:,.1f} MB written[/]"
        )


def foretold(pending: Forecast) -> list[str]:
    """Return what a run will take, in words."""
    from icudl.cli.location import duration, size_of
    from icudl.execution.threads import usable_cores

    many = len(pending.nodes)
    guessed = "" if pending.is_counted else ", guessed from the source"
    results = f"[bold]{many} result{'s' if many > 1 else ''} to compute:[/]"
    needs = f"{size_of(pending.memory)} of memory, {size_of(pending.disk)} on disk"
    rates = f"rates measured in this store for {pending.learned} of them" if pending.learned else "rates as shipped"
    sharing = f"{pending.workers} side by side" if pending.workers > 1 else "in one process"
    lines = [
        f"{results} {took(pending)}, {needs} ({pending.stays:,} stays{guessed})",
        f"[dim]  {duration(pending.processor_seconds)} of processor time, {sharing}; {rates}[/]",
    ]
    if pending.load > usable_cores():
        lines.append("[yellow]![/] Other programs keep this machine busy, so it will take longer on the clock.")
    if pending.unknown:
        lines.append(f"[dim]  not included, since nothing is known of them: {', '.join(pending.unknown)}[/]")
    return lines


def took(pending: Forecast) -> str:
    """Return the time of a forecast in words."""
    from icudl.cli.location import duration

    return f"about {duration(pending.seconds)}"


def _writes_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") in {"", "utf8", "utf16", "utf32"}


def _console() -> Console:
    """Return the console of standard error; without a terminal, lines may be long."""
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, width=140)


def show_commands(context: click.Context) -> None:
    """Print the help of a group that was called without a command, so that its commands are listed."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def examples(*calls: str) -> str:
    """Return the end of `icudl COMMAND --help`: examples to copy."""
    return "\n".join(["\b", "Examples:", *(f"  {call}" for call in calls)])


SHARED_OPTIONS = ("config_path", "settings", "store", "device", "workers", "as_json", "verbose", "quiet", "debug")
"""Parameters that ``shared_options`` adds to a command."""


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the common options; it receives them as its first argument, a ``Session``."""

    @click.option("--config", "-c", "config_path", type=click.Path(path_type=Path), help="TOML file of the study.")
    @click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set one key, such as attack.kappa=0.5."
    )
    @click.option(
        "--store",
        type=click.Path(),
        default=DEFAULT_STORE,
        show_default=True,
        help="Folder of results, or s3://BUCKET/PREFIX.",
    )
    @click.option("--device", help="cpu, cuda, cuda:N or auto.")
    @click.option("--workers", type=int, help="Worker processes; 0 takes one per core, 1 runs without.")
    @click.option("--json", "as_json", is_flag=True, help="Print results as JSON.")
    @click.option("--verbose", "-v", count=True, help="Say more.")
    @click.option("--quiet", "-q", is_flag=True, help="Print only results and errors.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @wraps(command)
    def wrapped(
        config_path: Path | None, settings: tuple[str, ...], store: str, device: str | None, workers: int | None,
        as_json: bool, verbose: int, quiet: bool, debug: bool, **arguments: Any,
    ) -> Any:  # fmt: skip
        del debug  # read from the words of the command by ``main``, which also sees errors of parsing
        more = [f"execution.device={json.dumps(device)}"] if device is not None else []
        more += [f"execution.workers={workers}"] if workers is not None else []
        session = Session(
            config_path=config_path,
            settings=(*settings, *more),
            store_path=store,
            as_json=as_json,
            verbosity=-1 if quiet else verbose,
            errors=_console(),
        )
        return command(session, **arguments)

    return wrapped
