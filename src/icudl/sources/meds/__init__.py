"""Data in the Medical Event Data Standard (MEDS), of any ETL: what a code means is told by tables of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.meds.options import MedsOptions
    from icudl.sources.meds.source import Meds

_HOMES = {"Meds": "icudl.sources.meds.source", "MedsOptions": "icudl.sources.meds.options"}

__all__ = ["Meds", "MedsOptions"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
