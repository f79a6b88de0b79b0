"""Rows filed under names of variables: choosing those of known variables, and counting unknown names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA
from icudl.variables import CATALOGUE, Variable

UNKNOWN_NAME = "unknown name"
"""Rule of the cleaning table under which the rows of each unknown name are counted."""

NO_NAME = "(no name)"
OTHER_NAMES = "(other names)"
MOST_NAMES = 100
"""Unknown names that are counted one by one, the most frequent first; the rest are counted together."""


def rows_of_variables(rows: pl.DataFrame, variables: Sequence[Variable], *, column: str = "name") -> pl.DataFrame:
    """Return the rows of the chosen variables.

    Args:
        rows: Any columns, among them the name of a variable.
        variables: The requested variables.
        column: Column that holds the name.

    Returns:
        These rows in their order, with the further columns variable (UInt8, index into ``variables``) and low and high
        (the plausible range in the variable's unit).
    """
    numbered = pl.DataFrame(
        [(variable.name, index, variable.low, variable.high) for index, variable in enumerate(variables)],
        schema={column: pl.String, "variable": pl.UInt8, "low": pl.Float64, "high": pl.Float64},
        orient="row",
    )
    return rows.join(numbered, on=column, how="inner", maintain_order="left")


def count_unknown_names(names: pl.Series, known: Collection[str] = tuple(CATALOGUE)) -> pl.DataFrame:
    """Count the rows with an unknown name.

    A source that leaves such rows out adds these counts to its cleaning table, so that the report shows them: a
    misspelt name would otherwise look like a variable that nobody charted.

    Args:
        names: The name of each row that was read.
        known: The names that the source knows; those of the catalogue unless it has names of its own.

    Returns:
        ``CLEANING_SCHEMA``: one row for each unknown name, ``variable`` being the name as it is written and ``rule``
        being ``UNKNOWN_NAME``.
    """
    unknown = (
        names.alias("variable")
        .to_frame()
        .filter(pl.col("variable").is_null() | ~pl.col("variable").is_in(list(known)))
        .group_by(pl.col("variable").fill_null(NO_NAME))
        .agg(rows=pl.len().cast(pl.Int64))
        .sort("rows", "variable", descending=[True, False])
    )
    rest = unknown[MOST_NAMES:]
    shown = unknown[:MOST_NAMES].rows()
    if len(rest):
        shown.append((OTHER_NAMES, int(rest["rows"].sum())))
    return pl.DataFrame(
        [(name, UNKNOWN_NAME, count) for name, count in shown], schema=dict(CLEANING_SCHEMA), orient="row"
    )
