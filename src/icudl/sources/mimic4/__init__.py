"""MIMIC-IV from files: the rules that read it are data (``rules.toml``), versions differ in folders only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.mimic4.files import Mimic4Files
    from icudl.sources.mimic4.options import Mimic4Options

_HOMES = {"Mimic4Files": "icudl.sources.mimic4.files", "Mimic4Options": "icudl.sources.mimic4.options"}

__all__ = ["Mimic4Files", "Mimic4Options"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
