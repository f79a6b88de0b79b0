"""How many rows each rule touched: counts by fate become the cleaning table of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA, Schema
from icudl.variables import Variable

READ, CONVERTED, REPAIRED = "read", "converted unit", "repaired unit"

COUNTS_SCHEMA: Schema = {
    "variable": pl.UInt8,
    "fate": pl.UInt8,  # position among the fates of the source
    "rows": pl.Int64,
    "converted": pl.Int64,  # of these rows, those converted from the unit of their item
    "repaired": pl.Int64,  # of these rows, those converted from another unit than that of their item
}


def totals(counts: pl.DataFrame, fates: Sequence[str]) -> dict[tuple[int, str], int]:
    """Return how many rows each rule touched, by position of the variable and rule.

    Args:
        counts: ``COUNTS_SCHEMA``; several lines of one variable and fate add up.
        fates: What can become of a row.
    """
    total: dict[tuple[int, str], int] = {}
    for variable, fate, rows, converted, repaired in counts.select(list(COUNTS_SCHEMA)).iter_rows():
        touched = {READ: rows, fates[fate]: rows, CONVERTED: converted, REPAIRED: repaired}
        for rule, number in touched.items():
            total[variable, rule] = total.get((variable, rule), 0) + number
    return total


def cleaning_of(
    total: Mapping[tuple[int, str], int], fates: Sequence[str], variables: Sequence[Variable]
) -> pl.DataFrame:
    """Return ``CLEANING_SCHEMA``: every rule of every variable, rules that touched nothing included.

    ``read`` is the sum of ``kept`` and all ``dropped: ...`` rules. ``converted unit`` and ``repaired unit`` count rows
    that passed all rules before conversion; they are dropped or kept afterwards like all others.

    Args:
        total: What ``totals`` gives.
        fates: Those that are shown.
        variables: The variables by position.
    """
    rows = [
        (variable.name, rule, total.get((position, rule), 0))
        for position, variable in enumerate(variables)
        for rule in (READ, *fates, CONVERTED, REPAIRED)
    ]
    return pl.DataFrame(rows, schema=dict(CLEANING_SCHEMA), orient="row")
