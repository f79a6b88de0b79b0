"""Cohorts of YAIB (Yet Another ICU Benchmark): hourly tables that ricu has made of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.yaib.options import YaibOptions
    from icudl.sources.yaib.source import Yaib

_HOMES = {"Yaib": "icudl.sources.yaib.source", "YaibOptions": "icudl.sources.yaib.options"}

__all__ = ["Yaib", "YaibOptions"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
