"""The reference of errors and exit codes, from the error tree."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from icudl import errors

INTRODUCTION = """# Errors

Everything that is raised on purpose is an `IcudlError`; the command line prints one line and returns the exit code
of its class. A message says what is wrong (with the value), what was expected, and what to do. `--debug` shows where it
was raised.

| exit code | error | when |
| --- | --- | --- |
"""


def render() -> str:
    """Return the page."""
    rows = [
        f"| {kind.exit_code} | `{kind.__name__}` | {(inspect.getdoc(kind) or '').splitlines()[0]} |"
        for kind in _tree(errors.IcudlError)
    ]
    ends = [
        "| 130 | | Interrupted by Ctrl-C; the same command goes on from there. |",
        "| 143 | | Asked to end (SIGTERM); likewise. |",
    ]
    return INTRODUCTION + "\n".join([*rows, *ends, ""])


def _tree(kind: type[errors.IcudlError]) -> Iterator[type[errors.IcudlError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)
