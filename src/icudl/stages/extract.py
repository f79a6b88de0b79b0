"""Extract: a clinical data source in, stays and hourly means out."""

from __future__ import annotations

import dataclasses

from icudl.artifacts import SourceTables
from icudl.execution.context import RunContext
from icudl.sources.base import DataSource, VariableOptions, WindowOptions, prepared


def extract(source: DataSource, variables: VariableOptions, window: WindowOptions, context: RunContext) -> SourceTables:
    """Read the chosen variables of every ICU stay inside the window.

    Args:
        source: The database.
        variables: Which variables.
        window: How long from ICU admission.
        context: Scratch folder, progress, executor.

    Raises:
        ConfigError: A variable is unknown, or a range is not two ascending numbers.
        SourceError: The source cannot be read, or holds no usable value.
    """
    source = prepared(source, variables)
    chosen = variables.chosen(source.available)
    tables = source.extract(chosen, window, context)
    read = set(tables.hours["variable"].unique().to_list())
    unread = tuple(
        f"No value of {variable.name} was found. [variables.{variable.name}] has items for "
        f"{', '.join(variable.items) or 'no source'}: check that this source is among them, and that it has such rows."
        for position, variable in enumerate(chosen)
        if variable.name in variables.own and position not in read
    )
    return dataclasses.replace(tables, warnings=(*tables.warnings, *unread)) if unread else tables
