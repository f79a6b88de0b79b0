"""The configuration explained: the commented ``config.toml``, the key table of the docs, the JSON schema."""

from __future__ import annotations

import dataclasses
import inspect
import json
import textwrap
import typing
from collections.abc import Mapping
from typing import Any

from icudl.config.schema import TABLES, Config
from icudl.options import Options, plain


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


def to_document(config: Config) -> str:
    """Return a ``config.toml`` in which every key is explained; reading it back gives the same configuration."""
    parts = [
        _comment(
            "The whole study. Every key stands at its default unless changed; `icudl config check` reads the file, "
            "and any key can be set for one run with --set table.key=value."
        )
    ]
    for name, options in TABLES.items():
        lines = [_comment(inspect.cleandoc(options.__doc__ or "").split("\n\n")[0].replace("\n", " ")), f"[{name}]"]
        table = getattr(config, name)
        for field in dataclasses.fields(options):
            doc = f"{field.metadata['doc']} {_limits(field)}".strip()
            lines += [_comment(doc), *_assignments(name, field.name, getattr(table, field.name))]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _assignments(table: str, key: str, value: Any) -> list[str]:
    """Assign a value; a long mapping becomes one dotted line per entry, which TOML allows anywhere in a table."""
    if isinstance(value, Mapping) and value:
        del table
        return [f"{key}.{json.dumps(str(name))} = {to_toml(item)}" for name, item in value.items()]
    return [f"{key} = {to_toml(value)}"]


def key_table(name: str) -> str:
    """Return the Markdown table of the keys of one table, for the documentation."""
    options = TABLES[name]
    defaults = options()
    rows = ["| key | default | meaning |", "| --- | --- | --- |"]
    for field in dataclasses.fields(options):
        doc = f"{field.metadata['doc']} {_limits(field)}".strip()
        if not field.metadata["identity"]:
            doc += " Not part of a result's identity."
        doc, default = (text.replace("|", "\\|") for text in (doc, to_toml(getattr(defaults, field.name))))
        rows.append(f"| `{name}.{field.name}` | `{default}` | {doc} |")
    return "\n".join(rows) + "\n"


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


def json_schema() -> dict[str, Any]:
    """Return a JSON schema of the configuration, for editors."""

    def table(options: type[Options]) -> dict[str, Any]:
        hints, defaults = typing.get_type_hints(options), options()
        properties = {
            field.name: _json_property(field, hints[field.name], getattr(defaults, field.name))
            for field in dataclasses.fields(options)
        }
        return {"type": "object", "additionalProperties": False, "properties": properties}

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ICU Deep Learning configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: table(options) for name, options in TABLES.items()},
    }
