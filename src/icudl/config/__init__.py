"""The configuration: one TOML file, one frozen dataclass per table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.config.document import json_schema, to_document
    from icudl.config.load import load_config
    from icudl.config.schema import Config

_HOMES = {
    "Config": "icudl.config.schema",
    "json_schema": "icudl.config.document",
    "load_config": "icudl.config.load",
    "to_document": "icudl.config.document",
}

__all__ = ["Config", "json_schema", "load_config", "to_document"]

# The command line must not wait for what it does not need.
__getattr__ = imported_on_use(__name__, _HOMES)
