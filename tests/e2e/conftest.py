"""One small study, run once through the command line and shared by the end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import SMALL, icudl


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds the small study, from extract to report."""
    store = tmp_path_factory.mktemp("study") / "runs"
    icudl("run", "--store", store, settings=SMALL)
    return store
