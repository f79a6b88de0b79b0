"""The configuration explained: the commented ``config.toml``, the key tables of the docs, the JSON schema."""

from __future__ import annotations

import dataclasses
import inspect
import json
import textwrap
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from icudl.config.load import load_config
from icudl.config.schema import (
    FAMILIES,
    MAIN,
    OVERRIDES,
    PLUGINS,
    SHARED,
    TABLES,
    Attack,
    Config,
    DataSet,
    Model,
    Plugin,
    RoleOptions,
)
from icudl.options import Options, plain
from icudl.plugins import registered

_TABLE_OF = {plugin.family: table for table, plugin in PLUGINS.items() if plugin.family}
_ON = (
    "Models and data sets that the attack is run on, by name; empty: all of them. Naming a model leaves out the other "
    "models, naming a data set the other data sets."
)


def to_toml(value: Any) -> str:
    """Write one value in TOML notation."""
    value = plain(value)
    if isinstance(value, list):
        return "[" + ", ".join(to_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {to_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def _limits(field: dataclasses.Field[Any]) -> str:
    low, high, choices = (field.metadata.get(name) for name in ("low", "high", "choices"))
    if choices:
        return "One of " + ", ".join(choices) + "."
    if low is not None and high is not None:
        return f"From {_number(low)} to {_number(high)}."
    if low is not None:
        return f"At least {_number(low)}."
    return f"At most {_number(high)}." if high is not None else ""


def _number(limit: float) -> str:
    return f"{limit:,.0f}" if limit == int(limit) else f"{limit:g}"


def _comment(text: str) -> str:
    return "\n".join("# " + line for line in textwrap.wrap(text, 110))


def _explained(field: dataclasses.Field[Any]) -> str:
    return f"{field.metadata['doc']} {_limits(field)}".strip()


def summary_of(options: type[Options]) -> str:
    """Return the first paragraph of the docstring of an options class."""
    return inspect.cleandoc(options.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def to_document(config: Config) -> str:
    """Return a ``config.toml`` in which every key is explained; reading it back gives the same configuration.

    A data set, a model or an attack that is the only one of its kind and called ``main`` is written as ``[source]``,
    ``[model]`` or ``[attack]``; others are written as entries of ``[data]``, ``[models]`` and ``[attacks]``.
    """
    parts = [
        _comment(
            "The whole study. Every key stands at its default unless changed; `icudl config check` reads the file, "
            "and any key can be set for one run with --set table.key=value."
        )
    ]
    for table in TABLES:
        if table in _FAMILY_OF:
            parts += _family(config, _FAMILY_OF[table], table)
        else:
            parts.append(_section(table, getattr(_shared_of(config), table)))
    return "\n\n".join(parts) + "\n"


_FAMILY_OF = {table: family for family, table in _TABLE_OF.items()}


class _Shared:
    """The shared tables of a configuration: what most entries of a family say, taken from the first of them."""

    def __init__(self, config: Config) -> None:
        self.run, self.analysis, self.report, self.execution = (
            config.run,
            config.analysis,
            config.report,
            config.execution,
        )
        for family in FAMILIES:
            first = next(iter(getattr(config, family).values()))
            for name in OVERRIDES[family]:
                setattr(self, name, getattr(first, name))


def _shared_of(config: Config) -> _Shared:
    return _Shared(config)


def _section(heading: str, options: Options, rename: Mapping[str, str] | None = None) -> str:
    lines = [_comment(summary_of(type(options))), f"[{heading}]"]
    for field in dataclasses.fields(options):
        key = (rename or {}).get(field.name, field.name)
        lines += [_comment(_explained(field)), *_assignments(key, getattr(options, field.name))]
    return "\n".join(lines)


def _assignments(key: str, value: Any) -> list[str]:
    """Assign a value; a long mapping becomes one dotted line per entry, which TOML allows anywhere in a table."""
    if isinstance(value, Mapping) and value:
        return [f"{key}.{json.dumps(str(name))} = {to_toml(item)}" for name, item in value.items()]
    return [f"{key} = {to_toml(value)}"]


def _family(config: Config, family: str, table: str) -> Iterator[str]:
    """Write the entries of a family; a lone ``main`` as the table that stands alone."""
    entries: Mapping[str, DataSet | Model | Attack] = getattr(config, family)
    plugin, shared = PLUGINS[table], _shared_of(config)
    alone = list(entries) == [MAIN]
    for name, entry in entries.items():
        extra = _entry_keys(entry)
        options: Options = getattr(entry, table)
        if alone:
            yield "\n".join([_section(table, options), *extra])
            continue
        heading = f"{family}.{name}"
        yield "\n".join([_section(heading, options, {plugin.key: plugin.family_key}), *extra])
        for override in OVERRIDES[family]:
            own, common = getattr(entry, override), getattr(shared, override)
            if own != common:
                yield _differing(f"{heading}.{override}", own, common)


def _entry_keys(entry: DataSet | Model | Attack) -> list[str]:
    """Assign the keys of an entry that are none of its plug-in's options."""
    match entry:
        case DataSet():
            role = dataclasses.fields(RoleOptions)[0]
            return [_comment(_explained(role)), f"role = {to_toml(entry.role.role)}"]
        case Attack():
            return [_comment(_ON), f"on = {to_toml(entry.on)}"]
        case _:
            return []


def _differing(heading: str, own: Options, common: Options) -> str:
    lines = [f"[{heading}]"]
    for field in dataclasses.fields(own):
        if getattr(own, field.name) != getattr(common, field.name):
            lines += [_comment(_explained(field)), *_assignments(field.name, getattr(own, field.name))]
    return "\n".join(lines)


def key_table(options: type[Options], heading: str) -> str:
    """Return the Markdown table of the keys of an options class, for the documentation.

    Args:
        options: The class.
        heading: Table that the keys stand in, such as ``"training"``.
    """
    defaults = options()
    rows = ["| key | default | meaning |", "| --- | --- | --- |"]
    for field in dataclasses.fields(options):
        doc = _explained(field)
        if not field.metadata["identity"]:
            doc += " Not part of a result's identity."
        doc, default = (text.replace("|", "\\|") for text in (doc, to_toml(getattr(defaults, field.name))))
        rows.append(f"| `{heading}.{field.name}` | `{default}` | {doc} |")
    return "\n".join(rows) + "\n"


def options_by_table() -> dict[str, dict[str, type[Options]]]:
    """Return the options classes of each table by plug-in; a table that no plug-in validates has one, ``""``."""
    return {
        table: {name: PLUGINS[table].options(name) for name in registered(PLUGINS[table].group)}
        if table in PLUGINS
        else {"": SHARED[table]}
        for table in TABLES
    }


_JSON_TYPES: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
}


def _json_type(hint: Any) -> dict[str, Any]:
    origin = typing.get_origin(hint) or hint
    if origin is tuple:
        return {"type": "array", "items": _json_type(typing.get_args(hint)[0])}
    return dict(_JSON_TYPES.get(origin, {"type": "object"}))


def _json_property(field: dataclasses.Field[Any], hint: Any, default: Any) -> dict[str, Any]:
    schema = _json_type(hint)
    target = schema["items"] if schema["type"] == "array" else schema
    for ours, theirs in (("low", "minimum"), ("high", "maximum")):
        if field.metadata.get(ours) is not None and target["type"] in {"integer", "number"}:
            target[theirs] = field.metadata[ours]
    if field.metadata.get("choices"):
        target["enum"] = list(field.metadata["choices"])
    return schema | {"description": field.metadata["doc"], "default": plain(default)}


def _json_properties(options: type[Options]) -> dict[str, Any]:
    hints, defaults = typing.get_type_hints(options), options()
    return {
        field.name: _json_property(field, hints[field.name], getattr(defaults, field.name))
        for field in dataclasses.fields(options)
    }


def _json_table(properties: Mapping[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(properties),
        "required": list(required),
    }


def _json_plugin(plugin: Plugin, key: str, extra: Mapping[str, Any], *, alone: bool) -> dict[str, Any]:
    """Return the schema of a table that a plug-in validates: one variant for each plug-in that is installed.

    Args:
        plugin: The table.
        key: Key that names the plug-in.
        extra: Properties that every variant has beside the plug-in's options.
        alone: Whether the table may leave the key out, which then means the default plug-in.
    """
    variants = []
    for name in registered(plugin.group):
        properties = _json_properties(plugin.options(name))
        named = properties.pop(plugin.key) | {"const": name}
        optional = alone and name == plugin.default
        variants.append(_json_table({key: named} | properties | dict(extra), () if optional else (key,)))
    return {"anyOf": variants}


def json_schema() -> dict[str, Any]:
    """Return a JSON schema of the configuration, for editors."""
    properties: dict[str, Any] = {}
    for table in TABLES:
        if table not in PLUGINS:
            properties[table] = _json_table(_json_properties(SHARED[table]))
            continue
        plugin = PLUGINS[table]
        extra: dict[str, Any] = {}
        if table == "source":
            extra = _json_properties(RoleOptions)
        if table == "attack":
            extra = {"on": {"type": "array", "items": {"type": "string"}, "description": _ON, "default": []}}
        properties[table] = _json_plugin(plugin, plugin.key, extra, alone=True)
        if plugin.family:
            overrides = {name: _json_table(_json_properties(SHARED[name])) for name in OVERRIDES[plugin.family]}
            entry = _json_plugin(plugin, plugin.family_key, extra | overrides, alone=False)
            # An entry that is called like a plug-in may leave out which one it is.
            entry["anyOf"].append({"type": "object", "not": {"required": [plugin.family_key]}})
            properties[plugin.family] = {"type": "object", "additionalProperties": entry}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ICU Deep Learning configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def default_document() -> str:
    """Return the document of a study in which nothing is set."""
    return to_document(load_config())
