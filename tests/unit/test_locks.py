"""Locks as a network file system has them, and what the store does where they fail."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
from pathlib import Path

import pytest

from icudl.errors import StoreError
from icudl.store import locks
from icudl.store.store import Store
from notes import Note, seal


@pytest.fixture
def nfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """flock(2) of an NFS client on Linux: an exclusive lock needs a file that is open for writing."""
    lock = fcntl.flock

    def flock(handle: int, kind: int) -> None:
        mode = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE
        if (kind & fcntl.LOCK_EX and mode == os.O_RDONLY) or (kind & fcntl.LOCK_SH and mode == os.O_WRONLY):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        lock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", flock)


def ask(path: Path) -> bool:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(locks.is_held, (path,))


@pytest.mark.usefixtures("nfs")
def test_a_store_on_nfs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.require_writable()
    path = tmp_path / ".locks" / "note-0123456789ab"
    with store.lock("note", "0123456789ab"):
        assert locks.is_held(path)
        assert ask(path)
    assert not locks.is_held(path)
    (tmp_path / ".scratch" / "note-0123456789ab").mkdir(parents=True)
    assert len(store.leftovers()) == 1


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(handle: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match="cannot lock files"):
        Store(tmp_path).require_writable()


def test_where_locks_do_not_hold_the_later_of_two_equal_artifacts_is_dropped(tmp_path: Path) -> None:
    store, late = Store(tmp_path), Store(tmp_path)
    first = seal(store)
    assert seal(late) == first
    with pytest.raises(StoreError, match="could not be written"):
        seal(late, "other")
    assert store.load(Note, first) == Note("hello")
