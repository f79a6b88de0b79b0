"""File locks of the kernel: a lock ends with the process that holds it, however that process ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from icudl.errors import StoreError

_HELD_ELSEWHERE = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
"""Numbers for a lock that another process holds. NFS locks a whole file by ranges, for which POSIX allows several."""


@contextlib.contextmanager
def held(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a file while the ``with`` block lasts.

    Args:
        path: The file; made if it does not exist.
        waiting: Called if another process holds the lock, before this one waits for it.

    Raises:
        StoreError: The file cannot be made, or its file system knows no locks.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(
            f"The lock {str(path)!r} cannot be written: {error.strerror}. Give --store a folder you may write to."
        ) from error
    try:
        if not take(handle, path):
            waiting()
            take(handle, path, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Tell whether any process holds the lock, without waiting and without writing.

    Raises:
        StoreError: The file cannot be read, or its file system knows no locks.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(
            f"The lock {str(path)!r} cannot be read: {error.strerror}. Run this as a user who may read the store."
        ) from error
    try:
        # A shared lock needs no more than reading; on NFS an exclusive one needs a file that is open for writing.
        return not take(handle, path, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def take(handle: int, path: Path, kind: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> bool:
    """Take the lock of an open file, and tell whether it was free; closing the file ends the lock.

    Args:
        handle: The open file.
        path: Path of the file, for the message.
        kind: Operation of ``fcntl.flock``; by default an exclusive lock, without waiting.

    Raises:
        StoreError: The file system knows no locks, or locking fails.
    """
    try:
        fcntl.flock(handle, kind)
    except OSError as error:
        if kind & fcntl.LOCK_NB and error.errno in _HELD_ELSEWHERE:
            return False
        raise StoreError(
            f"The file system of {str(path)!r} cannot lock files ({error.strerror}), so two runs could disturb each "
            "other. Give --store a folder on another one."
        ) from error
    return True
