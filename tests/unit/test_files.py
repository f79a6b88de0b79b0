"""Files and folders that are whole or absent, whatever fails while they are written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from icudl.files import hash_file, remove_folder, write_atomically, write_folder_atomically


def fail(path: Path) -> None:
    """Write half, then fail."""
    if path.is_dir():
        path /= "half"
    path.write_text("half", "utf-8")
    raise RuntimeError("the writer failed")


def test_a_writer_that_fails_leaves_the_file_before_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    write_atomically(path, lambda place: place.write_text("first", "utf-8"))
    with pytest.raises(RuntimeError, match="the writer failed"):
        write_atomically(path, fail)
    assert path.read_text("utf-8") == "first"
    assert list(path.parent.iterdir()) == [path]


def test_a_writer_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the writer failed"):
        write_folder_atomically(tmp_path / "folder", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write_folder_atomically(folder, lambda place: (place / "file").write_text("first", "utf-8"))
    with pytest.raises(OSError, match="not empty"):
        write_folder_atomically(folder, lambda place: (place / "file").write_text("second", "utf-8"))
    assert (folder / "file").read_text("utf-8") == "first"
    assert list(tmp_path.iterdir()) == [folder]


def test_removing_a_folder_again_or_one_that_was_half_removed(tmp_path: Path) -> None:
    for name in ("folder", ".folder.01234567.partial"):
        (tmp_path / name / "inner").mkdir(parents=True)
        remove_folder(tmp_path / name)
        remove_folder(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"icudl" * 100_000)
    assert hash_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
