"""The loss of names that other tests inflict on runs takes what a disk may lose, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from names import Names


class Disk:
    """A folder in which every step is announced."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "disk"
        (self.root / "old").mkdir(parents=True)
        (self.root / "old" / "kept").write_text("kept", "ascii")
        (self.root / "old" / "removed").write_text("removed", "ascii")
        self.names = Names(self.root, folder / "aside")

    def touch(self, name: str, text: str = "") -> None:
        self.step(lambda: (self.root / name).write_text(text, "ascii"), name)

    def rename(self, name: str, other: str) -> None:
        self.step(lambda: (self.root / name).rename(self.root / other), name, other)

    def step(self, do: Callable[[], object], *names: str) -> None:
        self.names.announce([self.root / name for name in names])
        do()

    def after_loss(self, share: float, seed: int = 0) -> set[str]:
        self.names.lose(share, seed)
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}


OLD = {"old/kept", "old/removed"}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_without_loss_everything_is_as_it_was_left(disk: Disk) -> None:
    disk.touch("a")
    disk.rename("a", "b")
    disk.step((disk.root / "old" / "removed").unlink, "old/removed")
    disk.touch("old/unannounced", "native")
    assert disk.after_loss(0.0) == {"b", "old/kept", "old/unannounced"}
    assert (disk.root / "old" / "unannounced").read_text("ascii") == "native"


def test_what_was_not_synced_is_undone(disk: Disk) -> None:
    disk.touch("a")
    disk.step((disk.root / "old" / "removed").unlink, "old/removed")
    disk.rename("old", "moved")
    assert disk.after_loss(1.0) == OLD
    assert (disk.root / "old" / "removed").read_text("ascii") == "removed"


def test_a_file_that_was_replaced_comes_back(disk: Disk) -> None:
    disk.touch("a", "new")
    disk.rename("a", "old/kept")
    assert disk.after_loss(1.0) == OLD
    assert (disk.root / "old" / "kept").read_text("ascii") == "kept"


def test_a_sync_keeps_the_names_of_its_folder_and_of_no_other(disk: Disk) -> None:
    disk.step((disk.root / "new").mkdir, "new")
    disk.touch("new/a")
    disk.touch("b")
    disk.names.synced(disk.root)
    disk.touch("c")
    assert disk.after_loss(1.0) == {"b", *OLD}
    assert list((disk.root / "new").iterdir()) == []


def test_a_synced_folder_is_lost_with_its_own_name(disk: Disk) -> None:
    disk.step((disk.root / "new").mkdir, "new")
    disk.touch("new/a")
    disk.names.synced(disk.root / "new")
    assert disk.after_loss(1.0) == OLD


def test_what_nobody_announced_is_found_when_its_folder_is_synced(disk: Disk) -> None:
    (disk.root / "native").write_text("", "ascii")
    disk.names.synced(disk.root)
    assert disk.after_loss(1.0) == {"native", *OLD}


def test_a_step_that_failed_is_none(disk: Disk) -> None:
    with pytest.raises(FileExistsError):
        disk.step((disk.root / "old").mkdir, "old")
    disk.names.announce([disk.root / "old" / "missing"])
    assert disk.names.lose(1.0, 0) == 0


def test_later_steps_may_survive_earlier_ones_but_not_on_the_same_name(tmp_path: Path) -> None:
    found = set()
    for seed in range(40):
        (tmp_path / str(seed)).mkdir()
        disk = Disk(tmp_path / str(seed))
        disk.touch("a")
        disk.rename("a", "b")
        disk.touch("c")
        found.add(frozenset(disk.after_loss(0.5, seed) - OLD))
    assert found == {frozenset(names) for names in ([], ["a"], ["b"], ["c"], ["a", "c"], ["b", "c"])}


def test_removals_within_a_folder_may_survive_its_being_moved_aside(tmp_path: Path) -> None:
    """What deletes a folder in two steps has to wait for the first."""
    found = set()
    for seed in range(20):
        (tmp_path / str(seed)).mkdir()
        disk = Disk(tmp_path / str(seed))
        disk.rename("old", "aside")
        handle = os.open(disk.root / "aside", os.O_RDONLY)
        disk.step(lambda handle=handle: os.unlink("removed", dir_fd=handle), "aside/removed")
        os.close(handle)
        found.add(frozenset(disk.after_loss(0.5, seed)))
    assert frozenset({"old/kept"}) in found
