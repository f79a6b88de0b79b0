"""Plug-ins by name, through entry points; the built-in ones come in by the same door as outsiders'."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from icudl.errors import PluginError, suggestion

GROUPS = ("icudl.sources", "icudl.models", "icudl.attacks", "icudl.executors")


def registered(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, sorted."""
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda point: point.name)}


def load_plugin(group: str, name: str) -> Any:
    """Import and return the object registered as ``name``.

    Raises:
        PluginError: No plug-in has this name, or it cannot be imported.
    """
    points = registered(group)
    kind = group.rpartition(".")[2].removesuffix("s")
    if name not in points:
        raise PluginError(
            f"Unknown {kind} {name!r}.{suggestion(name, points)} Installed: {', '.join(points) or 'none'}. "
            f"A package adds one through the entry-point group {group!r}."
        )
    try:
        return points[name].load()
    except ImportError as error:
        raise PluginError(
            f"The {kind} {name!r} of {points[name].value!r} cannot be imported: {error}. Install what it needs."
        ) from error


def plugin_version(group: str, name: str) -> str:
    """Return ``"distribution version"`` of the package a plug-in comes from, or ``""`` where unknown."""
    point = registered(group).get(name)
    if point is None or point.dist is None:
        return ""
    return f"{point.dist.name} {point.dist.version}"
