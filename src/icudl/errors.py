"""Every error raised on purpose, and the exit code each one gives the command line.

::

    IcudlError            1   base of everything raised on purpose
    ├── ConfigError       2   unknown key, illegal value, missing value, wrong command-line usage
    ├── PluginError       3   a plug-in is unknown, broken, or lacks what it needs: an extra, a cluster
    ├── SourceError       4   not found, unreadable, schema mismatch, empty cohort, connection refused
    ├── StoreError        5   not found, corrupt (hash differs), locked, newer format
    ├── StageError        6   incompatible inputs, training diverged, reproduction mismatch
    ├── AttackError       7   input out of bounds, target not differentiable
    └── DeviceError       8   the requested device does not exist or ran out of memory

A message has three parts: what is wrong (with the value), what was expected, what to do. Expected outcomes are
values, not exceptions: a stay that no attack could flip is an ``AttackStatus``, not an error.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class IcudlError(Exception):
    """Base of every error raised on purpose; ``exit_code`` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class ConfigError(IcudlError):
    """A key, value or command-line argument is unknown, illegal or missing."""

    exit_code = 2


class PluginError(IcudlError):
    """A plug-in is unknown, cannot be loaded, or needs an extra or a cluster that is missing."""

    exit_code = 3


class SourceError(IcudlError):
    """A clinical data source cannot be read, or holds no usable value."""

    exit_code = 4


class StoreError(IcudlError):
    """An artifact is missing, corrupt, locked, or of a newer format."""

    exit_code = 5


class StageError(IcudlError):
    """A stage cannot work with its inputs, diverged, or did not reproduce its own result."""

    exit_code = 6


class AttackError(IcudlError):
    """An attack was given inputs outside its bounds or a target it cannot differentiate."""

    exit_code = 7


class DeviceError(IcudlError):
    """The requested device does not exist or has too little memory."""

    exit_code = 8


def suggestion(name: str, valid: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the valid name nearest to ``name``, or an empty string."""
    nearest = get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
