"""Who may read a store: its owner alone, whatever the umask, or the group it is shared with (docs/decisions/0064)."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

from icudl.files import sync

_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_SHARED_FOLDER, _SHARED_FILE, _SHARED_LOCK = 0o2770, 0o640, 0o660
_SHARED = stat.S_ISGID | stat.S_IWGRP


def is_shared(root: Path) -> bool:
    """Tell whether a store is shared with a group: its folder has the set-group-id bit and the group may write."""
    return root.stat().st_mode & _SHARED == _SHARED


def make_folder(root: Path, folder: Path) -> None:
    """Make ``folder`` below a store at ``root``, and ``root`` if it does not exist.

    Raises:
        OSError: The store cannot be written.
    """
    missing = [place for place in (root, *root.parents) if not place.exists()]
    root.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    for made in missing:
        # An artifact is lost with the name of any folder above it. A folder that cannot be read cannot be synced.
        with contextlib.suppress(PermissionError):
            sync(made.parent)
    place = root
    # One by one, because ``parents=True`` would give the folders on the way the mode that the umask allows.
    for part in folder.relative_to(root).parts:
        place /= part
        place.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        if is_shared(root):
            with contextlib.suppress(PermissionError):  # another member of the group made the folder
                place.chmod(_SHARED_FOLDER)


def protect(root: Path, folder: Path) -> None:
    """Set the modes of an artifact's folder and of everything in the folder."""
    shared = is_shared(root)
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(_SHARED_FOLDER if shared else _PRIVATE_FOLDER)
        else:
            path.chmod(_SHARED_FILE if shared else _PRIVATE_FILE)


def share_lock(root: Path, lock: Path) -> None:
    """Let the group of a shared store take a lock that this process made."""
    if is_shared(root):
        with contextlib.suppress(OSError):
            lock.touch(mode=_SHARED_LOCK)
            lock.chmod(_SHARED_LOCK)
