"""Items that a configuration names for variables beside the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from icudl.errors import ConfigError
from icudl.sources.rules import ItemRule, RuleBook
from icudl.variables import Variable

Place = Callable[[str, object], tuple[str, int] | None]
"""From a table ("" where none is named) and an entry to the table and id of an item; None if it can be none."""


def with_own_items(
    book: RuleBook, variables: Sequence[Variable], sources: Sequence[str], place: Place, expected: str
) -> RuleBook:
    """Return a rule book with the items of the variables beside the catalogue, whose values are in their own unit.

    Args:
        book: The rules of the source.
        variables: The requested variables; those that name no items for the source are left as they are.
        sources: Names under which a configuration gives items for this source, the surest first.
        place: Finds the item of an entry.
        expected: What an entry has to be, for messages.

    Raises:
        ConfigError: An entry cannot be an item, or is named twice.
    """
    rules: list[ItemRule] = []
    for variable in variables:
        source = next((each for each in sources if each in variable.items), "")
        if not source:
            continue
        where, given = f"variables.{variable.name}.items.{source}", variable.items[source]
        tables = given if isinstance(given, Mapping) else {"": given}
        found = [
            _placed(f"{where}.{table}" if table else where, table, entry, place, expected)
            for table, entries in tables.items()
            for entry in _listed(f"{where}.{table}" if table else where, entries, expected)
        ]
        if len(set(found)) < len(found):
            raise ConfigError(f"{where} = {given!r} names an item twice. Name it once.")
        rules += [ItemRule(variable=variable.name, table=table, items=(item,)) for table, item in found]
    return RuleBook.of([*book.rules, *rules]) if rules else book


def names_of(variable: Variable, source: str) -> tuple[str, ...]:
    """Return the names that a configuration gives a variable in a source whose rows have names.

    Raises:
        ConfigError: They are no list of texts.
    """
    if source not in variable.items:
        return ()
    where = f"variables.{variable.name}.items.{source}"
    names = _listed(where, variable.items[source], "names in quotes")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"{where} names {name!r}. Expected names in quotes.")
    return tuple(cast("str", name).strip() for name in names)


def column_of(labels: list[str], table: str) -> Place:
    """Return the place of columns of one table; a column that is not among the labels is added to them."""

    def place(named: str, entry: object) -> tuple[str, int] | None:
        if named or not isinstance(entry, str) or not entry.strip():
            return None
        if entry not in labels:
            labels.append(entry)
        return table, labels.index(entry)

    return place


def _listed(where: str, entries: object, expected: str) -> Sequence[object]:
    if not isinstance(entries, list | tuple) or not entries:
        raise ConfigError(f"{where} = {entries!r}. Expected a list of {expected}.")
    return cast("Sequence[object]", entries)


def _placed(where: str, table: str, entry: object, place: Place, expected: str) -> tuple[str, int]:
    found = place(table, entry)
    if found is None:
        raise ConfigError(f"{where} names {entry!r}. Expected {expected}.")
    return found
