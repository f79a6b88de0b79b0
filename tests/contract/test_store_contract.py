"""What every store must do alike: a folder, and a bucket of an S3 server."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from icudl.errors import StoreError
from icudl.store.base import Store, open_store
from icudl.store.manifest import FORMAT, Manifest, Upstream, digest
from icudl.store.objects import Objects
from notes import Note, identity, seal


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of store, and a way to its bytes past the store.

    Attributes:
        open: Open the same store once more, as another process would.
        read: Return the bytes of a file of an artifact.
        write: Replace them; None deletes the file.
    """

    open: Callable[[], Store]
    read: Callable[[Manifest, str], bytes]
    write: Callable[[Manifest, str, bytes | None], None]


# The default suite has tests/unit/store/test_bucket_store.py for buckets.
@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    if request.param == "folder":
        return kind_of_folder(tmp_path / "runs")
    return kind_of_bucket(request.getfixturevalue("bucket"), tmp_path)


def kind_of_folder(root: Path) -> Kind:
    def place(manifest: Manifest, name: str) -> Path:
        return root / manifest.node / manifest.id / name

    def write(manifest: Manifest, name: str, data: bytes | None) -> None:
        place(manifest, name).unlink() if data is None else place(manifest, name).write_bytes(data)

    return Kind(lambda: open_store(root), lambda manifest, name: place(manifest, name).read_bytes(), write)


def kind_of_bucket(address: str, caches: Path) -> Kind:
    """Every store that is opened has a cache of its own, as on a machine of its own."""
    numbers = itertools.count()

    def key(manifest: Manifest, name: str) -> str:
        inside = "" if name == "manifest.json" else f"{manifest.content[:12]}/"
        return f"{manifest.node}/{manifest.id}/{inside}{name}"

    def read(manifest: Manifest, name: str) -> bytes:
        data = Objects(address).read(key(manifest, name))
        assert data is not None
        return data

    def write(manifest: Manifest, name: str, data: bytes | None) -> None:
        objects = Objects(address)
        objects.delete([key(manifest, name)]) if data is None else objects.write(key(manifest, name), data)

    return Kind(lambda: open_store(address, caches / str(next(numbers))), read, write)


def test_what_is_sealed_is_read_back_elsewhere(kind: Kind) -> None:
    manifest = seal(kind.open())
    store = kind.open()
    assert store.has("note", manifest.id)
    assert store.manifest("note", manifest.id) == manifest
    assert store.load(Note, manifest) == Note("hello")
    assert store.check(manifest) == []
    assert (store.fetch(manifest) / "note.txt").read_text("utf-8") == "hello"


def test_what_is_not_there(kind: Kind) -> None:
    store = kind.open()
    assert not store.has("note", "0123456789ab")
    assert store.references() == []
    assert store.manifests() == []
    with pytest.raises(StoreError, match="There is no artifact note/0123456789ab"):
        store.manifest("note", "0123456789ab")


def test_listing_and_references(kind: Kind) -> None:
    store = kind.open()
    with pytest.raises(StoreError, match="holds no result"):
        store.resolve("note/zzz")
    one, two, other = seal(store), seal(store, seed=2), seal(store, node="other")
    again = kind.open()
    assert {manifest.reference for manifest in again.manifests()} == {one.reference, two.reference, other.reference}
    assert [manifest.reference for manifest in again.manifests("other")] == [other.reference]
    assert again.manifests() == sorted(again.manifests(), key=lambda manifest: manifest.reference)
    assert again.resolve(one.reference) == ("note", one.id)
    assert again.resolve(two.id[:8]) == ("note", two.id)
    for reference in ("note/zzz", "note/", ""):
        with pytest.raises(StoreError, match=r"Nothing in .* matches"):
            again.resolve(reference)


@pytest.mark.parametrize(
    ("data", "found"),
    [(b"hellp", "note.txt: content differs"), (None, "note.txt: missing")],
    ids=["flipped", "missing"],
)
def test_damaged_files_are_found_and_never_read(kind: Kind, data: bytes | None, found: str) -> None:
    manifest = seal(kind.open())
    kind.write(manifest, "note.txt", data)
    store = kind.open()
    assert found in store.check(manifest)[0]
    with pytest.raises(StoreError, match=r"corrupt|missing"):
        store.load(Note, manifest)


def test_a_stray_file_is_found(kind: Kind) -> None:
    manifest = seal(kind.open())
    kind.write(manifest, "stray", b"")
    assert kind.open().check(manifest) == ["stray: not in the manifest"]


def test_an_edited_manifest_is_refused_and_not_listed(kind: Kind) -> None:
    manifest = seal(kind.open())
    original = kind.read(manifest, "manifest.json")
    kind.write(manifest, "manifest.json", original.replace(b'"restricted": false', b'"restricted": true'))
    store = kind.open()
    with pytest.raises(StoreError, match="edited"):
        store.manifest("note", manifest.id)
    assert store.manifests() == []
    assert store.references() == [("note", manifest.id)]
    kind.write(manifest, "manifest.json", b"{")
    with pytest.raises(StoreError, match=r"JSON|not a manifest"):
        kind.open().manifest("note", manifest.id)


def test_a_newer_format_is_refused_with_advice(kind: Kind) -> None:
    manifest = seal(kind.open())
    body = json.loads(kind.read(manifest, "manifest.json")) | {"format": FORMAT + 1}
    body["sha256"] = digest({key: value for key, value in body.items() if key != "sha256"})
    kind.write(manifest, "manifest.json", json.dumps(body).encode())
    with pytest.raises(StoreError, match="newer icudl"):
        kind.open().manifest("note", manifest.id)


def test_a_swapped_manifest_is_noticed(kind: Kind) -> None:
    one, two = seal(kind.open()), seal(kind.open(), seed=2)
    kind.write(one, "manifest.json", kind.read(two, "manifest.json"))
    with pytest.raises(StoreError, match="renamed"):
        kind.open().manifest("note", one.id)


def test_without_its_manifest_an_artifact_does_not_exist_and_can_be_made_again(kind: Kind) -> None:
    manifest = seal(kind.open())
    kind.write(manifest, "manifest.json", None)
    assert not kind.open().has("note", manifest.id)
    assert kind.open().manifests() == []
    assert seal(kind.open()).content == manifest.content
    assert kind.open().check(manifest) == []


def test_removing(kind: Kind) -> None:
    store = kind.open()
    manifest, other = seal(store), seal(store, seed=2)
    store.remove(manifest)
    for each in (store, kind.open()):
        assert not each.has("note", manifest.id)
        assert each.references() == [("note", other.id)]
    assert seal(store).content == manifest.content


def test_a_store_that_takes_files(kind: Kind) -> None:
    store = kind.open()
    store.require_writable()
    assert store.leftovers() == []
    assert kind.open().references() == []


def test_work_in_progress_lies_on_this_machine_and_goes_with_sealing(kind: Kind) -> None:
    store = kind.open()
    own = identity()
    (store.scratch("note", own.id) / "half").touch()
    assert store.leftovers() == [f".scratch/note-{own.id}"]
    with store.lock("note", own.id):
        assert store.leftovers() == [], "a process works on it"
    assert store.scratch("note", own.id).is_relative_to(store.root)
    assert seal(store).id == own.id
    assert store.leftovers() == []


def test_leftovers_are_discarded_by_their_names(kind: Kind) -> None:
    store = kind.open()
    store.scratch("note", "0123456789ab")
    (store.logs("note", "ba9876543210")).mkdir()
    assert store.leftovers() == [".scratch/note-0123456789ab", "logs/note-ba9876543210"]
    for leftover in store.leftovers():
        store.discard(leftover)
    assert store.leftovers() == []


def test_logs_stay_with_a_sealed_artifact_and_go_with_it(kind: Kind) -> None:
    store = kind.open()
    manifest = seal(store)
    logs = store.logs("note", manifest.id)
    logs.mkdir()
    assert store.leftovers() == []
    store.remove(manifest)
    assert not logs.exists()


def test_an_input_that_was_exchanged_is_told_and_one_that_was_deleted_is_not(kind: Kind) -> None:
    store = kind.open()
    source = seal(store)
    reader = dataclasses.replace(
        seal(store, node="reader", upstream={"note": Upstream(node="note", id=source.id)}),
        upstream_content={"note": source.content},
    )
    assert store.check_inputs(reader) == []
    store.remove(source)
    assert store.check_inputs(reader) == []
    assert seal(store, "made anew").id == source.id
    assert store.check_inputs(reader) == [f"made from other content of note/{source.id} than is there now"]
