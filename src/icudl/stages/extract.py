"""Extract: a clinical data source in, stays and hourly means out."""

from __future__ import annotations

from icudl.artifacts import SourceTables
from icudl.execution.context import RunContext
from icudl.sources.base import DataSource, VariableOptions, WindowOptions


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
    return source.extract(variables.chosen(source.available), window, context)
