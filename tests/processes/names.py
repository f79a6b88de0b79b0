"""The names that a loss of power takes: what a process did to folders, and what of it had reached the disk.

A name that is made, moved or removed is on the disk for certain only once the folder that holds it was synced after
it; until then the disk may have any part of what was done, in another order than it was done in (POSIX promises no
more, and file systems differ). ``Names`` records every change to the entries of the folders below one, and at the end
puts back what the disk would hold.

Changes are announced by Python's audit events, which come before them, and are read from the disk afterwards. So what
native code makes (Polars, safetensors) needs no event of its own: it is seen at the latest when its folder is synced,
its name touched, or the power lost. Every file is linked into a folder outside, so that it outlives its names.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(eq=False)
class _File:
    link: Path


@dataclasses.dataclass(eq=False)
class _Folder:
    mode: int
    at_start: dict[str, _File | _Folder] = dataclasses.field(default_factory=dict)
    now: dict[str, _File | _Folder] = dataclasses.field(default_factory=dict)


_Update = tuple[_Folder, str, "_File | _Folder | None"]


@dataclasses.dataclass(eq=False)
class _Change:
    """One step of the file system; a renaming is one step although it touches two names."""

    updates: list[_Update]
    synced: bool = False


class Names:
    """Records the changes to the folders below ``root``.

    Args:
        root: Folder that is watched.
        aside: Folder for links to its files; made here, on the same file system.
    """

    def __init__(self, root: Path, aside: Path) -> None:
        self._root = Path(os.path.realpath(root))
        self._aside = aside
        self._changes: list[_Change] = []
        self._known: dict[int, _File | _Folder] = {}
        self._top = _Folder(mode=0o700)
        self._folders = [self._top]
        self._links = (aside / str(number) for number in itertools.count())
        self._announced: list[tuple[_Folder, str, Path]] = []
        aside.mkdir()
        self._scan_all(self._top, self._root)
        self._changes.clear()
        for folder in self._folders:
            folder.at_start = dict(folder.now)

    def announce(self, paths: Iterable[Path]) -> None:
        """Take note of the names that the next step will touch, as they are before it."""
        self._settle()
        places = [self._place(path) for path in paths]
        found = [(*place, path) for place, path in zip(places, paths, strict=True) if place is not None]
        for each in found:
            self._look([each])
        self._announced = [(folder, name, path) for folder, name, path in found]

    def synced(self, path: Path) -> None:
        """All that was done so far to the entries of this folder is on the disk."""
        self._settle()
        folder = self._folder(path)
        if folder is None:
            return
        self._scan(folder, path)
        for change in self._changes:
            change.synced |= any(each is folder for each, _, _ in change.updates)

    def lose(self, share: float, seed: int) -> int:
        """Put back what the disk would hold, and return how many changes it does not.

        Args:
            share: Probability of each change that was not synced to be lost; with it go the later ones that touch its
                names, unless they are synced.
            seed: Of the draw.
        """
        self._settle()
        self._scan_all(self._top, self._root)
        draw = random.Random(seed)
        state = {folder: dict(folder.at_start) for folder in self._folders}
        missing: set[tuple[_Folder, str]] = set()
        lost = 0
        for change in self._changes:
            names = {(folder, name) for folder, name, _ in change.updates}
            if not change.synced and (draw.random() < share or names & missing):
                missing |= names
                lost += 1
                continue
            for folder, name, node in change.updates:
                if node is None:
                    state[folder].pop(name, None)
                else:
                    state[folder][name] = node
        self._write(state)
        return lost

    def forget(self) -> None:
        """Give up what is kept aside."""
        shutil.rmtree(self._aside)

    def _write(self, state: dict[_Folder, dict[str, _File | _Folder]]) -> None:
        for path in self._root.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

        def fill(folder: _Folder, path: Path) -> None:
            for name, node in state[folder].items():
                if isinstance(node, _File):
                    os.link(node.link, path / name)
                else:
                    (path / name).mkdir()
                    fill(node, path / name)
                    (path / name).chmod(node.mode)

        fill(self._top, self._root)

    def _settle(self) -> None:
        """Read from the disk what became of the names that were announced."""
        announced, self._announced = self._announced, []
        self._look(announced)

    def _look(self, places: Sequence[tuple[_Folder, str, Path]]) -> None:
        """Record as one step whatever is different now about these names."""
        updates: list[_Update] = []
        for folder, name, path in places:
            node = self._node(path)
            if node is not folder.now.get(name):
                updates.append((folder, name, node))
        if not updates:
            return
        self._changes.append(_Change(updates))
        arrived = [node for _, _, node in updates]
        for folder, name, node in updates:
            old = folder.now.pop(name, None)
            if isinstance(old, _Folder) and old not in arrived:
                # Its number may be given to another folder.
                self._known = {number: each for number, each in self._known.items() if each is not old}
            if node is not None:
                folder.now[name] = node

    def _node(self, path: Path) -> _File | _Folder | None:
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if found.st_ino not in self._known:
            if stat.S_ISDIR(found.st_mode):
                self._folders.append(_Folder(mode=stat.S_IMODE(found.st_mode)))
                self._known[found.st_ino] = self._folders[-1]
            else:
                link = next(self._links)
                os.link(path, link)
                self._known[found.st_ino] = _File(link)
        node = self._known[found.st_ino]
        if isinstance(node, _Folder):
            node.mode = stat.S_IMODE(found.st_mode)
        return node

    def _place(self, path: Path) -> tuple[_Folder, str] | None:
        folder = self._folder(path.parent)
        return None if folder is None else (folder, path.name)

    def _folder(self, path: Path) -> _Folder | None:
        """Return the folder at a path, or None where it is not there or not below the root."""
        place = Path(os.path.realpath(path))
        if not place.is_relative_to(self._root):
            return None
        folder, here = self._top, self._root
        for part in place.relative_to(self._root).parts:
            here /= part
            self._look([(folder, part, here)])
            node = folder.now.get(part)
            if not isinstance(node, _Folder):
                return None
            folder = node
        return folder

    def _scan(self, folder: _Folder, path: Path) -> None:
        found = {each.name: self._node(each) for each in sorted(path.iterdir())}
        for name, node in found.items():
            before = [old for old, each in folder.now.items() if each is node and old not in found]
            self._look([(folder, each, path / each) for each in (*before, name)])
        for name in sorted(folder.now.keys() - found.keys()):
            self._look([(folder, name, path / name)])

    def _scan_all(self, folder: _Folder, path: Path) -> None:
        self._scan(folder, path)
        for name, node in folder.now.items():
            if isinstance(node, _Folder):
                self._scan_all(node, path / name)


def touched(event: str, arguments: tuple[Any, ...]) -> list[Path]:
    """Return the names that an audit event announces a change to."""
    if event == "os.rename":
        source, target, source_in, target_in = arguments
        return [_at(source, source_in), _at(target, target_in)]
    if event == "os.link":
        return [_at(arguments[1], arguments[3])]
    if event == "os.mkdir":
        return [_at(arguments[0], arguments[2])]
    if event in {"os.remove", "os.rmdir"}:
        return [_at(arguments[0], arguments[1])]
    if event == "open" and not isinstance(arguments[0], int):
        return [_at(arguments[0], -1)]
    return []


def _at(path: Any, folder: int) -> Path:
    name = os.fsdecode(path)
    return Path(name).absolute() if folder == -1 else of_handle(folder) / name


def of_handle(handle: Any) -> Path:
    """Return the path of an open file or folder."""
    return Path(f"/proc/self/fd/{handle if isinstance(handle, int) else handle.fileno()}").readlink()
