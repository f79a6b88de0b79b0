"""Libraries that only the extra ``outside`` installs, and files for those that read no bytes."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from icudl.errors import PluginError


def require(module: str, package: str) -> Any:
    """Import a module of an optional library.

    Args:
        module: Its dotted name.
        package: What to install.

    Raises:
        PluginError: It is not installed.
    """
    try:
        with warnings.catch_warnings():
            # Users cannot fix warnings that a library raises while it imports its own modules.
            warnings.simplefilter("ignore")
            return import_module(module)
    except ImportError as error:
        raise PluginError(
            f"The model needs {package}, which cannot be imported: {error}. Install it with: pip install {package}, or "
            "all libraries of models from outside: pip install 'icu-deep-learning[outside]'."
        ) from error


@contextmanager
def as_file(data: bytes, suffix: str) -> Iterator[str]:
    """Write bytes to a file that lasts as long as the ``with`` block, and give its path."""
    with tempfile.TemporaryDirectory(prefix="icudl-model-") as folder:
        path = Path(folder) / f"model{suffix}"
        path.write_bytes(data)
        yield str(path)
