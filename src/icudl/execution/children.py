"""Processes that this one starts: Ctrl-C does not reach them, and none outlives the process that started it.

A worker whose run was killed would go on computing, and writing into a scratch folder that the next run works in.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Start processes inside the ``with`` block that Ctrl-C never reaches, for they inherit the signal mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Let this process end as soon as its parent has ended, in whatever way.

    Every process of ``multiprocessing`` should call this first. On Linux the kernel sends the signal. Elsewhere, and
    where the parent ended before the kernel could be asked, a thread waits for the pipe that the parent holds.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()
