"""The PhysioNet/CinC Challenge 2012: its archives, what its parameters mean, and what is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icudl.sources.physionet2012.options import PhysioNet2012Options
    from icudl.sources.physionet2012.source import PhysioNet2012

_HOMES = {
    "PhysioNet2012": "icudl.sources.physionet2012.source",
    "PhysioNet2012Options": "icudl.sources.physionet2012.options",
}

__all__ = ["PhysioNet2012", "PhysioNet2012Options"]


def __getattr__(name: str) -> Any:
    """Import public names on first use: a configuration is read without the code that reads the data."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
