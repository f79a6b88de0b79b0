"""Data in the Common Longitudinal ICU data Format (CLIF) 2.1: categories of the format are the items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.clif.options import ClifOptions
    from icudl.sources.clif.source import Clif

_HOMES = {"Clif": "icudl.sources.clif.source", "ClifOptions": "icudl.sources.clif.options"}

__all__ = ["Clif", "ClifOptions"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
