"""Threads and allocator of a process, set before torch is imported.

Each process has one thread and each core one process: OpenMP threads spin and compete with everything else that runs,
and two processes of one thread train an LSTM about twice as fast as one process of two. The allocator setting keeps the
LSTM's large work buffers from being mapped and unmapped at every step (measurements: docs/decisions).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
}
"""Environment variables that a worker process needs before it starts."""


def tune_process() -> None:
    """Make this process compute on one thread and keep freed memory mapped.

    Call this before torch or numpy are imported; later it has only part of its effect. Without glibc the allocator
    does not change.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def usable_cores() -> int:
    """Return the number of processor cores that this process may use, by its affinity."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@contextmanager
def single_thread() -> Iterator[None]:
    """Compute on one thread inside the ``with`` block: torch, BLAS and OpenMP; restore what was set before.

    The order of a sum decides its last bits, and a threaded sum has another order than that of a worker process.
    Nothing is imported for it: a library that is imported inside the block finds one thread in the environment.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    torch = sys.modules.get("torch")
    with contextlib.ExitStack() as stack:
        stack.enter_context(threadpool_limits(limits=1))
        stack.enter_context(_environment_of_one_thread())
        if torch is not None:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        yield


@contextmanager
def _environment_of_one_thread() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ENVIRONMENT if name.endswith("_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def limit_threads() -> None:
    """Let torch compute on one thread in the calling thread, if torch is loaded."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
