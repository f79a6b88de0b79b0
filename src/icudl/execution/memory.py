"""Memory and processor time of processes: how much is free, used and spent, and how to give memory back."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
"""Where Linux tells the limits of the container that this process runs in."""

_PROCESSES = Path("/proc")

_FILES = (
    ("memory.max", "memory.current", "memory.stat", ""),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_"),
)
"""Limit, use, statistics and the prefix of their names, in version 2 and in version 1 of control groups."""

_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out: Python's and NumPy's own, or torch's, known by its text."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))
    )


def give_back_memory() -> None:
    """Return freed memory to the system; ``threads.tune_process`` makes a process keep it for later use."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def forget_peak() -> None:
    """Let the peak memory of this process, and of the worker processes below it, begin anew.

    Only Linux offers that; elsewhere ``peak_memory`` is the peak since the process began.
    """
    for process in _family():
        with contextlib.suppress(OSError):
            (_PROCESSES / process / "clear_refs").write_text("5")


def peak_memory() -> int:
    """Return the most bytes of memory that this process has held, and those of its worker processes on top."""
    peaks = []
    for process in _family():
        with contextlib.suppress(OSError, ValueError):
            peaks.append(_line_of(_PROCESSES / process / "status", "VmHWM"))
    if peaks:
        return sum(peaks)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def processor_seconds() -> float:
    """Return the processor time of this process, of its worker processes, and of those that have ended.

    Without /proc, workers that are still alive do not count.
    """
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    tick = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
    for process in _family()[1:]:
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name of a program may hold blanks; after it come user and system time, of itself and of its children.
            fields = (_PROCESSES / process / "stat").read_text().rpartition(")")[2].split()
            seconds += sum(map(int, fields[11:15])) / tick
    return seconds


def _family() -> list[str]:
    """Return the ids of this process and of those below it, as /proc names them; none where there is no /proc."""
    known = ["self"]
    for parent in known:
        with contextlib.suppress(OSError):
            for task in (_PROCESSES / parent / "task").iterdir():
                known += (task / "children").read_text().split()
    return known if _PROCESSES.is_dir() else []


def _line_of(status: Path, name: str) -> int:
    for line in status.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(name)


def free_memory(groups: Path = GROUPS) -> int | None:
    """Return the bytes that are free without swapping, within the limit of a container; None if unknown.

    Args:
        groups: Folder of the control groups.
    """
    left = (max(0, limit - _held(use, statistics, prefix)) for limit, use, statistics, prefix in _limits(groups))
    return _smaller(_of_machine("MemAvailable"), left)


def total_memory(groups: Path = GROUPS) -> int | None:
    """Return the bytes of memory of this machine, or the limit of a container where that is less; None where unknown.

    Args:
        groups: Folder of the control groups.
    """
    return _smaller(_of_machine("MemTotal"), (limit for limit, *_ in _limits(groups)))


def _smaller(of_machine: int | None, of_container: Iterator[int]) -> int | None:
    bounds = [bound for bound in (of_machine, next(of_container, None)) if bound is not None]
    return min(bounds, default=None)


def _of_machine(name: str) -> int | None:
    try:
        text = Path("/proc/meminfo").read_text("utf-8")
    except OSError:
        return None
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _limits(groups: Path) -> Iterator[tuple[int, int, Path, str]]:
    """Yield limit, use, file of statistics and prefix of its names where a version of control groups sets a limit."""
    for limit_file, use_file, statistics, prefix in _FILES:
        try:
            limit, use = ((groups / name).read_text("utf-8").strip() for name in (limit_file, use_file))
            if limit.isdigit():
                yield int(limit), int(use), groups / statistics, prefix
        except (OSError, ValueError):
            continue


def _held(use: int, statistics: Path, prefix: str) -> int:
    """Return the bytes in use without the pages of files.

    Kubernetes subtracts inactive pages only. But the kernel also drops active pages before it kills a process, and
    counts both as available to the machine. A stage hashes its input before reading it, so the pages soon are active.
    """
    try:
        text = statistics.read_text("utf-8")
    except OSError:
        return use
    pages = sum(map(int, re.findall(rf"^{prefix}(?:in)?active_file (\d+)$", text, re.MULTILINE)))
    return max(0, use - pages)
