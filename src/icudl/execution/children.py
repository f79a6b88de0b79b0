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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

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


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], None]]:
    """Keep Ctrl-C and SIGTERM from raising an error inside the ``with`` block; yield what raises it at a safe place.

    An error that is raised between two instructions of a library can leave its lock taken: whoever needs the lock
    next then waits for ever. The block calls what is yielded often, and where it holds nothing. Only the main thread
    is interrupted, so that nothing happens in others.
    """
    arrived: list[tuple[int, FrameType | None]] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append((number, frame))

    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
    if threading.current_thread() is threading.main_thread():
        for kind in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(kind)
            if callable(handler):
                handlers[kind] = handler

    def check() -> None:
        if arrived:
            number, frame = arrived.pop(0)
            handlers[number](number, frame)

    for number in handlers:
        signal.signal(number, note)
    try:
        yield check
    finally:
        for number, before in handlers.items():
            signal.signal(number, before)
    check()


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
