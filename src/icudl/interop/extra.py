"""Libraries that only the extra ``interop`` installs."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

from icudl.errors import PluginError

EXTRA = "icu-deep-learning[interop]"


def require(module: str, library: str) -> Any:
    """Import and return a module of an optional library.

    Args:
        module: Its dotted name.
        library: Name of the library for messages.

    Raises:
        PluginError: The library is not installed, or cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            # Users cannot fix warnings that a library raises while it imports its own modules.
            warnings.simplefilter("ignore")
            return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == module.partition(".")[0]:
            raise PluginError(f"{library} is not installed. Install it with: pip install '{EXTRA}'.") from error
        raise PluginError(
            f"{library} lacks the module {error.name!r}. Install it with: pip install {error.name}."
        ) from error
    except ImportError as error:
        raise PluginError(f"{library} cannot be imported: {error}. Install it again: pip install '{EXTRA}'.") from error
