"""What the package counts on when it goes on is on the disk by then, names included."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from icudl.artifacts import TrialState
from icudl.files import remove_folder, write_atomically, write_folder_atomically
from icudl.search.trials import FolderTrials, Outcome, remove_work
from icudl.store.modes import make_folder
from names import Names, of_handle


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder whose disk loses all names that were not synced."""
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def watch(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Names:
    """Begin to record what is done to the names below."""
    names, sync = Names(disk, disk.with_name("aside")), os.fsync

    def recorded_sync(handle: int) -> None:
        sync(handle)
        if of_handle(handle).is_dir():
            names.synced(of_handle(handle))

    monkeypatch.setattr(os, "fsync", recorded_sync)
    return names


def test_a_file_and_a_folder_that_were_written(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = watch(disk, monkeypatch)
    write_folder_atomically(disk / "folder", lambda path: (path / "b").touch())
    write_atomically(disk / "file", lambda path: path.write_text("a", "ascii"))
    names.lose(1.0, 0)
    assert sorted(str(path.relative_to(disk)) for path in disk.rglob("*")) == ["file", "folder", "folder/b"]


def test_a_folder_is_out_of_its_place_before_anything_in_it_is_deleted(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (disk / "folder").mkdir()
    names, rmtree = watch(disk, monkeypatch), shutil.rmtree

    def lose_power(*_: object, **__: object) -> None:
        monkeypatch.setattr(shutil, "rmtree", rmtree)
        names.lose(1.0, 0)

    monkeypatch.setattr(shutil, "rmtree", lose_power)
    remove_folder(disk / "folder")
    assert not (disk / "folder").exists()
    assert len(list(disk.iterdir())) == 1


def test_a_new_store_in_new_folders(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = watch(disk, monkeypatch)
    make_folder(disk / "lab" / "runs", disk / "lab" / "runs" / "train")
    names.lose(1.0, 0)
    assert (disk / "lab" / "runs").is_dir()


def test_the_first_trial_of_a_study(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = watch(disk, monkeypatch)
    outcome = Outcome(number=0, parameters={}, state=TrialState.COMPLETE, value=0.5)
    FolderTrials(disk / "study").keep(outcome)
    names.lose(1.0, 0)
    assert FolderTrials(disk / "study").read(0) == outcome


def test_the_work_of_a_trial_is_gone_for_good_before_its_outcome_is_kept(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (disk / "trial-0-fold-0.epochs").touch()
    names = watch(disk, monkeypatch)
    remove_work(disk, 0)
    names.lose(1.0, 0)
    assert not list(disk.iterdir())
