"""The configuration: a TOML file and ``--set`` texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decisions import Decisions
from target import Target, seeds_of

from icudl.config.document import to_document, to_toml
from icudl.config.load import load_config
from icudl.config.schema import SHARED, TABLES, Config
from icudl.options import Options
from icudl.pipeline.graph import build_graph
from icudl.pipeline.stages import options_of_tables
from icudl.search.space import parse_space
from icudl.sources.rules import TABLES as EVENT_TABLES
from icudl.sources.rules import mimic3_rules
from icudl.store.manifest import Identity

DEFAULT = load_config()
OPTIONS = {table: getattr(DEFAULT, table) or SHARED[table]() for table in TABLES}
"""Options of each table; of those that the default study leaves out, their defaults."""
KEYS = tuple((table, field.name) for table, options in OPTIONS.items() for field in dataclasses.fields(options))
DOCUMENT = to_document(DEFAULT).encode()

TABLE = b"""
[data.main]
source = "synthetic"
[data.elsewhere]
source = "synthetic"
role = "external"
seed = 7
[models.lstm]
hidden_size = 8
[models.gru]
training.max_epochs = 3
tune_model.trials = 2
[attacks.fewest]
attack = "greedy"
[attacks.any_cell]
attack = "proximal"
on = ["main", "gru"]
tune_attack.stays = 6
"""
"""A study of several data sets, models and attacks."""

ENTRIES = (
    "data.main", "data.elsewhere", "models.lstm", "models.gru", "models.gru.training", "models.lstm.tune_model",
    "attacks.fewest", "attacks.any_cell", "attacks.any_cell.tune_attack", "data.elsewhere.cohort", "data.elsewhere",
    "models", "data", "attacks.main", "models.latest", "models.main", "attacks.lstm", "models.lstm.attack",
    "models.'x/y'", "data.third", "models.gru.training.x", "model", "source",
)  # fmt: skip
"""Tables of that study, and of others that are none."""

ENTRY_KEYS = (
    "source", "model", "attack", "role", "on", "name", "hidden_size", "seed", "patients", "path", "trials", "space",
    "max_epochs", "kappa", "iterations", "training", "min_age", "window",
)  # fmt: skip

VALUES: tuple[bytes, ...] = (
    b"1", b"0", b"-1", b"2.5", b"1e400", b"-0.0", b"nan", b"inf", b"true", b'""', b'"x"', b"[]", b"{}", b"[1]",
    b'["all"]', b"1" + b"0" * 30, b"9" * 400, b"1" * 5000, b"0x7fffffffffffffff", b"1979-05-27",
    b"1979-05-27T07:32:00Z", b"07:32:00",
    b'"""a\nb"""', b"'C:\\x'", b'"\\u0000"', b'"~nobody/x"', b'"~"', b'"\xc3\xa9"', b"\xff", b'["potassium", "ph"]',
    b'["ph", "ph"]', b"[[1], [2]]", b"[nan]", b"[1, 'x']", b"[" * 3000, b"{a = " * 1500, b"{ potassium = [2, 10] }",
    b"{ potassium = [nan, 10] }", b"{ potassium = 1979-05-27 }", b"{ potassium = [50822, 50971] }", b"{ '' = 1 }",
    b"{ potassium = [true] }", b"{ potassium = { a = inf } }", b"{ potassium = [99999999999999999999] }",
    b"{ 'model.hidden_size' = { low = 1, high = 9, log = true } }", b"{ 'model.dropout' = { low = 0, high = nan } }",
    b"{ 'attack.kappa' = { low = 0, high = 2, step = 'x' } }", b"{ 'attack.kappa' = { choices = [1, 2] } }",
    b"{ 'attack.optimizer' = { choices = ['x'] } }", b"{ 'attack.norm' = { low = 0, high = 1 } }",
    b"{ 'model.hidden_size' = { low = 8, high = 9, step = 0 } }", b"{ 'inputs.channels' = { choices = ['value'] } }",
    b"{ 'attack.budgets' = { choices = [1] } }", b"{ 'attack.kappa' = { low = 0, high = 1e999 } }",
    b'"postgresql://u:p@h/d"', b'"auto"', b'"lstm"', b'"synthetic"', b'"mimic3"', b'"nobody"',
    b'"gru"', b'"greedy"', b'"external"', b'"main"', b'["main"]', b'["elsewhere", "gru"]', b'["nobody"]', b'[""]',
)  # fmt: skip
TOKENS = (
    *VALUES,
    b"=",
    b"[",
    b"]",
    b"[[",
    b"#",
    b".",
    b"\n",
    b"\r",
    b"\0",
    b"[attack]",
    b"[models.lstm]\n",
    b"[data.x]\n",
    b"[attacks.x.tune_attack]\n",
    b"[run]\n",
    b'"',
    b"'''",
    b"\\",
)


def _document(decisions: Decisions) -> bytes:
    """A few assignments, the whole document or a table with a few places changed, or whatever comes."""
    kind = decisions.below(8)
    if kind < 3:
        return _table(decisions)
    if kind == 7:
        return decisions.rest()
    if kind == 6:
        start = decisions.below(len(DOCUMENT))
        return decisions.spoilt(DOCUMENT[start : start + 600], TOKENS)
    lines = []
    for _ in range(1 + decisions.below(4)):
        table, key = decisions.of(KEYS)
        if decisions.one_in(16):
            table = decisions.of(("", "atack", "'x y'", "run.seed", "origins"))
        if decisions.one_in(16):
            key = decisions.of(("", "kapa", '"x.y"', "seed.low", "table"))
        lines.append(f"{table}.{key} = ".encode() + _value(table, key, decisions))
    text = b"\n".join(lines)
    return decisions.spoilt(text, TOKENS, most=1) if decisions.one_in(4) else text


def _table(decisions: Decisions) -> bytes:
    """A study of several of each with a few keys more, fewer or other."""
    lines = TABLE.split(b"\n")
    for _ in range(decisions.below(3)):
        place = decisions.below(len(lines))
        if decisions.one_in(2):
            del lines[place]
        else:
            lines.insert(place, decisions.of(ENTRY_KEYS).encode() + b" = " + decisions.of(VALUES))
    for _ in range(decisions.below(3)):
        lines.insert(0, f"{decisions.of(ENTRIES)}.{decisions.of(ENTRY_KEYS)} = ".encode() + decisions.of(VALUES))
    text = b"\n".join(lines)
    return decisions.spoilt(text, TOKENS, most=1) if decisions.one_in(4) else text


def _value(table: str, key: str, decisions: Decisions) -> bytes:
    """The default, or a value of any type."""
    if decisions.one_in(3) or (table, key) not in KEYS:
        return decisions.of(VALUES)
    return to_toml(getattr(OPTIONS[table], key)).encode()


def _setting(decisions: Decisions) -> str:
    table, key = decisions.of(KEYS)
    text = f"{table}.{key}=".encode() + _value(table, key, decisions)
    if decisions.one_in(4):
        text = decisions.spoilt(text, TOKENS, most=1)
    return text.decode("utf-8", "surrogateescape")


def _used(config: Config) -> None:
    """Ask of a configuration what a run asks before any work is done."""
    for node in build_graph(config).values():
        tables = options_of_tables(node.tables)
        identity = Identity(
            node=node.key.stage, stage_version=1, options=tables, upstream={}, plugin="", seed=config.run.seed
        )
        assert len(identity.id) == 12
    for entry in config.data.values():
        items = entry.source.to_dict().get("items", {})
        rules, chosen = mimic3_rules().with_items(items), entry.variables.chosen()
        mapped = sum(rules.table(chosen, table).height for table in EVENT_TABLES)
        assert mapped <= sum(len(rule.items) for rule in rules.rules)
    for model in config.models.values():
        tables = {"inputs": model.inputs, "model": model.model, "training": model.training}
        _require_drawn("tune_model", model.tune_model.space or model.model.SPACE, tables)
    for attack in config.attacks.values():
        _require_drawn("tune_attack", attack.tune_attack.space or attack.attack.SPACE, {"attack": attack.attack})


def _require_drawn(table: str, space: Mapping[str, Any], tables: Mapping[str, Options]) -> None:
    for dimension in parse_space(table, space, tables):
        dimension.distribution()


def feed(data: bytes, folder: Path) -> None:
    """Load, write, load again: the two must be equal, and a run must be able to ask what it asks."""
    decisions = Decisions(data)
    settings = [_setting(decisions) for _ in range(decisions.below(3))]
    file = folder / "study.toml"
    file.write_bytes(_document(decisions))
    config = load_config(file, settings)
    again = folder / "again.toml"
    again.write_text(to_document(config), "utf-8")
    assert load_config(again) == config
    _used(config)


TARGET = Target("config", feed, seeds_of(24))
