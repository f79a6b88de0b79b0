"""A hospital's own tables: stays and measurements from CSV, Parquet or Excel, with names and units of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.table.ids import number_of
    from icudl.sources.table.options import TableOptions
    from icudl.sources.table.source import TableSource

_HOMES = {
    "TableOptions": "icudl.sources.table.options",
    "TableSource": "icudl.sources.table.source",
    "number_of": "icudl.sources.table.ids",
}

__all__ = ["TableOptions", "TableSource", "number_of"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
