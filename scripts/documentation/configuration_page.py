"""The reference of the configuration, from the option classes."""

from __future__ import annotations

import inspect

from icudl.config.document import key_table, options_by_table
from icudl.config.schema import OVERRIDES, PLUGINS, RoleOptions

INTRODUCTION = """# Configuration

Every key of `config.toml`, made from the option classes. `icudl config init my-study.toml` writes a file with every key
explained; `icudl config schema` prints a JSON schema for editors.

A value comes from the defaults below, then from the file (`--config`), then from the command line (`--set
table.key=value`, as often as needed). An unknown key, a wrong type or a value out of its limits is an error that names
the key. A key that is not part of a result's identity can be changed without computing anything again.

`[source]`, `[model]`, `[attack]` and `[execution]` belong to a plug-in: each has the keys of the plug-in that it names,
and no others. A section below shows each of them.
"""

TABLE = """## A table of data, models and attacks

`[source]`, `[model]` and `[attack]` describe a study of one data set, one model and one attack. A study of
several names them:

```toml
[data.main]
source = "mimic3"
path = "/where/the/tables/are"

[data.elsewhere]
source = "physionet2012"
path = "/where/the/archives/are"
role = "external"

[training]
max_epochs = 30

[models.lstm]
hidden_size = 64

[models.small]
model = "gru"
hidden_size = 16

[models.small.training]
learning_rate = 3e-3

[attacks.fewest]
attack = "greedy"
threat_model = "measured"
on = ["small", "main"]
```

An entry has the keys of its plug-in. It names the plug-in by the key in the second column, or has its
name.

| entry | plug-in | takes the place of | tables that it may override |
| --- | --- | --- | --- |
{rows}

An override such as `[models.small.training]` holds only what differs from the shared table `[training]` for this entry.
From the command line: `--set models.small.training.learning_rate=3e-3`. Trees and logistic regression read a part of
`[training]` and `[inputs]`: their own tables may set no more. What no model of the study reads is named before a run.

* A name is a letter followed by letters, digits, `-` or `_`. A data set, a model and an attack cannot have the same
  name, except `main`. `latest` is no name.
* `[source]` and `[data.NAME]` cannot stand in one configuration; nor can `[model]` and `[models.NAME]`, or
  `[attack]` and `[attacks.NAME]`.
* Exactly one data set has the role `main`. `role` may be set in `[source]`, too.

{role}
| key | default | meaning |
| --- | --- | --- |
| `attacks.NAME.on` | `[]` | {on} |
"""

ON = (
    "Names of models and data sets that the attack runs on; empty: all. Naming a model leaves out the other models, "
    "naming a data set leaves out the other data sets."
)


def render() -> str:
    """Return the page."""
    parts = [INTRODUCTION, TABLE.format(rows=_families(), role=key_table(RoleOptions, "data.NAME"), on=ON)]
    for table, plugins in options_by_table().items():
        for name, options in plugins.items():
            text = inspect.cleandoc(options.__doc__ or "").split("\n\n")[0]
            parts.append(f"## {_heading(table, name)}\n\n{text}\n\n{key_table(options, table)}")
    return "\n".join(parts)


def _families() -> str:
    """Rows of the table of families: how an entry is written, and what it may say for itself."""
    rows = []
    for table, plugin in PLUGINS.items():
        if plugin.family:
            entry = f"{plugin.family}.NAME"
            overrides = ", ".join(f"`[{entry}.{name}]`" for name in OVERRIDES[plugin.family])
            rows.append(f"| `[{entry}]` | `{plugin.family_key}` | `[{table}]` | {overrides} |")
    return "\n".join(rows)


def _heading(table: str, plugin: str) -> str:
    return f'[{table}] {PLUGINS[table].key} = "{plugin}"' if plugin else f"[{table}]"
