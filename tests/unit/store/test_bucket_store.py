"""What only a bucket has: two machines at once, writing that was cut short, copies, and servers that are not there."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from icudl.errors import StoreError
from icudl.store.base import open_store
from icudl.store.bucket import BucketStore, cache_folder
from icudl.store.folder import FolderStore
from icudl.store.manifest import digest
from icudl.store.objects import Objects, is_address
from notes import Note, seal

pytestmark = pytest.mark.slow


def test_addresses_and_folders() -> None:
    assert is_address("s3://bucket/prefix")
    assert not is_address("runs")
    assert not is_address("C:/runs")
    assert not is_address(Path("s3://bucket"))
    assert type(open_store("runs")) is FolderStore


def test_caches_are_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ICUDL_CACHE", str(tmp_path))
    places = {cache_folder(address) for address in ("s3://a/b", "s3://a-b", "s3://a/c")}
    assert len(places) == 3
    assert all(place.parent == tmp_path for place in places)
    assert cache_folder("s3://a/b/") == cache_folder("s3://a/b")
    monkeypatch.delenv("ICUDL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("s3://a").parent == tmp_path / "xdg" / "icudl"


def test_a_bucket_is_opened_by_its_address(bucket: str) -> None:
    store = open_store(bucket)
    assert store.name == bucket
    assert store.root == cache_folder(bucket)
    manifest = seal(store)
    assert store.location("note", manifest.id) == f"{bucket}/note/{manifest.id}"
    assert {path.stat().st_mode & 0o077 for path in store.root.rglob("*")} == {0}


def test_a_second_machine_with_the_same_content_changes_nothing(bucket: str, tmp_path: Path) -> None:
    first = seal(open_store(bucket, tmp_path / "one"))
    before = Objects(bucket).times()
    assert seal(open_store(bucket, tmp_path / "two")) == first
    assert Objects(bucket).times().keys() == before.keys()
    assert open_store(bucket, tmp_path / "three").check(first) == []


def test_a_second_machine_with_other_content_harms_nothing_and_is_told(bucket: str, tmp_path: Path) -> None:
    first, late = seal(open_store(bucket, tmp_path / "one")), open_store(bucket, tmp_path / "two")
    with pytest.raises(StoreError, match=r"made by another machine meanwhile, with other content.*Theirs stays"):
        seal(late, "rounded otherwise")
    for store in (late, open_store(bucket, tmp_path / "three")):
        assert store.load(Note, store.manifest("note", first.id)) == Note("hello")


def test_without_conditional_writing_the_first_is_still_found(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects(bucket)
    write = objects._files.pipe_file

    def refuse(path: str, data: bytes, **options: str) -> None:
        if options:
            raise OSError(5, "A header you provided implies functionality that is not implemented")
        write(path, data)

    monkeypatch.setattr(objects._files, "pipe_file", refuse)
    assert objects.create("a", b"1")
    assert not objects.create("a", b"2")
    assert objects.read("a") == b"1"


class CutShortError(Exception):
    """The machine went away."""


class CutShortObjects(Objects):
    """Objects of a machine that goes away before it writes a manifest."""

    def create(self, key: str, data: bytes) -> bool:
        raise CutShortError


def test_writing_that_is_cut_short_is_never_read_and_goes_on(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(CutShortError):
        seal(BucketStore(CutShortObjects(bucket), FolderStore(tmp_path / "one")))
    artifact = FolderStore(tmp_path / "one").references()[0][1]
    assert len(Objects(bucket).times()) == 2
    other = open_store(bucket, tmp_path / "two")
    assert not other.has("note", artifact)
    assert other.manifests() == []
    # The machine that made it does not make it again.
    with open_store(bucket, tmp_path / "one").lock("note", artifact):
        assert other.has("note", artifact)
    assert other.load(Note, other.manifest("note", artifact)) == Note("hello")


def test_damaged_work_is_not_written_to_the_bucket(bucket: str, tmp_path: Path) -> None:
    made = seal(FolderStore(tmp_path / "one"))
    (tmp_path / "one" / "note" / made.id / "note.txt").write_text("damaged", "utf-8")
    store = open_store(bucket, tmp_path / "one")
    with store.lock("note", made.id):
        assert not store.has("note", made.id)
        seal(store)
    assert open_store(bucket, tmp_path / "two").check(made) == []


def test_files_without_a_manifest_are_left_over_after_a_day(bucket: str, tmp_path: Path) -> None:
    store = open_store(bucket, tmp_path)
    kept = seal(store)
    Objects(bucket).write("note/0123456789ab/abcdefabcdef/note.txt", b"half")
    assert store.leftovers() == []
    later = BucketStore(Objects(bucket), FolderStore(tmp_path), abandoned_after=dt.timedelta(seconds=-5))
    assert later.leftovers() == ["note/0123456789ab"]
    later.discard("note/0123456789ab")
    assert {key.split("/")[1] for key in Objects(bucket).times()} == {kept.id}


def test_a_copy_that_was_damaged_or_is_of_another_making_is_read_again(bucket: str, tmp_path: Path) -> None:
    store = open_store(bucket, tmp_path)
    manifest = seal(store)
    (tmp_path / "note" / manifest.id / "note.txt").write_text("damaged", "utf-8")
    assert store.load(Note, manifest) == Note("hello")
    open_store(bucket, tmp_path / "elsewhere").remove(manifest)
    other = seal(open_store(bucket, tmp_path / "elsewhere"), "made anew")
    again = open_store(bucket, tmp_path)
    assert again.load(Note, again.manifest("note", manifest.id)) == Note("made anew")
    assert other.id == manifest.id


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "a/../../outside.txt", "manifest.json", "a\\b"])
def test_a_manifest_cannot_name_files_elsewhere(name: str, bucket: str, tmp_path: Path) -> None:
    manifest = seal(open_store(bucket, tmp_path / "one"))
    key = f"note/{manifest.id}/manifest.json"
    body = json.loads(Objects(bucket).read(key) or b"")
    body["files"][0]["name"] = name
    body["sha256"] = digest({key: value for key, value in body.items() if key != "sha256"})
    Objects(bucket).write(key, json.dumps(body).encode())
    with pytest.raises(StoreError, match="outside the artifact"):
        open_store(bucket, tmp_path / "two").manifest("note", manifest.id)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://key:secret@bucket/a", "holds credentials"),
        ("file:///tmp/runs", "not the address of a store"),
        ("s3:///prefix", "not the address of a store"),
        ("xyz://bucket", "xyz:// is unknown"),
        ("s3://there-is-none/a", "There is no bucket at 's3://there-is-none/a'"),
    ],
)
def test_addresses_that_lead_nowhere(address: str, message: str, bucket: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        open_store(address)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"cannot be reached.*AWS_ENDPOINT_URL"):
        open_store(bucket)


def test_no_credentials(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match=r"no credentials.*AWS_ACCESS_KEY_ID"):
        open_store(bucket)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def refuse(scheme: str, **options: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", refuse)
    with pytest.raises(StoreError, match=r"pip install 'icu-deep-learning\[s3\]'"):
        open_store("s3://bucket/a")
    with pytest.raises(StoreError, match="needs a package that is not installed"):
        open_store("gs://bucket/a")
