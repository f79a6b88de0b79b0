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

from icudl.errors import ConfigError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

GUARD = (
    "Python imports the main script in every worker process that it starts, and this script starts work while it is "
    'imported. Put the call below `if __name__ == "__main__":`, or set execution.executor to serial.'
)
"""What a user is told whose script starts work as soon as it is imported."""


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


def end_if_importing() -> None:
    """End this process if it is a worker that imports the script of the process which started it.

    Such a worker would do the work of its parent once more, and wait for a lock that the parent holds while the parent
    waits for the worker.

    Raises:
        SystemExit: This process imports the script of its parent; the message is printed as the process ends.
    """
    # The mark that multiprocessing itself looks for before it starts a process; it is there until the import is over.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(f"icudl: {GUARD}")


def require_guarded_script() -> None:
    """Make sure that a worker process can import the script of this process; takes as long as one import of it.

    Raises:
        ConfigError: A worker ends while it imports the script.
    """
    probe = multiprocessing.get_context("spawn").Process(target=end_with_parent)
    with interrupts_held():
        probe.start()
    probe.join()
    if probe.exitcode != 0:
        raise unguarded()


def unguarded() -> ConfigError:
    """Return the error of a script that ends the workers which import it."""
    return ConfigError(f"A worker process ended before it could begin. {GUARD}")
