"""Cleaning rules as data: item ids, units, gates and repairs of a database, compiled to polars.

One rule book drives every reader of a database, so the file reader and the SQL cannot drift apart. A conversion is
always ``(value - offset) / divisor`` in float64 and every comparison is inclusive: IEEE arithmetic then gives the same
bits in every engine (``docs/decisions``).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import polars as pl

from icudl.artifacts import HOURS_SCHEMA
from icudl.errors import ConfigError, SourceError, suggestion
from icudl.variables import Variable

TABLES: tuple[str, ...] = ("chartevents", "labevents", "outputevents")
"""Event tables that a rule may read."""

MOST_ITEMS = 1024
"""Items that one rule book may have."""

AMOUNT_SCALE = 1_000_000
"""Values are summed as whole millionths of their unit, so that no sum depends on its order."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit other than the canonical one: ``canonical = (value - offset) / divisor``."""

    name: str
    offset: float
    divisor: float


CANONICAL = Unit(name="canonical", offset=0.0, divisor=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
    """The numbers from ``low`` to ``high``, both inclusive."""

    low: float
    high: float


EVERYTHING = Span(low=-math.inf, high=math.inf)
NOTHING = Span(low=math.inf, high=-math.inf)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ItemRule:
    """How the rows of some items are read, and how their values are cleaned.

    Attributes:
        variable: Name of the variable they measure.
        table: Event table that holds them (``TABLES``).
        items: Item ids.
        unit: Unit in which the items are filed.
        gate: Values outside it are dropped before conversion, in the filed unit.
        repair: Values inside it were filed in ``repair_unit`` instead; they skip the gate.
        repair_unit: The unit of repaired values.
        why: Why these items are this variable, in a sentence; "" where the file says it in a comment.
    """

    variable: str
    table: str
    items: tuple[int, ...]
    unit: Unit = CANONICAL
    gate: Span = EVERYTHING
    repair: Span = NOTHING
    repair_unit: Unit = CANONICAL
    # Changes no value, so it is no part of the digest.
    why: str = dataclasses.field(default="", repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class RuleBook:
    """All rules of one database.

    Attributes:
        rules: In the order of the file.
        digest: SHA-256 of the rules. It is part of a source's fingerprint, because other rules give other tables.
    """

    rules: tuple[ItemRule, ...]
    digest: str

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables that have a rule, in the order of the file."""
        return tuple(dict.fromkeys(rule.variable for rule in self.rules))

    def with_items(self, items: Mapping[str, Any]) -> RuleBook:
        """Return the book with other item ids for some variables.

        Args:
            items: Lists of item ids by variable. An id that the book knows keeps its table, unit, gate and repair,
                whatever variable it had; any other is in the variable's own table and unit.

        Raises:
            ConfigError: A variable has no rule, an entry is no list of ids or names one twice, or there are too many.
        """
        if not items:
            return self
        rules = [rule for rule in self.rules if rule.variable not in items]
        for variable, ids in items.items():
            if variable not in self.variables:
                raise ConfigError(
                    f"source.items names {variable!r}, which has no rule.{suggestion(variable, self.variables)} "
                    f"Known: {', '.join(self.variables)}."
                )
            if not isinstance(ids, list | tuple) or not ids or not all(map(_is_item, ids)):
                raise ConfigError(f"source.items.{variable} = {ids!r}. Give a list of item ids.")
            if len(set(ids)) < len(ids):
                raise ConfigError(f"source.items.{variable} = {ids!r} names an item twice. Name it once.")
            rules += [self._rule_of(variable, item) for item in ids]
        if sum(len(rule.items) for rule in rules) > MOST_ITEMS:
            raise ConfigError(f"source.items makes more than {MOST_ITEMS} items. Name fewer.")
        return RuleBook.of(rules)

    def require_one_variable_an_item(self, variables: Sequence[Variable]) -> None:
        """Check that no item measures two of the requested variables; other variables may share items.

        Raises:
            ConfigError: An item measures two of these variables.
        """
        asked, owner = {variable.name for variable in variables}, dict[int, str]()
        for rule in (rule for rule in self.rules if rule.variable in asked):
            for item in rule.items:
                if owner.setdefault(item, rule.variable) != rule.variable:
                    raise ConfigError(
                        f"Item {item} measures {owner[item]} and {rule.variable}, and variables.use names both. "
                        "Expected one variable per item: leave out one of the two, or change source.items."
                    )

    def tables_of(self, variable: str) -> tuple[str, ...]:
        """Return the event tables that a variable is read from; empty if it has no rule."""
        return tuple(dict.fromkeys(rule.table for rule in self.rules if rule.variable == variable))

    def _rule_of(self, variable: str, item: int) -> ItemRule:
        for rule in self.rules:
            if item in rule.items:
                return dataclasses.replace(rule, variable=variable, items=(item,))
        table = next(rule.table for rule in self.rules if rule.variable == variable)
        return ItemRule(variable=variable, table=table, items=(item,))

    @classmethod
    def of(cls, rules: Sequence[ItemRule]) -> RuleBook:
        """Return the book of these rules."""
        return cls(tuple(rules), hashlib.sha256(repr(tuple(rules)).encode()).hexdigest())

    def table(self, variables: Sequence[Variable], table: str) -> pl.DataFrame:
        """Return one row per item of one event table, for the variables asked for (``RULE_COLUMNS``).

        A variable that the database does not measure has no row.
        """
        index = {variable.name: position for position, variable in enumerate(variables)}
        coded = enumerate((rule, item) for rule in self.rules for item in rule.items)
        rows = [
            _row(item, code, index[rule.variable], rule, variables[index[rule.variable]])
            for code, (rule, item) in coded
            if rule.table == table and rule.variable in index
        ]
        return pl.DataFrame(rows, schema=RULE_COLUMNS, orient="row").sort("item")


def _is_item(value: object) -> bool:
    """Tell whether a value can be an item id: event tables hold them in 32 bits."""
    return type(value) is int and 0 <= value < 2**31


RULE_COLUMNS: Mapping[str, type[pl.DataType]] = {
    "item": pl.Int64,
    "code": pl.Int16,  # of the item among all items of the book
    "variable": pl.UInt8,
    "gate_low": pl.Float64,
    "gate_high": pl.Float64,
    "unit_offset": pl.Float64,
    "unit_divisor": pl.Float64,
    "repair_low": pl.Float64,
    "repair_high": pl.Float64,
    "repair_offset": pl.Float64,
    "repair_divisor": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}
"""A rule as a row of numbers, which every engine joins to the events by item id."""


def _row(item: int, code: int, index: int, rule: ItemRule, variable: Variable) -> tuple[Any, ...]:
    return (
        item,
        code,
        index,
        rule.gate.low,
        rule.gate.high,
        rule.unit.offset,
        rule.unit.divisor,
        rule.repair.low,
        rule.repair.high,
        rule.repair_unit.offset,
        rule.repair_unit.divisor,
        float(variable.low),
        float(variable.high),
    )


# Expressions over a frame that has the rule columns and a finite ``value`` (float64).


def is_repaired() -> pl.Expr:
    """Return whether a value was filed in another unit and is converted from it."""
    return pl.col("value").is_between("repair_low", "repair_high")


def is_gated() -> pl.Expr:
    """Return whether a value is dropped before conversion."""
    return ~is_repaired() & ~pl.col("value").is_between("gate_low", "gate_high")


def is_converted() -> pl.Expr:
    """Return whether a value is converted from the unit of its item."""
    return ~is_repaired() & ((pl.col("unit_offset") != 0) | (pl.col("unit_divisor") != 1))


def canonical() -> pl.Expr:
    """Return the value in the variable's unit."""
    offset = pl.when(is_repaired()).then("repair_offset").otherwise("unit_offset")
    divisor = pl.when(is_repaired()).then("repair_divisor").otherwise("unit_divisor")
    return (pl.col("value") - offset) / divisor


def is_implausible(canonical_value: pl.Expr) -> pl.Expr:
    """Return whether a value in the variable's unit lies outside the plausible range."""
    return ~canonical_value.is_between("low", "high")


def amount(canonical_value: pl.Expr) -> pl.Expr:
    """Return a value as whole ``AMOUNT_SCALE`` parts of its unit (int64), clipped to the plausible range."""
    return (canonical_value.clip("low", "high") * AMOUNT_SCALE + 0.5).floor().cast(pl.Int64)


def means(sums: pl.DataFrame) -> pl.DataFrame:
    """Return ``HOURS_SCHEMA`` rows of stay_id, hour, variable, total (sum of amounts) and count.

    A mean is one division of two whole numbers: the same bits in every engine.
    """
    mean = pl.col("total").cast(pl.Float64) / (pl.col("count").cast(pl.Int64) * AMOUNT_SCALE)
    return sums.with_columns(mean=mean).select(pl.col(column).cast(dtype) for column, dtype in HOURS_SCHEMA.items())


@functools.cache
def mimic3_rules() -> RuleBook:
    """Return the rules of MIMIC-III (``mimic3/rules.toml``)."""
    return parse(resources.files("icudl.sources.mimic3").joinpath("rules.toml").read_text("utf-8"), "mimic3/rules.toml")


@functools.cache
def mimic4_rules() -> RuleBook:
    """Return the rules of MIMIC-IV (``mimic4/rules.toml``)."""
    return parse(resources.files("icudl.sources.mimic4").joinpath("rules.toml").read_text("utf-8"), "mimic4/rules.toml")


def parse(text: str, name: str) -> RuleBook:
    """Read a rule book.

    Args:
        text: TOML with tables ``units`` and ``variables``; ``mimic3/rules.toml`` is the example.
        name: Name of the file, for messages.

    Raises:
        SourceError: The text is not TOML, a key or unit is unknown, a number is missing, or an item has two rules.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{name} is not valid TOML: {error}. Correct the rules file.") from error
    reader = _Reader(name, {})
    reader.keys("", content, {"units", "variables"})
    for unit, numbers in content.get("units", {}).items():
        reader.units[unit] = reader.unit(unit, numbers)
    rules = tuple(
        rule for variable, entry in content.get("variables", {}).items() for rule in reader.variable(variable, entry)
    )
    _check_unique(name, rules)
    return RuleBook.of(rules)


def _check_unique(name: str, rules: Sequence[ItemRule]) -> None:
    owner: dict[int, str] = {}
    if sum(len(rule.items) for rule in rules) > MOST_ITEMS:
        raise SourceError(f"{name} has more than {MOST_ITEMS} items. Leave out some.")
    for rule in rules:
        for item in rule.items:
            if item in owner:
                raise SourceError(
                    f"{name}: item {item} is named by {owner[item]} and {rule.variable}. "
                    "An item measures one variable in one unit: name it once."
                )
            owner[item] = rule.variable


@dataclasses.dataclass(frozen=True)
class _Reader:
    name: str
    units: dict[str, Unit]

    def keys(self, where: str, entry: Mapping[str, Any], known: set[str]) -> None:
        for key in entry:
            if key not in known:
                raise SourceError(
                    f"{self.name}: unknown key {where + '.' if where else ''}{key}."
                    f"{suggestion(key, known)} Known: {', '.join(sorted(known))}."
                )

    def number(self, where: str, entry: Mapping[str, Any], key: str) -> float:
        value = entry.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise SourceError(f"{self.name}: {where}.{key} = {value!r} is not a number. Give a finite number.")
        return float(value)

    def unit(self, unit: str, entry: Mapping[str, Any]) -> Unit:
        where = f"units.{unit}"
        self.keys(where, entry, {"offset", "divisor"})
        divisor = self.number(where, entry, "divisor")
        if divisor <= 0:
            raise SourceError(f"{self.name}: {where}.divisor = {divisor!r}. Give a number above 0.")
        return Unit(name=unit, offset=self.number(where, entry, "offset"), divisor=divisor)

    def named_unit(self, where: str, name: str) -> Unit:
        if name not in self.units:
            raise SourceError(
                f"{self.name}: {where} names the unit {name!r}.{suggestion(name, self.units)} "
                f"Known: {', '.join(self.units)}."
            )
        return self.units[name]

    def span(self, where: str, entry: Mapping[str, Any]) -> Span:
        span = Span(low=self.number(where, entry, "from"), high=self.number(where, entry, "to"))
        if span.low > span.high:
            raise SourceError(
                f"{self.name}: {where} runs from {span.low} to {span.high}. Put the smaller number first."
            )
        return span

    def variable(self, variable: str, entry: Mapping[str, Any]) -> list[ItemRule]:
        where = f"variables.{variable}"
        self.keys(where, entry, {"table", "items", "why"})
        why = entry.get("why", "")
        if not isinstance(why, str):
            raise SourceError(f"{self.name}: {where}.why = {why!r} is not text. Give a sentence.")
        if entry.get("table") not in TABLES:
            raise SourceError(f"{self.name}: {where}.table = {entry.get('table')!r}. Choose from {', '.join(TABLES)}.")
        rules = [self.item(where, variable, entry["table"], item) for item in entry.get("items", [])]
        return [dataclasses.replace(rule, why=why) for rule in rules]

    def item(self, where: str, variable: str, table: str, entry: Mapping[str, Any]) -> ItemRule:
        where = f"{where}.items"
        self.keys(where, entry, {"ids", "unit", "gate", "repair"})
        ids = entry.get("ids")
        if not isinstance(ids, list) or not ids or not all(isinstance(item, int) for item in ids):
            raise SourceError(f"{self.name}: {where}.ids = {ids!r}. Give a list of item ids.")
        rule = ItemRule(variable=variable, table=table, items=tuple(ids))
        if "unit" in entry:
            rule = dataclasses.replace(rule, unit=self.named_unit(f"{where}.unit", entry["unit"]))
        if "gate" in entry:
            self.keys(f"{where}.gate", entry["gate"], {"from", "to"})
            rule = dataclasses.replace(rule, gate=self.span(f"{where}.gate", entry["gate"]))
        if "repair" in entry:
            repair = entry["repair"]
            self.keys(f"{where}.repair", repair, {"from", "to", "unit"})
            unit = self.named_unit(f"{where}.repair.unit", repair.get("unit", ""))
            rule = dataclasses.replace(rule, repair=self.span(f"{where}.repair", repair), repair_unit=unit)
        return rule
