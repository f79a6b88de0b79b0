"""The reference of the configuration, from the option classes."""

from __future__ import annotations

import inspect

from icudl.config.document import key_table, options_by_table
from icudl.config.schema import PLUGINS

INTRODUCTION = """# Configuration

Every key of `config.toml`, made from the option classes. `icudl config init my-study.toml` writes a file with every key
explained; `icudl config schema` prints a JSON schema for editors.

A value comes from the defaults below, then from the file (`--config`), then from the command line (`--set
table.key=value`, as often as needed). An unknown key, a wrong type or a value out of its limits is an error that names
the key. What is not part of a result's identity can be changed without anything being computed again.
"""


def render() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for table, plugins in options_by_table().items():
        for name, options in plugins.items():
            text = inspect.cleandoc(options.__doc__ or "").split("\n\n")[0]
            parts.append(f"## {_heading(table, name)}\n\n{text}\n\n{key_table(options, table)}")
    return "\n".join(parts)


def _heading(table: str, plugin: str) -> str:
    return f'[{table}] {PLUGINS[table].key} = "{plugin}"' if plugin else f"[{table}]"
