"""The command line as a process, and the settings of a small study."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from launcher import Ended, Launcher

SMALL = (
    "execution.executor=serial",
    "source.patients=260",
    "split.folds=2",
    "cohort.min_age_years=18",
    "model.hidden_size=8",
    "model.fc_size=8",
    "training.max_epochs=2",
    "training.bootstrap_samples=20",
    "attack.max_stays=12",
    "attack.iterations=20",
    "attack.batch_size=4",
    "analysis.bootstrap_samples=20",
)
"""A small study in one process: worker processes take longer to start than it takes to compute."""

PARALLEL = (*SMALL, "execution.executor=processes", "execution.workers=2")


@functools.cache
def _launcher() -> Launcher:
    """The process that all runs of this test process are forked from: it has imported everything once."""
    folder = Path(tempfile.mkdtemp(prefix="icudl-runs-"))
    launcher = Launcher(folder, warnings="default")

    def end() -> None:
        with launcher:
            pass
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return launcher


def icudl(*words: str | Path, check: bool = True, settings: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    ended = end(begin(*words, settings=settings))
    assert not check or ended.code == 0, ended.stderr
    return subprocess.CompletedProcess([*words], ended.code, ended.stdout, ended.stderr)


def begin(*words: str | Path, settings: Sequence[str] = ()) -> int:
    """Start the command line in a process and session of its own; return its number."""
    return _launcher().start([*words, *(word for setting in settings for word in ("--set", setting))])


def end(run: int) -> Ended:
    """Wait for the end of what ``begin`` started."""
    return _launcher().wait(run)


def reference(store: Path, node: str) -> str:
    """The first result of a stage: the shared study's own, whatever other tests added."""
    return f"{node}/{min((store / node).iterdir(), key=lambda path: (path / 'manifest.json').stat().st_mtime_ns).name}"
