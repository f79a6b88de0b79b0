"""The synthetic hospital: simulated patients whose records are written and read like real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icudl.sources.synthetic.options import SyntheticOptions
    from icudl.sources.synthetic.source import SyntheticSource, write_hospital

_HOMES = {
    "SyntheticOptions": "icudl.sources.synthetic.options",
    "SyntheticSource": "icudl.sources.synthetic.source",
    "write_hospital": "icudl.sources.synthetic.source",
}

__all__ = ["SyntheticOptions", "SyntheticSource", "write_hospital"]


def __getattr__(name: str) -> Any:
    """Import public names on first use: a configuration is read without the code that reads the data."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
