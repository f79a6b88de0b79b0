"""What only a folder has: names on its disk, modes, and removal that was cut short."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from icudl.errors import StoreError
from icudl.store.folder import FolderStore
from icudl.store.manifest import Identity
from notes import Note, identity, seal


def test_what_is_sealed_is_read_back(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "a b é")
    manifest = seal(store)
    assert store.has("note", manifest.id)
    assert store.load(Note, store.manifest("note", manifest.id)) == Note("hello")
    assert store.check(manifest) == []
    assert not list(store.root.glob("note/.*"))


def test_every_part_of_an_identity_changes_the_id() -> None:
    changes: list[dict[str, object]] = [
        {"node": "other"}, {"stage_version": 2}, {"options": {"table": {"key": 2}}}, {"upstream": {"a": "b"}},
        {"plugin": "x"}, {"seed": 2}, {"fingerprint": "f"},
    ]  # fmt: skip
    ids = {identity().id, *(identity(**change).id for change in changes)}
    assert len(ids) == len(changes) + 1
    assert {field.name for field in dataclasses.fields(Identity)} == {key for change in changes for key in change}


def test_a_swapped_folder_is_noticed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    one, two = seal(store), seal(store, "other", seed=2)
    store.folder("note", one.id).rename(tmp_path / "aside")
    store.folder("note", two.id).rename(store.folder("note", one.id))
    with pytest.raises(StoreError, match="renamed"):
        store.manifest("note", one.id)


def test_an_ambiguous_reference_lists_what_it_could_be(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    seen: dict[str, str] = {}
    for seed in range(40):
        manifest = seal(store, seed=seed)
        if manifest.id[0] in seen:
            with pytest.raises(StoreError, match="several"):
                store.resolve(manifest.id[0])
            return
        seen[manifest.id[0]] = manifest.id
    pytest.fail("forty ids began with forty digits")


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    with pytest.raises(StoreError, match="cannot be written"):
        FolderStore(tmp_path / "file" / "store").scratch("note", "1")


def test_half_written_artifacts_are_leftovers_and_never_read(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    partial = tmp_path / "note" / ".0123456789ab.01234567.partial"
    partial.mkdir(parents=True)
    (partial / "note.txt").touch()
    assert not store.has("note", "0123456789ab")
    assert store.manifests() == []
    assert store.leftovers() == ["note/.0123456789ab.01234567.partial"]
    with store.lock("note", "0123456789ab"):
        assert store.leftovers() == []


def test_files_are_private(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "runs")
    manifest = seal(store)
    modes = {path.stat().st_mode & 0o077 for path in [store.root, *store.folder("note", manifest.id).rglob("*")]}
    assert modes == {0}


def modes_in(folder: Path) -> set[tuple[bool, int]]:
    """Which modes the files and folders under a folder have; (is a folder, mode)."""
    return {(path.is_dir(), path.stat().st_mode & 0o7777) for path in folder.rglob("*")}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_do_not_follow_the_umask(tmp_path: Path, umask: int) -> None:
    """Nothing made in a folder that was there before, and is open, can be read by anybody else."""
    before = os.umask(umask)
    try:
        (tmp_path / "runs").mkdir(mode=0o755)
        (tmp_path / "runs").chmod(0o755)
        store = FolderStore(tmp_path / "runs")
        manifest = seal(store)
        with store.lock("note", manifest.id):
            store.scratch("note", "next")
            store.logs("note", "next")
            store.hashes()
    finally:
        os.umask(before)
    assert modes_in(store.root) == {(True, 0o700), (False, 0o600)}


def test_a_store_with_the_group_bit_is_shared_with_its_group(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    root.chmod(0o2770)
    store = FolderStore(root)
    manifest = seal(store)
    with store.lock("note", manifest.id):
        pass
    assert modes_in(root / "note") == {(True, 0o2770), (False, 0o640)}
    assert (root / "note").stat().st_mode & 0o7777 == 0o2770
    assert modes_in(root / ".locks") == {(False, 0o660)}
    root.chmod(0o2700)
    other = seal(FolderStore(root), seed=2)
    assert modes_in(store.folder("note", other.id)) == {(True, 0o700), (False, 0o600)}
