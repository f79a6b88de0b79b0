"""One process to fork runs from, and one uninterrupted study, shared by the tests of faults."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from memory_groups import make_group, remove_group
from study import words

from launcher import Launcher


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Starts runs."""
    with Launcher(tmp_path_factory.mktemp("outputs")) as launcher:
        yield launcher


@pytest.fixture(scope="session")
def reference(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the study from extract to report, made without any fault.

    The processes of pytest-xdist, whose folders lie side by side, each have a copy of what the first has computed.
    """
    own = tmp_path_factory.getbasetemp()
    place = own.parent if own.name.startswith("popen-") else own
    made = place / "reference-study"
    with (place / "reference-study.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            unfinished = tmp_path_factory.mktemp("unfinished") / "runs"
            launcher.succeed(words(("run",), unfinished))
            unfinished.rename(made)
    return shutil.copytree(made, tmp_path_factory.mktemp("reference") / "runs", symlinks=True)


@pytest.fixture
def memory_group() -> Iterator[Callable[[int], Path]]:
    """Makes a control group with so many bytes of memory, where this process may make one."""
    made: list[Path] = []

    def make(limit: int) -> Path:
        made.append(make_group(limit))
        return made[-1]

    yield make
    for group in made:
        remove_group(group)
