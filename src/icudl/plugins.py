"""Plug-ins by name, through entry points; built-in ones are registered like those of other packages."""

from __future__ import annotations

import functools
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, runtime_checkable

from icudl.errors import PluginError, suggestion
from icudl.options import Options

GROUPS = ("icudl.sources", "icudl.models", "icudl.attacks", "icudl.executors")


def registered(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, sorted."""
    return dict(_registered(group, tuple(sys.path)))


@functools.lru_cache(maxsize=64)
def _registered(group: str, path: tuple[str, ...]) -> dict[str, EntryPoint]:  # noqa: ARG001
    """Look the entry points up once; reading those of all installed packages takes 15 ms, and a plan asks often."""
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda point: point.name)}


@runtime_checkable
class Citing(Protocol):
    """A plug-in that names the works to cite for it.

    Attributes:
        citations: Keys of the works (``icudl.report.citations``), or the works themselves.
    """

    citations: tuple[str, ...]


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


def options_of(group: str, name: str) -> type[Options]:
    """Return the class that validates the options of a plug-in: the class that it names as its ``Options``.

    A plug-in whose module is slow to import may register the class on its own, under its name in the entry-point group
    ``GROUP.options`` (``icudl.models.options``), so that a configuration is read without importing the plug-in.

    Raises:
        PluginError: No plug-in has this name, it cannot be imported, or it names no options.
    """
    apart = registered(f"{group}.options").get(name)
    options = apart.load() if apart is not None else getattr(load_plugin(group, name), "Options", None)
    if not (isinstance(options, type) and issubclass(options, Options)):
        raise PluginError(
            f"The plug-in {name!r} of {group!r} names {options!r} as its options. Expected "
            "`Options: ClassVar[type[...]]`, a class derived from the options class of its seam."
        )
    return options


def plugin_version(group: str, name: str) -> str:
    """Return ``"distribution version"`` of the package a plug-in comes from, or ``""`` where unknown."""
    return _plugin_version(group, name, tuple(sys.path))


@functools.lru_cache(maxsize=256)
def _plugin_version(group: str, name: str, path: tuple[str, ...]) -> str:
    """Read the metadata of a distribution once: parsing them takes milliseconds, and a plan asks for every cell."""
    point = _registered(group, path).get(name)
    if point is None or point.dist is None:
        return ""
    return f"{point.dist.name} {point.dist.version}"
