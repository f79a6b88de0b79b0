"""MIMIC-III, from files and from PostgreSQL: the rules that read it are data (``rules.toml``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    """Import public names on first use: a configuration is read without the code that reads the data."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
