"""Locks of the kernel: they end with the process that holds them, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from icudl.errors import StoreError


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
        if not _take(handle, path):
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Tell whether some process holds the lock; never waits, and works where nothing can be written."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # A shared lock, for it asks no more than reading. On NFS an exclusive one needs a file open for writing.
        return not _take(handle, path, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _take(handle: int, path: Path, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreError(
            f"The file system of {str(path)!r} cannot lock files ({error.strerror}), so two runs could disturb each "
            "other. Give --store a folder on another one."
        ) from error
    return True
