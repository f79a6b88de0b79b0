"""Rows of CLIF's tables of measurements as rows of one shape, numbered by what they measure in which unit."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA, Schema
from icudl.errors import ConfigError
from icudl.sources.clif.clock import Clock
from icudl.sources.clif.items import (
    BREATHS,
    CATEGORIES,
    DEVICE,
    FIO2_SET,
    LABS,
    RESPIRATORY,
    UNREAD,
    VENTILATED,
    VITALS,
    Category,
    rule_of,
)
from icudl.sources.reading.names import MOST_NAMES, UNKNOWN_NAME
from icudl.sources.rules import ItemRule, RuleBook
from icudl.sources.table import texts
from icudl.variables import Variable

ENTRIES_SCHEMA: Schema = {
    "owner": pl.String,  # hospitalization_id
    "moment": pl.Int64,  # whole seconds since 1970
    "category": pl.String,  # in small letters
    "name": pl.String,  # the site's own, null where there is none
    "unit": pl.String,  # as it is written, null where there is none
    "value": pl.Float64,
}
UNKNOWN_UNIT = "not read: unknown unit"
"""Rule of the cleaning table under which rows of an unknown unit are counted; they are not among those read."""


def entries(table: str, rows: pl.DataFrame, clock: Clock) -> pl.DataFrame:
    """Return the rows of a table of measurements (``ENTRIES_SCHEMA``).

    The time of a lab is that of the sample; where it is missing, that of the result. A row of RESPIRATORY_SUPPORT is
    one row for each of its columns that is filled.

    Raises:
        SourceError: A time cannot be read.
    """
    if table == RESPIRATORY:
        return _of_device(rows, clock.seconds(rows, table, "recorded_dttm"))
    if table == LABS:
        collected = clock.seconds(rows, table, "lab_collect_dttm")
        moment = pl.select(
            pl.coalesce(collected, clock.seconds(rows, table, "lab_result_dttm"))
        ).to_series()  # fmt: skip
        value = pl.select(
            pl.coalesce(rows["lab_value_numeric"], texts.numbers(texts.stripped(rows["lab_value"])))
        ).to_series()
        named = {"category": "lab_category", "name": "lab_name", "unit": "reference_unit"}
    elif table == VITALS:
        moment, value = clock.seconds(rows, table, "recorded_dttm"), rows["vital_value"]
        named = {"category": "vital_category", "name": "vital_name"}
    else:
        moment, value = clock.seconds(rows, table, "recorded_dttm"), rows["numerical_value"]
        named = {"category": "assessment_category", "name": "assessment_name"}
    columns = {role: texts.stripped(rows[column]) for role, column in named.items()}
    none = pl.Series([None] * len(rows), dtype=pl.String)
    return pl.DataFrame(
        {
            "owner": rows["hospitalization_id"],
            "moment": moment,
            "category": columns["category"].str.to_lowercase(),
            "name": columns["name"],
            "unit": columns.get("unit", none),
            "value": value,
        },
        schema=dict(ENTRIES_SCHEMA),
    )


def _of_device(rows: pl.DataFrame, moment: pl.Series) -> pl.DataFrame:
    device = pl.col(DEVICE).str.strip_chars().str.to_lowercase().replace("", None)
    wide = rows.select(
        moment.alias("moment"),
        (device == VENTILATED).cast(pl.Float64).alias(DEVICE),
        FIO2_SET,
        BREATHS,
        owner="hospitalization_id",
    )
    long = wide.unpivot(
        on=[DEVICE, FIO2_SET, BREATHS], index=["owner", "moment"], variable_name="category", value_name="value"
    ).filter(pl.col("value").is_not_null())
    frame = long.with_columns(name=pl.lit(None, pl.String), unit=pl.lit(None, pl.String))
    return frame.select(pl.col(name).cast(kind) for name, kind in ENTRIES_SCHEMA.items())


class Items:
    """Numbers what the rows of all tables measure, as it is met, and counts what it does not know.

    Attributes:
        unknown: Rows by table and category that the format does not have.
        odd: Rows by variable and unit that is unknown for it.
    """

    def __init__(self, variables: Sequence[Variable]) -> None:
        """Take the requested variables.

        Raises:
            ConfigError: Two of them are read from the same rows.
        """
        asked = {variable.name for variable in variables}
        self._variables = tuple(variables)
        self._wanted: dict[tuple[str, str], Category] = {}
        for category in CATEGORIES:
            if category.variable in asked:
                place = (category.table, category.name)
                other = self._wanted.setdefault(place, category)
                if other != category:
                    raise ConfigError(
                        f"The category {category.name} of {category.table} measures {other.variable} and "
                        f"{category.variable}, and variables.use names both. Expected one: leave out one of the two."
                    )
        self._numbers: dict[tuple[str, str, str | None, str | None], int | None] = {}
        self._rules: list[ItemRule] = []
        self.unknown: dict[tuple[str, str], int] = {}
        self.odd: dict[tuple[str, str], int] = {}

    def numbered(self, table: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the rows of requested variables with their item, and the rules of that table's items.

        Args:
            table: The table that the rows are of.
            rows: ``ENTRIES_SCHEMA``.

        Returns:
            owner, item, moment and value, and ``rules.RULE_COLUMNS``.
        """
        kinds = rows.group_by("category", "name", "unit").len().sort("category", "name", "unit")
        met = []
        for category, name, unit, count in kinds.rows():
            item = self._item(table, category, name, unit, count)
            if item is not None:
                met.append((category, name, unit, item))
        schema = {"category": pl.String, "name": pl.String, "unit": pl.String, "item": pl.Int32}
        items = pl.DataFrame(met, schema=schema, orient="row")
        joined = rows.join(items, on=["category", "name", "unit"], how="inner", nulls_equal=True)
        book = RuleBook(tuple(self._rules), "")
        return joined.select("owner", "item", "moment", "value"), book.table(self._variables, table)

    def _item(self, table: str, category: str | None, name: str | None, unit: str | None, count: int) -> int | None:
        wanted = self._wanted.get((table, category or ""))
        if wanted is None:
            known = UNREAD.get(table)
            named = {each.name for each in CATEGORIES if each.table == table}
            if known is not None and category not in known | named:
                place = (table, category or "(no category)")
                self.unknown[place] = self.unknown.get(place, 0) + count
            return None
        kind = (table, wanted.name, name, unit)
        if kind not in self._numbers:
            rule = rule_of(wanted, len(self._rules), unit)
            self._numbers[kind] = None if rule is None else len(self._rules)
            if rule is not None:
                self._rules.append(rule)
        if self._numbers[kind] is None:
            self.odd[wanted.variable, unit or ""] = self.odd.get((wanted.variable, unit or ""), 0) + count
        return self._numbers[kind]

    @property
    def count(self) -> int:
        """How many items were met."""
        return len(self._rules)

    def cleaning(self) -> pl.DataFrame:
        """Return what was not read (``CLEANING_SCHEMA``)."""
        rows: dict[tuple[str, str], int] = {}
        for (variable, _), count in self.odd.items():
            rows[variable, UNKNOWN_UNIT] = rows.get((variable, UNKNOWN_UNIT), 0) + count
        frequent = sorted(self.unknown.items(), key=lambda item: (-item[1], item[0]))[:MOST_NAMES]
        for (table, category), count in frequent:
            rows[f"{table}.{category}", UNKNOWN_NAME] = count
        return pl.DataFrame(
            [(*place, count) for place, count in rows.items()], schema=dict(CLEANING_SCHEMA), orient="row"
        )
