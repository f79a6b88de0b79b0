"""MIMIC-III, from files and from PostgreSQL: the rules that read it are data (``rules.toml``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.mimic3.files import Mimic3Files
    from icudl.sources.mimic3.load import load_release
    from icudl.sources.mimic3.options import Mimic3Options, Mimic3PostgresOptions
    from icudl.sources.mimic3.postgres import Mimic3Postgres

_HOMES = {
    "Mimic3Files": "icudl.sources.mimic3.files",
    "Mimic3Options": "icudl.sources.mimic3.options",
    "Mimic3Postgres": "icudl.sources.mimic3.postgres",
    "Mimic3PostgresOptions": "icudl.sources.mimic3.options",
    "load_release": "icudl.sources.mimic3.load",
}

__all__ = ["Mimic3Files", "Mimic3Options", "Mimic3Postgres", "Mimic3PostgresOptions", "load_release"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
