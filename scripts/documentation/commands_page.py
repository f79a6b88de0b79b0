"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from icudl.cli.app import app
from icudl.cli.session import SHARED_OPTIONS

INTRODUCTION = """# Command line

Made from the commands themselves. `icudl COMMAND --help` says the same on a terminal.

A result goes to standard output (with `--json` as JSON), everything else to standard error. The exit code is 0, or that
of the [error](errors.md); 130 after Ctrl-C, 143 where the process was asked to end.
"""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that can be called, by its words after ``icudl``."""
    yield from _below(app, "")


def _below(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        words = f"{prefix} {name}".strip()
        if isinstance(command, click.Group):
            yield from _below(command, words)
        else:
            yield words, command


def render() -> str:
    """Return the page."""
    found = dict(commands())
    some = next(command for command in found.values() if _names(command) >= set(SHARED_OPTIONS))
    parts = [INTRODUCTION, "## Options shared by the commands\n", _table(some, only_shared=True)]
    for words, command in found.items():
        parts += [f"## icudl {words}\n", _text(command), f"```text\n{_usage(words, command)}\n```\n"]
        parts.append(_table(command, only_shared=False))
    return "\n".join(parts)


def _names(command: click.Command) -> set[str]:
    return {parameter.name or "" for parameter in command.params}


def _text(command: click.Command) -> str:
    """Return the paragraphs of the help text, and its examples as a block of commands."""
    parts = inspect.cleandoc(command.help or "").split("\n\n")
    if command.epilog:
        calls = [line.strip() for line in command.epilog.splitlines() if line.strip().startswith("icudl ")]
        parts.append("\n".join(["```bash", *calls, "```"]))
    return "\n\n".join(parts) + "\n"


def _usage(words: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"icudl {words}")
    return f"icudl {words} " + " ".join(command.collect_usage_pieces(context))


def _table(command: click.Command, *, only_shared: bool) -> str:
    rows = []
    for parameter in command.params:
        if isinstance(parameter, click.Option) and (parameter.name in SHARED_OPTIONS) == only_shared:
            names = ", ".join(f"`{name}`" for name in parameter.opts)
            value = (
                "" if parameter.is_flag or parameter.count else f" `{parameter.make_metavar(click.Context(command))}`"
            )
            default = "" if parameter.default in (None, False, ()) or not parameter.show_default else parameter.default
            rows.append(f"| {names}{value} | {f'`{default}`' if default != '' else ''} | {parameter.help or ''} |")
    return "\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows, ""]) if rows else ""
