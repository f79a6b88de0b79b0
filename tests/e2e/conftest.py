"""One small study, run once through the command line; each file of end-to-end tests has a copy."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest
from command_line import SMALL, icudl


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds the small study, from extract to report; nobody writes to it.

    The processes of pytest-xdist, whose folders lie side by side, share one: the second waits for the first.
    """
    own = tmp_path_factory.getbasetemp()
    place = own.parent if own.name.startswith("popen-") else own
    store = place / "small-study"
    with (place / "small-study.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not store.exists():
            unfinished = tmp_path_factory.mktemp("study") / "runs"
            icudl("run", "--store", unfinished, settings=SMALL)
            unfinished.rename(store)
    return store


@pytest.fixture(scope="module")
def small_study(finished_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small study's store: what the tests of a file add to it, those of other files do not see."""
    return shutil.copytree(finished_study, tmp_path_factory.mktemp("copy") / "runs", symlinks=True)
