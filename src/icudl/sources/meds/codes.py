"""What codes mean: which variable, in which unit, cleaned how."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from icudl.errors import ConfigError, SourceError, suggestion
from icudl.sources.meds.ready import EVENTS, Patterns, Ready
from icudl.sources.rules import CANONICAL, EVERYTHING, MOST_ITEMS, NOTHING, ItemRule, RuleBook, Unit
from icudl.sources.table import units
from icudl.sources.table.units import Conversion
from icudl.variables import CATALOGUE, Variable

ANY = "*"
SEPARATOR = "//"
NO_UNIT = "UNK"
"""What both ETLs write where there is no unit."""

_TABLE = "events"


@dataclasses.dataclass(frozen=True)
class Series:
    """Codes of one variable.

    Attributes:
        pattern: A code, or the beginning of codes with a * behind it.
        rule: How their values are cleaned; its items are of no meaning here.
        is_own: Whether the configuration names it.
        stated: Unit that the configuration states for it; None if it states none.
    """

    pattern: str
    rule: ItemRule
    is_own: bool = False
    stated: Conversion | None = None


@dataclasses.dataclass(frozen=True)
class Found:
    """The codes of some data that measure the requested variables.

    Attributes:
        book: One rule a code; items are positions in ``codes``.
        codes: The codes.
        warnings: What was guessed about units, in sentences.
    """

    book: RuleBook
    codes: tuple[str, ...]
    warnings: tuple[str, ...]

    def numbered(self) -> pl.DataFrame:
        """Return code and item."""
        return pl.DataFrame({"code": self.codes, "item": range(len(self.codes))}, schema_overrides={"item": pl.Int32})


@dataclasses.dataclass(frozen=True)
class CodeTable:
    """What the codes of an ETL mean.

    Attributes:
        series: The codes of the variables.
        events: Patterns of the events that make stays, by name (``ready.EVENTS``).
        trusts_units: See ``Ready.trusts_units``.
    """

    series: tuple[Series, ...]
    events: Mapping[str, Patterns]
    trusts_units: bool

    @property
    def variables(self) -> frozenset[str]:
        """Names of the variables that have codes."""
        return frozenset(each.rule.variable for each in self.series)

    @property
    def digest(self) -> str:
        """SHA-256 of the table and of the conversions of units: others give other tables."""
        return hashlib.sha256(
            repr((self.series, dict(self.events), self.trusts_units, units.DIGEST)).encode()
        ).hexdigest()

    def found(self, codes: Iterable[str], variables: Sequence[Variable]) -> Found:
        """Look for the codes of the requested variables.

        Args:
            codes: The codes of the data.
            variables: The requested variables.

        Raises:
            ConfigError: A code measures two of the variables.
            SourceError: There are more codes than a reader can tell apart.
        """
        asked = {variable.name for variable in variables}
        exact: dict[str, list[Series]] = {}
        begins: dict[str, list[Series]] = {}
        for each in self.series:
            if each.rule.variable in asked:
                place = begins if each.pattern.endswith(ANY) else exact
                place.setdefault(each.pattern.removesuffix(ANY), []).append(each)
        lengths = sorted({len(beginning) for beginning in begins}, reverse=True)
        rules: list[ItemRule] = []
        matched: list[str] = []
        guesses = _Guesses()
        for code in sorted(set(codes)):
            series = exact.get(code) or next(
                (begins[code[:length]] for length in lengths if code[:length] in begins), None
            )
            if series is None:
                continue
            owners = list(dict.fromkeys(each.rule.variable for each in series))
            if len(owners) > 1:
                raise ConfigError(
                    f"The code {code!r} measures {owners[0]} and {owners[1]}, and variables.use names both. Expected "
                    "one variable per code: leave out one of the two, or change source.codes."
                )
            rule = self._in_unit_of(code, series[0], guesses)
            rules.append(dataclasses.replace(rule, table=_TABLE, items=(len(matched),)))
            matched.append(code)
        if len(matched) > MOST_ITEMS:
            raise SourceError(
                f"{len(matched)} codes measure the chosen variables; a reader can tell {MOST_ITEMS} apart. Choose "
                "fewer variables, or name their codes in source.codes."
            )
        return Found(RuleBook.of(rules), tuple(matched), guesses.sentences())

    def _in_unit_of(self, code: str, series: Series, guesses: _Guesses) -> ItemRule:
        """Return the rule for the unit in which a code is filed."""
        rule = series.rule
        if series.stated is not None:
            return _converted(rule, series.stated)
        written = _written_unit(code, series.pattern)
        known = units.conversion(rule.variable, written) if written else None
        if not self.trusts_units and not series.is_own:
            return rule
        if known is not None:
            # The rule's gate and repair hold for its own unit.
            same = (known.offset, known.divisor) == (rule.unit.offset, rule.unit.divisor)
            return rule if same else _converted(rule, known)
        if series.is_own:
            guesses.assumed.append(f"{code} ({rule.variable}, {units.canonical_unit(rule.variable).unit})")
        elif written:
            guesses.unknown.append(f"{written!r} of {code}")
        return rule


@dataclasses.dataclass
class _Guesses:
    assumed: list[str] = dataclasses.field(default_factory=list)
    unknown: list[str] = dataclasses.field(default_factory=list)

    def sentences(self) -> tuple[str, ...]:
        told = []
        if self.assumed:
            told.append(f"No unit is stated, the catalogue's is taken: {', '.join(self.assumed[:40])}.")
        if self.unknown:
            told.append(f"Units that are not known, the item's own is taken: {', '.join(self.unknown[:20])}.")
        return tuple(told)


def _converted(rule: ItemRule, unit: Conversion) -> ItemRule:
    filed = Unit(name=unit.unit, offset=unit.offset, divisor=unit.divisor) if unit.is_change else CANONICAL
    return dataclasses.replace(rule, unit=filed, gate=EVERYTHING, repair=NOTHING, repair_unit=CANONICAL)


def _written_unit(code: str, pattern: str) -> str:
    """Return the text of a code that may be its unit: what the * stands for, or the last part of a whole code."""
    if SEPARATOR not in code:
        return ""
    text = code[len(pattern) - len(ANY) :] if pattern.endswith(ANY) else code
    unit = text.rpartition(SEPARATOR)[2]
    return "" if unit == NO_UNIT else unit


def code_table(
    table: Ready | None, codes: Mapping[str, Any], stated_units: Mapping[str, Any], events: Mapping[str, Any]
) -> CodeTable:
    """Join a ready table with what the configuration says.

    Args:
        table: The ready table of the ETL; None for none.
        codes: ``source.codes``.
        stated_units: ``source.units``.
        events: ``source.events``.

    Raises:
        ConfigError: A variable, unit or event is unknown, or an entry is no list of codes.
    """
    for key, entries in (("codes", codes), ("units", stated_units)):
        for variable in entries:
            if variable not in CATALOGUE:
                raise ConfigError(
                    f"source.{key} names {variable!r}, which is no variable.{suggestion(variable, CATALOGUE)} "
                    f"Known: {', '.join(CATALOGUE)}."
                )
    stated = {variable: _stated(variable, stated_units[variable]) for variable in stated_units}
    series = [
        Series(pattern, rule, stated=stated.get(rule.variable))
        for pattern, rule in (table.series if table is not None else ())
        if rule.variable not in codes
    ]
    for variable in codes:
        rule = ItemRule(variable=variable, table=_TABLE, items=())
        patterns = _patterns("codes", variable, codes[variable])
        series += [Series(pattern, rule, is_own=True, stated=stated.get(variable)) for pattern in patterns]
    for name in events:
        if name not in EVENTS:
            raise ConfigError(f"source.events names {name!r}.{suggestion(name, EVENTS)} Known: {', '.join(EVENTS)}.")
    own = {name: _patterns("events", name, events[name]) for name in events}
    return CodeTable(tuple(series), dict(EVENTS) | own, table is None or table.trusts_units)


def _stated(variable: str, unit: object) -> Conversion:
    known = units.conversion(variable, unit) if isinstance(unit, str) else None
    if known is None:
        raise ConfigError(
            f"source.units.{variable} = {unit!r} is no unit of {variable} that is known here. "
            f"Known: {units.known_units(variable)}."
        )
    return known


def _patterns(key: str, name: str, value: object) -> Patterns:
    if (
        not isinstance(value, list | tuple)
        or not value
        or not all(isinstance(code, str) and code.removesuffix(ANY) and ANY not in code[:-1] for code in value)
    ):
        raise ConfigError(
            f'source.{key}.{name} = {value!r}. Give a list of codes, a * only at the end: ["VITAL//HR//*"].'
        )
    return tuple(value)


def is_one_of(patterns: Collection[str], column: str = "code") -> pl.Expr:
    """Return whether a code matches one of the patterns."""
    whole = [pattern for pattern in patterns if not pattern.endswith(ANY)]
    tests = [pl.col(column).is_in(whole)] if whole else []
    tests += [pl.col(column).str.starts_with(pattern[:-1]) for pattern in patterns if pattern.endswith(ANY)]
    return pl.any_horizontal(tests)
