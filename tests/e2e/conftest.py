"""One small study, run once through the command line; each file of end-to-end tests has a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import SMALL, icudl


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds the small study, from extract to report; nobody writes to it."""
    store = tmp_path_factory.mktemp("study") / "runs"
    icudl("run", "--store", store, settings=SMALL)
    return store


@pytest.fixture(scope="module")
def small_study(finished_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small study's store: what the tests of a file add to it, those of other files do not see."""
    return shutil.copytree(finished_study, tmp_path_factory.mktemp("copy") / "runs", symlinks=True)
