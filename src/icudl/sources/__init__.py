"""Clinical data sources: a database in, stays and hourly means out; each database has its own folder."""

from __future__ import annotations

from icudl.sources.base import (
    DataSource,
    SourceBase,
    SourceFingerprint,
    SourceOptions,
    VariableOptions,
    WindowOptions,
)
from icudl.sources.locating import (
    LocatedTable,
    Locating,
    LocatingAddress,
    Location,
    MissingTable,
    Survey,
)
from icudl.sources.reading.names import UNKNOWN_NAME, count_unknown_names, rows_of_variables

__all__ = [
    "UNKNOWN_NAME",
    "DataSource",
    "LocatedTable",
    "Locating",
    "LocatingAddress",
    "Location",
    "MissingTable",
    "SourceBase",
    "SourceFingerprint",
    "SourceOptions",
    "Survey",
    "VariableOptions",
    "WindowOptions",
    "count_unknown_names",
    "rows_of_variables",
]
