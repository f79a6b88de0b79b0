"""Worker processes that find no memory, are killed, or lose the process that started them."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from memory_groups import killed_for_memory

from icudl.errors import StageError
from icudl.execution.base import Tick
from icudl.execution.pool.executor import ProcessExecutor

NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="other processes are read from /proc")

FOLDERS = [str(folder) for folder in Path(__file__).resolve().parents[:2]]
"""From which a script imports this file and what it imports."""

RUN_WITH_MUCH_TO_SEND = """
import sys
from pathlib import Path
sys.path[:0] = {folders!r}
from test_workers import length_and_job
from icudl.execution.pool.executor import ProcessExecutor
if __name__ == "__main__":
    print(ProcessExecutor(2).map(length_and_job, [0, 1], shared=bytes(10_000_000)))
"""

RUN_AND_WAIT = """
import sys
from pathlib import Path
sys.path[:0] = {folders!r}
from test_workers import say_and_sleep
from icudl.execution.pool.executor import ProcessExecutor
if __name__ == "__main__":
    ProcessExecutor(2).map(say_and_sleep, [0, 1], shared=sys.argv[1])
"""

FILL = """
import os, sys
from pathlib import Path
sys.path[:0] = {folders!r}
from test_workers import fill
from icudl.execution.pool.executor import ProcessExecutor
if __name__ == "__main__":
    (Path(sys.argv[1]) / "cgroup.procs").write_text(str(os.getpid()))
    print(ProcessExecutor(2).map(fill, [0, 1, 2], shared=(1_000_000_000, sys.argv[2])))
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


def length_and_job(shared: bytes, job: int, tick: Tick) -> int:
    return len(shared) + job


def fill(shared: tuple[int, str], job: int, tick: Tick) -> int:
    """Hold so many bytes of memory, every page of them written to, at a time when a neighbour does the same."""
    size, folder = shared
    (Path(folder) / f"worker.{os.getpid()}").touch()
    wait_until(lambda: len(list(Path(folder).glob("worker.*"))) > 1)
    held = np.ones(size, dtype=np.uint8)
    time.sleep(3)
    return int(held[job]) * job


def own_number(shared: tuple[str, bytes], job: int, tick: Tick) -> int:
    """Tell the process, once another one has a job as well."""
    folder = Path(shared[0])
    (folder / str(os.getpid())).touch()
    wait_until(lambda: len(list(folder.iterdir())) > 1)
    return os.getpid()


def new_folder(parent: Path, name: str) -> str:
    (parent / name).mkdir()
    return str(parent / name)


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
    assert found is not None
    return int(found[1]) * 1024


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


def wait_until(condition: object, seconds: float = 60.0, pause: float = 0.05) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)


@pytest.mark.slow
def test_a_job_that_found_no_memory_is_run_again_among_fewer(tmp_path: Path) -> None:
    (tmp_path / "crowded").touch()
    assert ProcessExecutor(2).map(crowded, [0, 1, 2], shared=str(tmp_path)) == [0, 1, 2]
    assert len((tmp_path / "workers").read_text("ascii").splitlines()) == 4


@pytest.mark.slow
def test_a_worker_that_the_kernel_kills_for_memory_loses_nothing(
    memory_group: Callable[[int], Path], tmp_path: Path
) -> None:
    """Two workers side by side need more than there is, one does not."""
    group = memory_group(1_900_000_000)
    script = tmp_path / "run.py"
    script.write_text(FILL.format(folders=FOLDERS), "utf-8")
    done = subprocess.run(
        [sys.executable, script, group, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout == "[0, 1, 2]\n", done.stderr
    assert killed_for_memory(group) >= 1


@pytest.mark.slow
def test_memory_that_never_suffices_is_one_clear_error() -> None:
    with pytest.raises(StageError, match=r"memory ran out.*--workers 1.*finished work is kept"):
        ProcessExecutor(2).map(allocate, [1, 2], shared=1 << 34)


def workers_of(pid: int) -> list[int]:
    """Workers that a run has spawned so far, without the process of the queue, which is the first."""
    spawned = []
    for child in sorted(children_of(pid)):
        with contextlib.suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                spawned.append(child)
    return spawned[1:]


@pytest.mark.slow  # the contract of executors loses a worker, too
@NEEDS_PROC
def test_a_worker_that_is_killed_before_it_has_read_what_it_was_sent(tmp_path: Path) -> None:
    """More than the buffer of a pipe holds: a parent that writes it into a pipe would wait for a dead process."""
    script = tmp_path / "run.py"
    script.write_text(RUN_WITH_MUCH_TO_SEND.format(folders=FOLDERS), "utf-8")
    run = subprocess.Popen([sys.executable, script], start_new_session=True, stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: workers_of(run.pid), pause=0.001)
        os.kill(workers_of(run.pid)[0], signal.SIGKILL)
        assert run.communicate(timeout=120)[0] == "[10000000, 10000001]\n"
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)


@NEEDS_PROC
@pytest.mark.slow
def test_kept_workers_serve_the_next_call_and_hold_nothing_meanwhile(tmp_path: Path) -> None:
    with ProcessExecutor(2) as executor:
        first = set(executor.map(own_number, range(4), shared=(new_folder(tmp_path, "1"), bytes(300_000_000))))
        assert len(first) == 2
        wait_until(lambda: all(resident(worker) < 300_000_000 for worker in first), seconds=10)
        assert set(executor.map(own_number, range(4), shared=(new_folder(tmp_path, "2"), b""))) == first
        assert executor.map(length_and_job, [0, 1], shared=b"123") == [3, 4]
    assert not any(map(is_alive, first))


@pytest.mark.slow  # four workers
@NEEDS_PROC
def test_a_kept_worker_that_was_killed_while_idle_costs_nothing(tmp_path: Path) -> None:
    with ProcessExecutor(2) as executor:
        first = set(executor.map(own_number, range(4), shared=(new_folder(tmp_path, "1"), b"")))
        os.kill(min(first), signal.SIGKILL)
        wait_until(lambda: not is_alive(max(first)))  # a pool ends its other workers when one is gone
        second = set(executor.map(own_number, range(4), shared=(new_folder(tmp_path, "2"), b"")))
        assert len(second) == 2
        assert not second & first


@NEEDS_PROC
def test_no_process_outlives_a_run_that_was_killed_alone(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(RUN_AND_WAIT.format(folders=FOLDERS), "utf-8")
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
