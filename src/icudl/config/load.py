"""From TOML and ``--set`` to a ``Config``: defaults < file < command line. Every key and type is checked."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from icudl.attacks.options import AttackOptions
from icudl.config.packaged import DEFAULT, packaged_study
from icudl.config.schema import (
    BY_DEFAULT,
    FAMILIES,
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
    class_of,
)
from icudl.errors import ConfigError, suggestion
from icudl.models.outside.options import OutsideOptions, undeclared
from icudl.options import Options, masked, scheme_of, types_of
from icudl.plugins import registered
from icudl.probes.options import ProbeOptions
from icudl.proofs.options import CertifyOptions, unprovable
from icudl.variables import ALL, CATALOGUE

MODEL_PATHS = ("file", "trained_stays")

TOML_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string in quotes",
    tuple: "a list",
    Mapping: "a table",
}

PATHS = {"source": ("path",), "data": ("path",), "model": MODEL_PATHS, "models": MODEL_PATHS}
"""Keys of each table and family that are paths: a relative one starts at the file that sets it."""

_METHOD = {"model", "models", "tune_model", "tuned", "attack", "attacks", "tune_attack"}
"""Tables that say how a study goes about it. A study that names its data and none of these is the default study."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_RESERVED = ("latest",)

Entry = TypeVar("Entry")


def load_config(
    path: Path | str | None = None,
    settings: Sequence[str] = (),
    *,
    defaults: Sequence[str] = (),
    completed: bool = True,
) -> Config:
    """Read a configuration.

    A study that names its data, and says nothing of models, attacks and searches, is the default study
    (``configs/default.toml``) on that data. What it says of other tables stands.

    Args:
        path: TOML file; None for the defaults alone.
        settings: ``"table.key=value"`` texts, the value in TOML notation (quotes around strings may be left out).
        defaults: Like ``settings``, but overridden by the file.
        completed: Whether a study of data alone becomes the default study; an audit brings model and attacks itself.

    Raises:
        ConfigError: The file is missing or not TOML, or a key or value is illegal.
        PluginError: A table names a plug-in that is not installed.
    """
    tree = _Tree()
    for setting in defaults:
        tree.set(*parse_setting(setting), origin="demo")
    if path is not None:
        path = Path(path)
        tree.merge(_read_toml(path), path)
    for setting in settings:
        tree.set(*parse_setting(setting), origin="--set")
    if completed and tree.says_only_data():
        study = packaged_study(DEFAULT)
        tree.put_below(_read_toml(study), study)
    return _assemble(tree)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        # An editor may have put a byte order mark before the first character.
        return tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"Configuration file {str(path)!r} does not exist. Give --config an existing file, "
            "or write one with `icudl config init`."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Configuration file {str(path)!r} cannot be read: {error}. Expected UTF-8 text.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}. Correct the file at that place.") from error


class _Tree:
    """What was set, by table, and where each value came from, by dotted key.

    A table is addressed by its path: ``("training",)``, ``("models", "lstm")`` or ``("models", "lstm", "training")``.
    """

    def __init__(self) -> None:
        self.tables: dict[tuple[str, ...], dict[str, Any]] = {}
        self.origins: dict[str, str] = {}

    def merge(self, document: Mapping[str, Any], file: Path) -> None:
        """Add a TOML document; a relative path of data starts at its file."""
        for table, entries in document.items():
            _require_table(table, file.name)
            self._merge_table((table,), entries, file)

    def _merge_table(self, table: tuple[str, ...], entries: object, file: Path) -> None:
        if not isinstance(entries, Mapping):
            raise ConfigError(
                f"{'.'.join(table)} = {masked(repr(entries))} ({file.name}) is not a table. "
                f"Write [{'.'.join(table)}] and its keys below it."
            )
        if len(table) > 1:
            self.tables.setdefault(table, {})
        elif table[0] in FAMILIES and not entries:
            raise ConfigError(
                f"[{table[0]}] ({file.name}) is empty. Write an entry below it, [{table[0]}.NAME], or leave it out."
            )
        for key, value in cast("Mapping[str, Any]", entries).items():
            if _holds_tables(table, key):
                self._merge_table((*table, key), value, file)
            else:
                self.put(table, key, value, file.name, file.parent)

    def set(self, path: tuple[str, ...], value: Any, *, origin: str) -> None:
        """Add one value at a dotted path."""
        table, key = path[:-1], path[-1]
        if _own_table(table[:-1], table[-1], {}):
            self.put(table[:-1], table[-1], {key: value}, origin, Path())
            return
        _require_table(table[0], origin)
        for depth in range(1, len(table)):
            if not _holds_tables(table[:depth], table[depth]):
                raise ConfigError(
                    f"Unknown key {'.'.join(path)} ({origin}). [{'.'.join(table[:depth])}] has no tables."
                )
        if _holds_tables(table, key):
            raise ConfigError(f"{'.'.join(path)} ({origin}) is a table. Set one of its keys.")
        self.put(table, key, value, origin, Path())

    def put(self, table: tuple[str, ...], key: str, value: Any, origin: str, folder: Path) -> None:
        """Keep one value."""
        dotted = ".".join((*table, key))
        if key in PATHS.get(table[0], ()) and isinstance(value, str) and value:
            value = _absolute(folder, value, dotted)
        values = self.tables.setdefault(table, {})
        if own := _own_table(table, key, value):
            # A table with a name of the user's own: kept below the option that holds such tables.
            entries = values.setdefault(own, {})
            entries[key] = {**entries.get(key, {}), **value}
        else:
            values[key] = value
        self.origins[dotted] = origin

    def says_only_data(self) -> bool:
        """Tell whether a source is named, and nothing is said of models, attacks and searches."""
        said = {table[0] for table in self.tables}
        is_named = "data" in said or "name" in self.tables.get(("source",), {})
        return is_named and said.isdisjoint(_METHOD)

    def put_below(self, document: Mapping[str, Any], file: Path) -> None:
        """Add a TOML document below what was set: it gives what nothing else says."""
        below = _Tree()
        below.merge(document, file)
        for table, values in below.tables.items():
            own = self.tables.setdefault(table, {})
            for key, value in values.items():
                if key not in own:
                    own[key] = value
                    self.origins[".".join((*table, key))] = BY_DEFAULT

    def names(self, family: str) -> list[str]:
        """Return the names of a family's entries, in the order in which they were set."""
        return list(dict.fromkeys(table[1] for table in self.tables if table[0] == family and len(table) > 1))


def _require_table(table: str, origin: str) -> None:
    known = (*TABLES, *FAMILIES)
    if table not in known:
        raise ConfigError(
            f"Unknown table [{table}] ({origin}).{suggestion(table, known)} Known tables: {', '.join(known)}."
        )


def _own_table(table: tuple[str, ...], key: str, value: object) -> str:
    """Return the option that holds ``key``, a table with a name of the user's own (``[variables.crp]``); else ""."""
    shared = SHARED.get(table[-1]) if table else None
    if shared is None or shared.named is None or not isinstance(value, Mapping):
        return ""
    is_there = len(table) == 1 or (len(table) == 3 and table[0] in FAMILIES)
    known = {field.name for field in dataclasses.fields(shared)}
    return shared.named[0] if is_there and key not in known else ""


def _holds_tables(table: tuple[str, ...], key: str) -> bool:
    """Tell whether ``key`` of this table is a table of the configuration itself (not a value that is a mapping)."""
    if len(table) == 1:
        return table[0] in FAMILIES
    return len(table) == 2 and key in OVERRIDES[table[0]]


def _absolute(folder: Path, text: str, key: str) -> str:
    if scheme_of(text):
        raise ConfigError(
            f"{key} = {masked(text)!r} is an address. Expected a folder; the address of a database goes into "
            f"{key.removesuffix('path')}url."
        )
    try:
        return str((folder / Path(text).expanduser()).resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{key} = {text!r} is not a path: {error}. Give the path of the data.") from error


def parse_setting(setting: str) -> tuple[tuple[str, ...], Any]:
    """Split ``"table.key=value"`` into the dotted path and the value.

    Raises:
        ConfigError: The text has no ``=`` or no dot.
    """
    dotted, equals, text = setting.partition("=")
    path = tuple(dotted.strip().split("."))
    if not equals or len(path) < 2 or not all(path):
        raise ConfigError(
            f"--set {masked(setting)!r} cannot be read. Expected table.key=value, for example training.max_epochs=20."
        )
    text = text.strip()
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text
    return path, value


def _assemble(tree: _Tree) -> Config:
    """Make the configuration from everything that was set.

    Raises:
        ConfigError: A key, a value, a name or the study as a whole is illegal.
    """
    own, on = {}, {}
    for table in OPTIONAL:
        own[table,] = dict(tree.tables.get((table,), {}))
        on[table] = convert(f"{table}.on", own[table,].pop("on", ()), tuple[str, ...])
    shared = {table: build(table, table, (tree.tables | own).get((table,), {}), tree.origins) for table in SHARED}
    execution = build("execution", "execution", tree.tables.get(("execution",), {}), tree.origins)
    data = _entries(tree, "data", "source", DataSet, shared)
    models = _entries(tree, "models", "model", Model, shared)
    if not tree.names("attacks") and ("attack",) not in tree.tables:
        tree.tables |= _default_attack(models)
    attacks = _entries(tree, "attacks", "attack", Attack, shared)
    _require_names({"data": data, "models": models, "attacks": attacks})
    for name, attack in attacks.items():
        _require_targets(f"attacks.{name}.on", attack.on, models, data)
        key = "attack.variables" if name == MAIN else f"attacks.{name}.variables"
        _require_variables(key, attack.attack.variables, next(iter(_main_first(data).values())))
    for table in OPTIONAL:
        _require_targets(f"{table}.on", on[table], models, data)
    certify = probe = None
    if (CertifyOptions.table,) in tree.tables:
        certify = Certify(options=cast("CertifyOptions", shared[CertifyOptions.table]), on=on[CertifyOptions.table])
        _require_provable(certify, models)
        _require_variables("certify.variables", certify.options.variables, next(iter(_main_first(data).values())))
    if (ProbeOptions.table,) in tree.tables:
        probe = Probe(options=cast("ProbeOptions", shared[ProbeOptions.table]), on=on[ProbeOptions.table])
    _require_declared(models)
    _require_robust(tree, models)
    _require_pretrainable(tree, models)
    _require_read(tree, models)
    _require_offers(attacks, models)
    _require_external(tree, data)
    chosen: dict[str, Any] = {"run": shared["run"], "analysis": shared["analysis"], "report": shared["report"]}
    return Config(
        **chosen,
        execution=cast("Any", execution),
        data=_main_first(data),
        models=models,
        attacks=attacks,
        certify=certify,
        probe=probe,
        shared=shared,
        origins=tree.origins,
    )


def _entries(
    tree: _Tree, family: str, table: str, kind: type[Entry], shared: Mapping[str, Options]
) -> dict[str, Entry]:
    """Return the entries of a family; a table that stands alone (``[model]``) is the entry ``main``."""
    names = tree.names(family)
    alone = tree.tables.get((table,))
    if alone is not None and names:
        raise ConfigError(
            f"[{table}] is for a study of one; this one has [{family}.{names[0]}]. Write the keys of [{table}] in "
            f"[{family}.NAME], which has to name the {table} by a key of its own: {PLUGINS[table].family_key} = ..."
        )
    entries: dict[str, Entry] = {}
    if alone is not None or not names:
        entries[MAIN] = _entry(tree, family, (), alone or {}, table, kind, shared)
    for name in names:
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise ConfigError(
                f"{family}.{name!r} cannot be a name. Expected a letter, then letters, digits, - or _, and not "
                f"{', '.join(map(repr, _RESERVED))}."
            )
        where = (family, name)
        values = _named_plugin(tree, where, tree.tables.get(where, {}), PLUGINS[table])
        entries[name] = _entry(tree, family, where, values, table, kind, shared)
    return entries


def _named_plugin(tree: _Tree, where: tuple[str, ...], values: Mapping[str, Any], plugin: Plugin) -> dict[str, Any]:
    """Return the values of an entry with the name of its plug-in where the options classes expect it.

    Raises:
        ConfigError: The entry names no plug-in, and its own name is not that of a plug-in.
    """
    dotted, own = ".".join(where), dict(values)
    if plugin.key in own:
        raise ConfigError(
            f"Unknown key {dotted}.{plugin.key} ({tree.origins[f'{dotted}.{plugin.key}']}). "
            f"Write {plugin.family_key} = ... in [{dotted}]."
        )
    if plugin.family_key in own:
        own[plugin.key] = own.pop(plugin.family_key)
        return own
    installed = registered(plugin.group)
    if where[1] not in installed:
        raise ConfigError(
            f"[{dotted}] names no {plugin.family_key}. Write {plugin.family_key} = ... with one of "
            f"{', '.join(installed)}."
        )
    return own | {plugin.key: where[1]}


def _entry(
    tree: _Tree,
    family: str,
    where: tuple[str, ...],
    values: Mapping[str, Any],
    table: str,
    kind: type[Entry],
    shared: Mapping[str, Options],
) -> Entry:
    """Make one entry of a family from its own table, its overrides and the shared tables."""
    own = dict(values)
    parts: dict[str, Any] = {}
    dotted = ".".join(where) if where else table
    if family == "data":
        role = {"role": own.pop("role")} if "role" in own else {}
        parts["role"] = build(dotted, RoleOptions.table, role, tree.origins)
    if family == "attacks" and "on" in own:
        parts["on"] = convert(f"{dotted}.on", own.pop("on"), tuple[str, ...])
    parts[table] = build(dotted, table, own, tree.origins)
    for name in OVERRIDES[family]:
        overrides = tree.tables.get((*where, name), {}) if where else {}
        parts[name] = (
            build(f"{dotted}.{name}", name, tree.tables.get((name,), {}) | overrides, tree.origins)
            if overrides
            else shared[name]
        )
    return kind(**parts)


def _require_names(families: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that each name belongs to one data set, model or attack only.

    Raises:
        ConfigError: Two entries share a name.
    """
    owner: dict[str, str] = {}
    for family, entries in families.items():
        for name in entries:
            # Names become names of files, and some disks do not tell small letters from capital ones.
            if name != MAIN and name.casefold() in owner:
                raise ConfigError(
                    f"{owner[name.casefold()]} and {family}.{name} share a name, but a name must tell one result from "
                    "another. Rename one of them."
                )
            owner[name.casefold()] = f"{family}.{name}"


def _require_targets(key: str, on: Sequence[str], models: Mapping[str, Model], data: Mapping[str, DataSet]) -> None:
    known = [*models, *data]
    for target in on:
        if target not in known:
            raise ConfigError(
                f"{key} names {target!r}, which is neither a model nor a data set of this study."
                f"{suggestion(target, known)} Models: {', '.join(models)}; data sets: {', '.join(data)}."
            )


def _require_variables(key: str, names: Sequence[str], data: DataSet) -> None:
    """Check names of variables that may change: with an unknown one nothing could, and no prediction would flip.

    Raises:
        ConfigError: The main data set is not asked for one of them.
    """
    asked = data.variables.use if data.variables.use != (ALL,) else tuple(CATALOGUE)
    known = list(dict.fromkeys((*asked, *data.variables.own)))
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{key} names {name!r}, which is no variable of this study.{suggestion(name, known)} "
                f"Variables: {', '.join(known)}."
            )


def _require_provable(certify: Certify, models: Mapping[str, Model]) -> None:
    """Check that something can be proved about the models that [certify] concerns.

    Raises:
        ConfigError: A model is of a kind that proofs do not reach.
    """
    for name, entry in models.items():
        reason = unprovable(entry.model, certify.options.threat_model) if certify.concerns(name, models) else ""
        if reason:
            raise ConfigError(f"[certify] concerns the model {name!r}. {reason}")


def _require_declared(models: Mapping[str, Model]) -> None:
    """Check that models from outside say what nobody else can know, and are not searched over.

    Raises:
        ConfigError: Something is missing.
    """
    for name, entry in models.items():
        if not isinstance(entry.model, OutsideOptions):
            continue
        where = f"models.{name}" if name != MAIN else "model"
        problem = undeclared(where, entry.model)
        if not problem and entry.tune_model.trials:
            problem = f"{where} is a model from outside, which has nothing to search. Set tune_model.trials = 0 for it."
        if problem:
            raise ConfigError(problem)


def _require_robust(tree: _Tree, models: Mapping[str, Model]) -> None:
    """Check that a model which has a table of robust training of its own can be trained so.

    Raises:
        ConfigError: It does not learn in epochs.
    """
    for name, entry in models.items():
        where = _of_model(name, models, "robust")
        if where in tree.tables and entry.robust.active and not entry.model.learns_in_epochs:
            raise ConfigError(
                f"[{'.'.join(where)}] is set, but {entry.model.name!r} does not learn in epochs, in which records "
                "could be altered. Leave the table out, or choose a network."
            )


def _of_model(name: str, models: Mapping[str, Model], table: str) -> tuple[str, ...]:
    """Return where a table that concerns one model alone stands: at the root in a study of one unnamed model."""
    return (table,) if name == MAIN and len(models) == 1 else ("models", name, table)


def _require_pretrainable(tree: _Tree, models: Mapping[str, Model]) -> None:
    """Check that a model which has a table of pretraining of its own can be pretrained.

    Raises:
        ConfigError: It has no recurrent layers.
    """
    for name, entry in models.items():
        where = _of_model(name, models, "pretrain")
        if where in tree.tables and entry.pretrain.active and not entry.model.pretrainable:
            raise ConfigError(
                f"[{'.'.join(where)}] is set, but {entry.model.name!r} has no recurrent layers, which alone can be "
                "pretrained. Leave the table out, or choose lstm, gru, lstm_summary or gru_summary."
            )


def _require_read(tree: _Tree, models: Mapping[str, Model]) -> None:
    """Check that a model reads what its own tables set; a shared table may hold more (``Config.unread``).

    Raises:
        ConfigError: A value would do nothing.
    """
    for name, entry in models.items():
        for table, keys in entry.model.READS.items():
            where = ".".join(("models", name, table))
            idle = [key for key in tree.tables.get(("models", name, table), {}) if key not in keys]
            if idle:
                raise ConfigError(
                    f"{where}.{idle[0]} ({tree.origins[f'{where}.{idle[0]}']}) does nothing: {entry.model.name!r} does "
                    f"not read it. Leave it out. Of [{table}] it reads {', '.join(keys)}."
                )


def _default_attack(models: Mapping[str, Model]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the attack of a study that names none, where the usual one cannot be run on all of its models."""
    usual = AttackOptions()
    if all(entry.model.differentiable and entry.model.imputed for entry in models.values()):
        return {}
    return {("attack",): {"name": "greedy" if usual.needs_gradient else usual.name, "threat_model": "measured"}}


def _require_offers(attacks: Mapping[str, Attack], models: Mapping[str, Model]) -> None:
    """Check that every model offers what the attacks on it need.

    Raises:
        ConfigError: An attack needs a gradient, or the filled-in grid, and a model that it concerns has none.
    """
    for name, entry in attacks.items():
        attack = entry.attack
        for model, options in ((key, each.model) for key, each in models.items() if entry.concerns(key, models)):
            where = f"attacks.{name}" if name != MAIN else "attack"
            who = f"the model {options.name!r}" if model == MAIN else f"models.{model} ({options.name})"
            able = [
                key
                for key, each in models.items()
                if (each.model.differentiable or not attack.needs_gradient)
                and (each.model.imputed or attack.threat_model != "grid")
                and (each.model.piecewise or not attack.needs_pieces)
            ]
            choose = f" Or name the models that it is for: {where}.on = {json.dumps(able)}." if able else ""
            if attack.needs_gradient and not options.differentiable:
                raise ConfigError(
                    f"{where} uses {attack.name!r}, which needs a gradient; {who} offers none. Use greedy, sweep, "
                    f"entry_errors or noise, which need scores alone.{choose}"
                )
            if attack.needs_pieces and not options.piecewise:
                raise ConfigError(
                    f"{where} uses {attack.name!r}, which needs a model that says where its score jumps or bends; "
                    f"{who} does not. Use sweep, which needs scores alone.{choose}"
                )
            if attack.threat_model == "grid" and not options.imputed:
                raise ConfigError(
                    f'{where}.threat_model = "grid" changes the filled-in grid; {who} reads charted values with their '
                    f'gaps. Set {where}.threat_model = "measured".{choose}'
                )


def _require_external(tree: _Tree, data: Mapping[str, DataSet]) -> None:
    """Check that external data sets can be scored by models of the main one.

    Raises:
        ConfigError: An external data set has a window of another length, or sets options of a split.
    """
    hours = {entry.window.hours for entry in data.values() if entry.role.role == "main"}
    for name, entry in data.items():
        if entry.role.role != "external":
            continue
        if ("data", name, "split") in tree.tables:
            raise ConfigError(
                f"[data.{name}.split] is set, but an external data set is not divided: all its stays are scored by the "
                "final models. Leave the table out."
            )
        if hours and entry.window.hours not in hours:
            raise ConfigError(
                f"data.{name}.window.hours = {entry.window.hours}, but models are fitted on {min(hours)} hours of the "
                "main data set. Give both the same window."
            )


def _main_first(data: Mapping[str, DataSet]) -> dict[str, DataSet]:
    mains = [name for name, entry in data.items() if entry.role.role == "main"]
    if MAIN in data and MAIN not in mains:
        raise ConfigError(
            f'data.{MAIN} has role = "external", but {MAIN!r} is what a main data set without a name is called. '
            "Give the external data set another name."
        )
    if len(mains) != 1:
        found = " and ".join(f"data.{name}" for name in mains) or "none"
        raise ConfigError(
            f"A study has one main data set, on which models are fitted; here: {found}. "
            'Give every other data set role = "external".'
        )
    return {mains[0]: data[mains[0]]} | dict(data)


def build(where: str, table: str, values: Mapping[str, Any], origins: Mapping[str, str]) -> Options:
    """Make the options of one table.

    Args:
        where: Dotted name of the table in the configuration, for messages.
        table: Kind of table (``Options.table``).
        values: What was set.
        origins: Where each value came from, by dotted key.

    Raises:
        ConfigError: A key is unknown, or a value has the wrong type, is out of range or is not among the choices.
    """
    options = class_of(table, values)
    fields = {field.name: field for field in dataclasses.fields(options)}
    known = _legal(where, table, fields)
    for key in values:
        if key not in fields:
            origin = origins.get(f"{where}.{key}", "")
            raise ConfigError(
                f"Unknown key {where}.{key}{f' ({origin})' if origin else ''}.{suggestion(key, known)} "
                f"Known keys of [{where}]{_of_plugin(table, values)}: {', '.join(known)}."
            )
    hints = types_of(options)
    converted = {
        key: convert(f"{where}.{_spelled(where, table, key)}", value, hints[key]) for key, value in values.items()
    }
    return options.checked(where, converted)


def _of_plugin(table: str, values: Mapping[str, Any]) -> str:
    if table not in PLUGINS:
        return ""
    plugin = PLUGINS[table]
    return f" for the {plugin.kind} {values.get(plugin.key, plugin.default)!r}"


def _legal(where: str, table: str, fields: Collection[str]) -> list[str]:
    """Return the keys that a table may hold; an entry of a family has some that are none of its plug-in's options."""
    if table not in PLUGINS:
        return [*fields, *(["on"] if table == CertifyOptions.table else [])]
    plugin = PLUGINS[table]
    more = {"source": ["role"], "attack": ["on"]}.get(table, [])
    if "." not in where:
        return [*fields, *more]
    return [*(_spelled(where, table, key) for key in fields), *more, *OVERRIDES[plugin.family]]


def _spelled(where: str, table: str, key: str) -> str:
    """Return a key as the table spells it: an entry of a family names its plug-in by the family's key."""
    if table in PLUGINS and "." in where and key == PLUGINS[table].key:
        return PLUGINS[table].family_key
    return key


def convert(key: str, value: Any, hint: Any) -> Any:
    """Return ``value`` as the annotated type: whole numbers serve as numbers, lists become tuples.

    Raises:
        ConfigError: The value has another type.
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
