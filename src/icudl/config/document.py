"""The configuration explained: the commented ``config.toml``, the key tables of the docs, the JSON schema."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import textwrap
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from icudl.config.schema import (
    COMMON,
    MAIN,
    OPTIONAL,
    OVERRIDES,
    PLUGINS,
    SHARED,
    TABLES,
    Attack,
    Certify,
    Config,
    DataSet,
    Model,
    Plugin,
    Probe,
    RoleOptions,
)
from icudl.options import Options, masked, plain, types_of
from icudl.plugins import registered

_ON = (
    "Models and data sets that the attack is run on, by name; empty: all of them. Naming a model leaves out the other "
    "models, naming a data set the other data sets."
)


_OPTIONAL_ON = {
    table: f"Models and data sets that {what}, by name; empty: all of them. Naming a model leaves out the other "
    "models, naming a data set the other data sets."
    for table, what in (("certify", "proofs are made about"), ("probe", "are probed"))
}


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


@functools.cache
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
    head = _comment(
        "The whole study. Every key stands at its default unless changed; `icudl config check` reads the file, "
        "and any key can be set for one run with --set table.key=value."
    )
    return "\n\n".join([head, *("\n".join(table.explained()) for table in _tables(config))]) + "\n"


def to_listing(config: Config) -> str:
    """Return the tables of ``to_document`` without explanations; a value that is not the default shows its origin."""
    return "\n".join(line for table in _tables(config) for line in table.listed(config.origins))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Key:
    """One key of a table that is written."""

    name: str
    value: Any
    doc: str
    secret: bool = False
    example: bool = False

    def masked(self) -> _Key:
        """Return the key with the password of its value masked."""
        return dataclasses.replace(self, value=masked(self.value)) if self.secret else self

    def assignments(self) -> list[str]:
        """Assign the value; a long mapping becomes one dotted line an entry, which TOML allows anywhere in a table."""
        if self.example:
            return [f"# {self.name} = {to_toml(self.value)}"]
        if isinstance(self.value, Mapping) and self.value:
            return [f"{self.name}.{json.dumps(str(name))} = {to_toml(item)}" for name, item in self.value.items()]
        return [f"{self.name} = {to_toml(self.value)}"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Table:
    """One table that is written; one that is off is written as comments."""

    heading: str
    doc: str
    keys: tuple[_Key, ...]
    off: bool = False

    def explained(self) -> list[str]:
        """Return its lines with comments."""
        lines = [_comment(self.doc)] if self.doc else []
        lines.append(f"[{self.heading}]")
        for key in self.keys:
            lines += [*([_comment(key.doc)] if key.doc else []), *key.assignments()]
        if self.off:
            text = "The study has none; take the # from the lines below to make them."
            return [
                *lines[: bool(self.doc)],
                _comment(text),
                *("# " + line for line in _lines(lines[bool(self.doc) :])),
            ]
        return lines

    def listed(self, origins: Mapping[str, str]) -> list[str]:
        """Return its lines without comments but for origins; nothing if the table is off."""
        if self.off:
            return []
        lines = [f"[{self.heading}]"]
        for key in (key for key in self.keys if not key.example):
            origin = origins.get(f"{self.heading}.{key.name}")
            lines += [line + (f"  # {origin}" if origin else "") for line in key.masked().assignments()]
        return lines


def _lines(parts: list[str]) -> list[str]:
    return "\n".join(parts).split("\n")


def _keys_of(options: Options, rename: Mapping[str, str] | None = None) -> list[_Key]:
    return [
        _Key(
            name=(rename or {}).get(field.name, field.name),
            value=getattr(options, field.name),
            doc=_explained(field),
            secret=bool(field.metadata.get("secret")),
        )
        for field in dataclasses.fields(options)
        if options.named is None or field.name != options.named[0]
    ] + _own_keys(options)


EXAMPLES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "variables": ("crp", {"unit": "mg/L", "range": [0, 500], "items": {"mimic4": [50889]}})
}
"""A table with a name of the user's own, by the table that holds it."""


def _own_keys(options: Options) -> list[_Key]:
    """Return the tables with names of the user's own; an example where there is none."""
    if options.named is None:
        return []
    name, kind = options.named
    doc = f"{_explained(next(field for field in dataclasses.fields(options) if field.name == name))} " + " ".join(
        f"{field.name}: {_explained(field)}" for field in dataclasses.fields(kind)
    )
    entries = getattr(options, name)
    if not entries:
        example, values = EXAMPLES[options.table]
        return [_Key(name=example, value=values, doc=doc, example=True)]
    first = next(iter(entries))
    return [_Key(name=entry, value=values, doc=doc if entry == first else "") for entry, values in entries.items()]


def _tables(config: Config) -> Iterator[_Table]:
    shared = _shared(config)
    for table in TABLES:
        if table in PLUGINS and PLUGINS[table].family:
            yield from _family(config, table, shared)
        else:
            options = shared[table]
            keys = _keys_of(options)
            off = False
            if table in OPTIONAL:
                asked: Certify | Probe | None = getattr(config, table)
                keys.append(_Key(name="on", value=() if asked is None else asked.on, doc=_OPTIONAL_ON[table]))
                off = asked is None
            yield _Table(heading=table, doc=summary_of(type(options)), keys=tuple(keys), off=off)


def _shared(config: Config) -> dict[str, Options]:
    """Return the tables that hold for every entry which does not say otherwise."""
    tables: dict[str, Options] = {name: getattr(config, name) for name in ("run", *COMMON)}
    tables |= {name: config.shared[name] for names in OVERRIDES.values() for name in names}
    tables |= {name: config.shared[name] for name in OPTIONAL}
    return tables


def _family(config: Config, table: str, shared: Mapping[str, Options]) -> Iterator[_Table]:
    """Write the entries of a family; a single entry called ``main`` becomes the table that stands alone."""
    plugin = PLUGINS[table]
    entries: Mapping[str, DataSet | Model | Attack] = getattr(config, plugin.family)
    alone = list(entries) == [MAIN]
    for name, entry in entries.items():
        options: Options = getattr(entry, table)
        heading = table if alone else f"{plugin.family}.{name}"
        keys = _keys_of(options, {} if alone else {plugin.key: plugin.family_key})
        yield _Table(heading=heading, doc=summary_of(type(options)), keys=(*keys, *_entry_keys(entry)))
        for override in OVERRIDES[plugin.family]:
            own, common = _keys_of(getattr(entry, override)), _keys_of(shared[override])
            if own != common:
                differing = tuple(key for key in own if key not in common)
                yield _Table(heading=f"{heading}.{override}", doc="", keys=differing)


def _entry_keys(entry: DataSet | Model | Attack) -> list[_Key]:
    """Return the keys of an entry that do not belong to its plug-in's options."""
    match entry:
        case DataSet():
            return _keys_of(entry.role)
        case Attack():
            return [_Key(name="on", value=entry.on, doc=_ON)]
        case _:
            return []


def key_table(options: type[Options], heading: str) -> str:
    """Return the Markdown table of the keys of an options class, for the documentation.

    Args:
        options: The class.
        heading: Table that the keys stand in, such as ``"training"``.
    """
    defaults = options()
    rows = ["| key | default | meaning |", "| --- | --- | --- |"]
    named = options.named
    for field in dataclasses.fields(options):
        if named is not None and field.name == named[0]:
            continue
        doc = _explained(field)
        if not field.metadata["identity"]:
            doc += " Not part of a result's identity."
        doc, default = (text.replace("|", "\\|") for text in (doc, to_toml(getattr(defaults, field.name))))
        rows.append(f"| `{heading}.{field.name}` | `{default}` | {doc} |")
    if named is not None:
        own = key_table(named[1], f"{heading}.NAME").splitlines()
        rows += own[2:]
    return "\n".join(rows) + "\n"


def options_by_table() -> dict[str, dict[str, type[Options]]]:
    """Return the options classes of each table by plug-in; ``""`` is the key where no plug-in validates the table."""
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
    hints, defaults = types_of(options), options()
    return {
        field.name: _json_property(field, hints[field.name], getattr(defaults, field.name))
        for field in dataclasses.fields(options)
    }


def _json_table(properties: Mapping[str, Any], named: type[Options] | None = None) -> dict[str, Any]:
    """Return the schema of a table; ``named`` is the class of tables in it that have names of the user's own."""
    others = False if named is None else _json_table(_json_properties(named))
    return {"type": "object", "additionalProperties": others, "properties": dict(properties)}


def _json_shared(options: type[Options]) -> dict[str, Any]:
    return _json_table(_json_properties(options), options.named[1] if options.named else None)


class _Definitions:
    """The parts of the schema that several tables share, each written once.

    Attributes:
        parts: What stands below ``$defs``, by name.
    """

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}

    def table(self, name: str) -> dict[str, Any]:
        """Return a reference to a table that no plug-in validates."""
        if name not in self.parts:
            self.parts[name] = _json_shared(SHARED[name])
        return {"$ref": f"#/$defs/{name}"}

    def plugins(
        self, table: str, plugin: Plugin, key: str, extra: Mapping[str, Any], *, unnamed: str = ""
    ) -> dict[str, Any]:
        """Return the schema of a table that a plug-in validates: one variant for each plug-in that is installed.

        Args:
            table: What the table is called.
            plugin: The table.
            key: Key that names the plug-in.
            extra: Properties that every variant has beside the plug-in's options.
            unnamed: Plug-in that a table means which leaves the key out; "" where every table has to name its plug-in.
        """
        variants = []
        for name in registered(plugin.group):
            part = f"{table}.{name}"
            if part not in self.parts:
                properties = _json_properties(plugin.options(name))
                named = properties.pop(plugin.key) | {"const": name}
                self.parts[part] = _json_table({key: named} | properties | dict(extra))
            required = {} if name == unnamed else {"required": [key]}
            variants.append({"$ref": f"#/$defs/{part}"} | required)
        return {"anyOf": variants}


def _json_on(doc: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": doc, "default": []}


def json_schema() -> dict[str, Any]:
    """Return a JSON schema of the configuration, for editors."""
    properties: dict[str, Any] = {}
    shared = _Definitions()
    for table in TABLES:
        if table not in PLUGINS:
            properties[table] = _json_shared(SHARED[table])
            if table in OPTIONAL:
                properties[table]["properties"]["on"] = _json_on(_OPTIONAL_ON[table])
            continue
        plugin = PLUGINS[table]
        extra: dict[str, Any] = {}
        if table == "source":
            extra = _json_properties(RoleOptions)
        if table == "attack":
            extra = {"on": _json_on(_ON)}
        properties[table] = shared.plugins(table, plugin, plugin.key, extra, unnamed=plugin.default)
        if plugin.family:
            extra = extra | {name: shared.table(name) for name in OVERRIDES[plugin.family]}
            entry = functools.partial(shared.plugins, plugin.family, plugin, plugin.family_key, extra)
            properties[plugin.family] = {
                "type": "object",
                # An entry that has the name of a plug-in need not name the plug-in again.
                "properties": {name: entry(unnamed=name) for name in registered(plugin.group)},
                "additionalProperties": entry(),
                "minProperties": 1,
            }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ICU Deep Learning configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": shared.parts,
    }
