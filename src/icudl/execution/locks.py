"""Locks of the kernel: they end with the process that holds them, however that ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from icudl.errors import StoreError

_HELD_ELSEWHERE = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
"""POSIX has more than one number for it where ranges of a file are locked, as NFS does when a file is to be."""


@contextlib.contextmanager
def held(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a file, made where it is not there; call ``waiting`` first where another process holds it.

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
    """Tell whether some process holds the lock; never waits, and works where nothing can be written.

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
        # A shared lock, for it asks no more than reading. On NFS an exclusive one needs a file open for writing.
        return not take(handle, path, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def take(handle: int, path: Path, kind: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> bool:
    """Take the lock of an open file, and tell whether it was free; it ends when the file is closed.

    Args:
        handle: The open file.
        path: Its path, for the message.
        kind: Of ``fcntl.flock``; by default exclusive, and without waiting.

    Raises:
        StoreError: Its file system knows no locks, or fails.
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
