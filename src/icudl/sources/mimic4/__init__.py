"""MIMIC-IV, from files and from PostgreSQL: the rules that read it are data; versions differ in folders only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.mimic4.files import Mimic4Files
    from icudl.sources.mimic4.options import Mimic4Options, Mimic4PostgresOptions
    from icudl.sources.mimic4.postgres import Mimic4Postgres

_HOMES = {
    "Mimic4Files": "icudl.sources.mimic4.files",
    "Mimic4Options": "icudl.sources.mimic4.options",
    "Mimic4Postgres": "icudl.sources.mimic4.postgres",
    "Mimic4PostgresOptions": "icudl.sources.mimic4.options",
}

__all__ = ["Mimic4Files", "Mimic4Options", "Mimic4Postgres", "Mimic4PostgresOptions"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
