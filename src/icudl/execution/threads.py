"""Threads and allocator of a process, set before torch is imported.

One thread a process and one process a core: OpenMP threads of one process spin against whatever else runs, and two
processes of one thread each train an LSTM about twice as fast as one process of two. The allocator setting keeps the
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
"""What a worker's environment must hold before it starts."""


def tune_process() -> None:
    """Make this process single-threaded in its arithmetic and keep freed memory mapped.

    Has its full effect only before torch or numpy are imported; does nothing to the allocator where the C library is
    not glibc.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def usable_cores() -> int:
    """Number of processor cores this process may use (cgroup affinity respected)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@contextmanager
def single_thread() -> Iterator[None]:
    """Compute on one thread inside the ``with`` block: torch, BLAS and OpenMP; restore what was set before.

    The order of a sum decides its last bits, and a threaded sum has another order than that of a worker process.
    """
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


def limit_threads() -> None:
    """Let torch use one thread in the thread that calls, where torch is loaded."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
