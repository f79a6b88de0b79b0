"""From TOML and ``--set`` to a ``Config``: defaults < file < command line. Every key and type is checked."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icudl.config.schema import TABLES, Config
from icudl.errors import ConfigError, suggestion
from icudl.options import Options, masked
from icudl.plugins import options_of

TOML_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string in quotes",
    tuple: "a list",
    Mapping: "a table",
}


def load_config(
    path: Path | str | None = None, settings: Sequence[str] = (), *, defaults: Sequence[str] = ()
) -> Config:
    """Read a configuration.

    Args:
        path: TOML file; None for the defaults alone.
        settings: ``"table.key=value"`` texts, the value in TOML notation (quotes around strings may be left out).
        defaults: Like ``settings``, but overridden by the file.

    Raises:
        ConfigError: The file is missing or not TOML, or a key or value is illegal.
    """
    values: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for setting in defaults:
        table, key, value = parse_setting(setting)
        _merge(values, origins, {table: {key: value}}, origin="demo")
    if path is not None:
        path = Path(path)
        _merge(values, origins, _read_toml(path), origin=path.name)
        _anchor_source_path(values, path)
    for setting in settings:
        table, key, value = parse_setting(setting)
        _merge(values, origins, {table: {key: value}}, origin="--set")
    tables = {name: _build(name, table, origins) for name, table in values.items()}
    return Config(**tables, origins=origins)  # type: ignore[arg-type]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"Configuration file {str(path)!r} does not exist. Give --config an existing file, "
            "or write one with `icudl config init`."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Configuration file {str(path)!r} cannot be read: {error}. Expected UTF-8 text.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}. Mend the file at that place.") from error


def _absolute(folder: Path, text: str) -> str:
    try:
        return str((folder / Path(text).expanduser()).resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"source.path = {text!r} is no path: {error}. Give the place of the data.") from error


def _anchor_source_path(values: dict[str, dict[str, Any]], file: Path) -> None:
    """Make a relative ``source.path`` start at the file it is written in, so that a study can be run from anywhere."""
    source = values.get("source", {})
    if isinstance(source.get("path"), str) and source["path"]:
        source["path"] = _absolute(file.parent, source["path"])


def _merge(values: dict[str, dict[str, Any]], origins: dict[str, str], new: Mapping[str, Any], *, origin: str) -> None:
    for table, entries in new.items():
        if table not in TABLES:
            raise ConfigError(
                f"Unknown table [{table}] ({origin}).{suggestion(table, TABLES)} Known tables: {', '.join(TABLES)}."
            )
        if not isinstance(entries, Mapping):
            raise ConfigError(
                f"{table} = {masked(repr(entries))} ({origin}) is not a table. Write [{table}] and its keys below it."
            )
        for key, value in entries.items():
            values.setdefault(table, {})[key] = value
            origins[f"{table}.{key}"] = origin


def parse_setting(setting: str) -> tuple[str, str, Any]:
    """Split ``"table.key=value"`` into table, key and value.

    Raises:
        ConfigError: The text has no ``=`` or no dot.
    """
    dotted, equals, text = setting.partition("=")
    table, dot, key = dotted.strip().partition(".")
    if not equals or not dot or not key:
        raise ConfigError(
            f"--set {masked(setting)!r} cannot be read. Expected table.key=value, for example training.max_epochs=20."
        )
    text = text.strip()
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text
    if table == "source" and key == "path" and value:
        value = _absolute(Path(), str(value))
    return table, key, value


PLUGIN_KEYS = {
    "source": ("icudl.sources", "name"),
    "model": ("icudl.models", "name"),
    "attack": ("icudl.attacks", "name"),
    "execution": ("icudl.executors", "executor"),
}
"""Entry-point group of each table that a plug-in validates, and the key that names the plug-in."""


def _class_of(table: str, values: Mapping[str, Any]) -> type[Options]:
    """Return the options class of a table: that of the plug-in that the table names, where there is one."""
    options = TABLES[table]
    if table not in PLUGIN_KEYS:
        return options
    group, key = PLUGIN_KEYS[table]
    name = values.get(key, getattr(options(), key))
    return options_of(group, name) if isinstance(name, str) else options


def _build(table: str, values: Mapping[str, Any], origins: Mapping[str, str]) -> Options:
    options = _class_of(table, values)
    fields = {field.name: field for field in dataclasses.fields(options)}
    for key in values:
        if key not in fields:
            raise ConfigError(
                f"Unknown key {table}.{key} ({origins[f'{table}.{key}']}).{suggestion(key, fields)} "
                f"Known keys of [{table}]: {', '.join(fields)}."
            )
    hints = typing.get_type_hints(options)
    return options(**{key: convert(f"{table}.{key}", value, hints[key]) for key, value in values.items()})


def convert(key: str, value: Any, hint: Any) -> Any:
    """Return ``value`` as the annotated type: whole numbers serve as numbers, lists become tuples.

    Raises:
        ConfigError: The value is of another type.
    """
    origin = typing.get_origin(hint) or hint
    if origin is float and isinstance(value, int) and not isinstance(value, bool):
        return _as_float(key, value)
    if origin is tuple and isinstance(value, str):
        value = [value]
    if origin is tuple and isinstance(value, list | tuple):
        item = typing.get_args(hint)[0]
        return tuple(convert(key, member, item) for member in value)
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return dict(value)
    if isinstance(origin, type) and isinstance(value, origin) and not (origin is int and isinstance(value, bool)):
        return value
    expected = TOML_NAMES.get(origin, TOML_NAMES[Mapping] if origin is dict else str(hint))
    raise ConfigError(f"{key} = {masked(repr(value))} has the wrong type. Expected {expected}.")


def _as_float(key: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"{key} is a whole number of {value.bit_length()} bits. Give a smaller number.") from None
