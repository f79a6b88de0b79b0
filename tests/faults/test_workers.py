"""Worker processes that find no memory, are killed, or lose the process that started them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from icudl.errors import StageError
from icudl.execution.base import Tick
from icudl.execution.local import ProcessExecutor

RUN_AND_WAIT = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_workers import say_and_sleep
from icudl.execution.local import ProcessExecutor
if __name__ == "__main__":
    ProcessExecutor(2).map(say_and_sleep, [0, 1], shared=sys.argv[1])
"""


def crowded(shared: str, job: int, tick: Tick) -> int:
    """Find memory only where no other worker was started beside this one."""
    with (Path(shared) / "workers").open("a", encoding="ascii") as handle:
        handle.write(f"{os.getppid()} {os.getpid()}\n")
    if job == 0 and (Path(shared) / "crowded").exists():
        (Path(shared) / "crowded").unlink()
        raise MemoryError
    return job


def allocate(shared: int, job: int, tick: Tick) -> int:
    """Ask torch for more memory than this process may have."""
    import torch

    resource.setrlimit(resource.RLIMIT_AS, (shared, shared))
    return int(torch.ones(shared // 4 + job).numel())


def say_and_sleep(shared: str, job: int, tick: Tick) -> int:
    (Path(shared) / f"{job}.{os.getpid()}").touch()
    time.sleep(600)
    return job


def children_of(pid: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_job_that_found_no_memory_is_run_again_among_fewer(tmp_path: Path) -> None:
    (tmp_path / "crowded").touch()
    assert ProcessExecutor(2).map(crowded, [0, 1, 2], shared=str(tmp_path)) == [0, 1, 2]
    assert len((tmp_path / "workers").read_text("ascii").splitlines()) == 4


@pytest.mark.slow
def test_memory_that_never_suffices_is_one_clear_error() -> None:
    with pytest.raises(StageError, match=r"memory ran out.*--workers 1.*finished work is kept"):
        ProcessExecutor(2).map(allocate, [1, 2], shared=1 << 34)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the processes of others are read from /proc")
def test_no_process_outlives_a_run_that_was_killed_alone(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(RUN_AND_WAIT.format(folder=str(Path(__file__).parent)), "utf-8")
    run = subprocess.Popen([sys.executable, script, tmp_path], start_new_session=True)
    try:
        wait_until(lambda: len(list(tmp_path.glob("[01].*"))) == 2)
        # Two workers, the process of the queue, and multiprocessing's tracker of resources.
        started = children_of(run.pid)
        assert len(started) == 4
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        wait_until(lambda: not any(map(is_alive, started)), seconds=10)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
