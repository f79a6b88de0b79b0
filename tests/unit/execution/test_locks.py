"""Locks as a network file system has them, and what the store does where they fail."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
from pathlib import Path

import pytest

from icudl.errors import StoreError
from icudl.execution import locks
from icudl.search.trials import FolderTrials
from icudl.store.folder import FolderStore
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
    store = FolderStore(tmp_path)
    store.require_writable()
    path = tmp_path / ".locks" / "note-0123456789ab"
    with store.lock("note", "0123456789ab"):
        assert locks.is_held(path)
        assert ask(path)
    assert not locks.is_held(path)
    (tmp_path / ".scratch" / "note-0123456789ab").mkdir(parents=True)
    assert len(store.leftovers()) == 1


def refuse(number: int, monkeypatch: pytest.MonkeyPatch, kinds: int = -1) -> None:
    """Let the locks of these kinds fail; -1 is all of them."""
    lock = fcntl.flock

    def flock(handle: int, kind: int) -> None:
        if kinds in {kind, -1}:
            raise OSError(number, os.strerror(number))
        lock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EIO, errno.ENOTSUP])
def test_a_file_system_without_locks_is_refused(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(number, monkeypatch)
    with pytest.raises(StoreError, match="cannot lock files"):
        FolderStore(tmp_path).require_writable()
    trial = FolderTrials(tmp_path / "study").claim(3)
    with pytest.raises(StoreError, match=r"trial-3\.lock' cannot lock files .*Give --store a folder on another one"):
        trial.__enter__()


def test_a_lock_that_fails_while_it_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    with store.lock("note", "0123456789ab"):
        refuse(errno.EDEADLK, monkeypatch, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="cannot lock files"), store.lock("note", "0123456789ab"):
            pass


def test_a_lock_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(StoreError, match="cannot be read: Permission denied"):
        locks.is_held(tmp_path / "lock")


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EACCES])
def test_a_trial_that_another_process_has(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """POSIX has two numbers for it."""
    refuse(number, monkeypatch)
    with FolderTrials(tmp_path).claim(0) as free:
        assert not free


def test_a_trial_is_free_once_its_claim_has_ended(tmp_path: Path) -> None:
    trials = FolderTrials(tmp_path)
    with trials.claim(0) as first, trials.claim(0) as second:
        assert (first, second) == (True, False)
    with trials.claim(0) as again:
        assert again


def test_where_locks_do_not_hold_the_later_of_two_equal_artifacts_is_dropped(tmp_path: Path) -> None:
    store, late = FolderStore(tmp_path), FolderStore(tmp_path)
    first = seal(store)
    assert seal(late) == first
    with pytest.raises(StoreError, match="could not be written"):
        seal(late, "other")
    assert store.load(Note, first) == Note("hello")
