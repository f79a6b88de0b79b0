"""The eICU Collaborative Research Database, demo and full release: the rules that read it are data (``items``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.eicu.options import EicuOptions
    from icudl.sources.eicu.source import Eicu

_HOMES = {"Eicu": "icudl.sources.eicu.source", "EicuOptions": "icudl.sources.eicu.options"}

__all__ = ["Eicu", "EicuOptions"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
