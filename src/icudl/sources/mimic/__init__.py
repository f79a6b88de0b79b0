"""What the MIMIC databases have in common: tables of events by item id, read into stays and hourly means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.mimic.files import MimicFiles
    from icudl.sources.mimic.layout import Layout
    from icudl.sources.mimic.postgres import MimicPostgres
    from icudl.sources.mimic.stays import Stays, joined_stays

_HOMES = {
    "Layout": "icudl.sources.mimic.layout",
    "MimicFiles": "icudl.sources.mimic.files",
    "MimicPostgres": "icudl.sources.mimic.postgres",
    "Stays": "icudl.sources.mimic.stays",
    "joined_stays": "icudl.sources.mimic.stays",
}

__all__ = ["Layout", "MimicFiles", "MimicPostgres", "Stays", "joined_stays"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
