"""The example plug-ins, installed once."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_packages import install


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed example plug-ins; on PYTHONPATH, it makes them known to icudl."""
    target = tmp_path_factory.mktemp("plugins") / "installed"
    install(target)
    return target
