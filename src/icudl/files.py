"""Files and folders that are whole or absent at any moment, and hashes of their bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

_UNFINISHED = ".partial"


def write_atomically(path: Path, write: Callable[[Path], Any], *, keep_name: bool = True) -> None:
    """Let ``write`` make a file beside ``path``, sync it, then move it into place in one step.

    A reader, or a run resumed after a kill, sees either the whole file or none; of several writers one wins.

    Args:
        path: File to be made or replaced.
        write: Writes the file, to the path that it is given.
        keep_name: Whether to sync the new name too. Without it, a power failure may bring back the previous file, or
            no file.
    """
    partial = _unfinished(path)
    # A worker on another machine may be the first to write into the folder.
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write(partial)
        sync(partial)
        partial.replace(path)
        if keep_name:
            sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_folder_atomically(folder: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a new folder beside ``folder``, sync it, then move it into place in one step.

    Args:
        folder: Folder to be made.
        write: Writes the files, into the folder that it is given.

    Raises:
        OSError: ``folder`` already exists and is not empty.
    """
    partial = _unfinished(folder)
    try:
        partial.mkdir(parents=True)
        write(partial)
        for path in (partial, *partial.rglob("*")):
            sync(path)
        partial.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def remove_folder(folder: Path) -> None:
    """Rename a folder in one step, then delete it: after a kill, the folder exists whole or not at all."""
    aside = folder
    if not folder.name.endswith(_UNFINISHED):
        aside = _unfinished(folder)
        with contextlib.suppress(FileNotFoundError):
            folder.rename(aside)
            # Otherwise a power failure could keep the deletions and lose the move.
            sync(aside.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _unfinished(path: Path) -> Path:
    """Return a hidden name beside ``path`` that no other process uses."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{_UNFINISHED}")


def sync(path: Path) -> None:
    """Wait until the disk holds the bytes of a file, or the names in a folder (not what lies under the names)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
