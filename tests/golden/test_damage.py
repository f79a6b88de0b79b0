"""Every kind of damage to a sealed artifact is found by ``icudl verify``, which names the artifact and the file.

What is tolerated, because it changes nothing that is read: blanks in a manifest, and folders without files. What hashes
cannot find is said in a test: they are no signatures.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from golden_artifacts import unpacked

from icudl.artifacts import write_json
from icudl.cli import main
from icudl.errors import StoreError
from icudl.pipeline.stages import STAGES
from icudl.store.base import MANIFEST
from icudl.store.folder import FolderStore
from icudl.store.manifest import FORMAT, Manifest, content_hash, digest, list_files

Verify = Callable[..., str]
"""Runs ``icudl verify``, of one artifact or of all, and returns what it says; what it finds is an error."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    """A store of artifacts of every kind; whoever damages it mends it."""
    return FolderStore(unpacked(FORMAT, tmp_path_factory.mktemp("sound")))


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """The same, of the test's own."""
    return FolderStore(unpacked(FORMAT, tmp_path))


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Verify:
    def run(store: FolderStore, *words: str, code: int = 5) -> str:
        assert main(["verify", *words, "--store", str(store.root)]) == code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return said.err if code else said.out

    return run


def artifacts(store: FolderStore) -> Iterator[tuple[Manifest, Path]]:
    for manifest in store.manifests():
        yield manifest, store.folder(manifest.node, manifest.id)


def one_of_each_kind(store: FolderStore) -> Iterator[tuple[Manifest, Path]]:
    """Of each stage the artifact with most files: those of its siblings have the same names and are read alike."""
    for node in STAGES:
        manifest = max(store.manifests(node), key=lambda manifest: len(manifest.files))
        yield manifest, store.folder(node, manifest.id)


def of(store: FolderStore, node: str) -> tuple[Manifest, Path]:
    manifest = store.manifests(node)[0]
    return manifest, store.folder(node, manifest.id)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit the manifest of a folder as somebody who knows how its own hash is made."""
    body = json.loads((folder / MANIFEST).read_text("utf-8"))
    del body["sha256"]
    change(body)
    write_json(folder / MANIFEST, body | {"sha256": digest(body)})


def test_a_flipped_byte_or_a_cut_in_any_file_is_found_and_named(sound: FolderStore, verify: Verify) -> None:
    tried = 0
    for manifest, folder in one_of_each_kind(sound):
        for entry in manifest.files:
            path = folder / entry.name
            content = path.read_bytes()
            places = (0, len(content) // 2, len(content) - 1)
            for damaged in (*(flipped(content, place) for place in places), content[:-1], b"", content + b"\n"):
                path.write_bytes(damaged)
                (line,) = sound.check(manifest)
                assert line.startswith(f"{entry.name}: content differs")
                assert f"{len(damaged)} bytes, expected {len(content)}" in line
                tried += 1
            # What the store finds, the command says.
            assert f"{manifest.reference}: {line}" in verify(sound, manifest.reference)
            path.write_bytes(content)
    assert tried > 200
    assert "corrupt" not in verify(sound, code=0)


@pytest.mark.slow  # the next test asks the same of all files at once
def test_a_missing_file_is_found_and_named(store: FolderStore, verify: Verify) -> None:
    for manifest, folder in one_of_each_kind(store):
        for entry in manifest.files:
            aside = store.root / ".aside"
            (folder / entry.name).rename(aside)
            assert f"{manifest.reference}: {entry.name}: missing" in verify(store, manifest.reference)
            aside.rename(folder / entry.name)


def test_all_that_is_missing_is_found_at_once(store: FolderStore, verify: Verify) -> None:
    gone = []
    for manifest, folder in one_of_each_kind(store):
        (folder / manifest.files[-1].name).unlink()
        gone.append(f"{manifest.reference}: {manifest.files[-1].name}: missing")
    said = verify(store)
    assert [words for words in gone if words not in said] == []


@pytest.mark.slow
def test_a_missing_manifest_is_found_and_named(store: FolderStore, verify: Verify) -> None:
    for manifest, folder in list(artifacts(store)):
        content = (folder / MANIFEST).read_bytes()
        (folder / MANIFEST).unlink()
        said = verify(store, "--pieces", "0")
        assert f"{folder / MANIFEST} is missing. Delete {folder} and run its stage again." in said
        # A reference to what is no artifact is refused like any other.
        assert manifest.reference in verify(store, manifest.reference)
        (folder / MANIFEST).write_bytes(content)


@pytest.mark.parametrize("name", ["stray", ".hidden", "checkpoints/fold-9.json", "deep/er/manifest.json"])
def test_an_extra_file_is_found_and_named(name: str, store: FolderStore, verify: Verify) -> None:
    for manifest, folder in list(artifacts(store)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        assert f"{manifest.reference}: {name}: not in the manifest" in verify(store, manifest.reference)
        (folder / name).unlink()


@pytest.mark.slow  # the default suite edits each of its values
def test_any_byte_of_a_manifest_that_is_flipped_is_found(store: FolderStore, verify: Verify) -> None:
    manifest, folder = of(store, "extract")
    path = folder / MANIFEST
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(flipped(content, place))
        with pytest.raises(StoreError, match=r"cannot be read as JSON|was edited|has format|is not a manifest"):
            store.manifest("extract", manifest.id)
    path.write_bytes(content[:-40])
    assert str(path) in verify(store)


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict | list) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*place, key))
    else:
        yield place, value


def with_value(value: Any, place: tuple[Any, ...], item: Any) -> Any:
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = item
    return changed


def test_any_edited_value_of_a_manifest_is_found_and_the_file_named(store: FolderStore, verify: Verify) -> None:
    for _, folder in list(one_of_each_kind(store)):
        path = folder / MANIFEST
        content = path.read_bytes()
        body = json.loads(content)
        for place, value in leaves(body):
            other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else "other"
            write_json(path, with_value(body, place, other))
            with pytest.raises(StoreError, match=r"was edited|has format") as found:
                store.manifest(*folder.parts[-2:])
            assert str(path) in str(found.value)
        assert str(path) in verify(store, "/".join(folder.parts[-2:]))
        path.write_bytes(content)


def other_input(body: dict[str, Any]) -> None:
    name = sorted(body["identity"]["upstream"])[0]
    body["identity"]["upstream"][name]["id"] = "0123456789ab"


def other_seed(body: dict[str, Any]) -> None:
    body["identity"]["seed"] += 1


def other_hash(body: dict[str, Any]) -> None:
    body["files"][0]["sha256"] = digest("other")


def file_left_out(body: dict[str, Any]) -> None:
    del body["files"][0]


def other_content(body: dict[str, Any]) -> None:
    body["content"] = digest("other")


def other_origin(body: dict[str, Any]) -> None:
    body["upstream_content"]["preprocess"] = digest("other")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_input, "its identity hashes to"),
        (other_seed, "its identity hashes to"),
        (other_hash, "content differs"),
        (file_left_out, "not in the manifest"),
        (other_content, "its content hash is not that of its files"),
        (other_origin, "made from other content of preprocess/"),
    ],
)
def test_an_edit_that_mends_the_manifests_own_hash_is_found_as_well(
    change: Callable[[dict[str, Any]], None], words: str, store: FolderStore, verify: Verify
) -> None:
    manifest, folder = of(store, "train")
    rewritten(folder, change)
    said = verify(store, manifest.reference)
    assert words in said
    assert manifest.id in said


def test_a_file_exchanged_together_with_all_its_hashes_is_found_by_what_was_made_from_it(
    store: FolderStore, verify: Verify
) -> None:
    training = store.manifests("train")[0]
    manifest = store.manifest("preprocess", training.identity.upstream["preprocess"].id)
    folder = store.folder("preprocess", manifest.id)
    (folder / "flow.parquet").write_bytes((folder / "stays.parquet").read_bytes())
    files = list_files(folder)
    forged = dataclasses.replace(manifest, files=files, content=content_hash(files))
    write_json(folder / MANIFEST, forged.to_json())
    verify(store, manifest.reference, code=0)
    words = f"{training.reference}: made from other content of {manifest.reference} than is there now"
    assert words in verify(store, training.reference)
    assert words in verify(store)


def test_hashes_are_no_signature(store: FolderStore, verify: Verify) -> None:
    """Whoever mends the manifest's own hash can change what nothing else is computed from; only ``diff`` shows it."""
    manifest, folder = of(store, "train")
    rewritten(folder, lambda body: body["environment"].update(device="cuda"))
    assert verify(store, manifest.reference, code=0) == f"{manifest.reference} ({manifest.name}) sound\n"


@pytest.mark.parametrize("names", [("checkpoints/final.safetensors",), ("checkpoints/final.json",), None])
def test_checkpoints_swapped_between_two_artifacts_are_found(
    names: tuple[str, ...] | None, store: FolderStore, verify: Verify
) -> None:
    """One file, or both files of the checkpoint."""
    (one, first), (other, second) = ((item, store.folder("train", item.id)) for item in store.manifests("train"))
    chosen = names or ("checkpoints/final.safetensors", "checkpoints/final.json")
    for name in chosen:
        content = (first / name).read_bytes()
        (first / name).write_bytes((second / name).read_bytes())
        (second / name).write_bytes(content)
    said = verify(store)
    for name in chosen:
        assert f"{one.reference}: {name}: content differs" in said
        assert f"{other.reference}: {name}: content differs" in said


def test_members_swapped_within_an_artifact_are_found(store: FolderStore, verify: Verify) -> None:
    manifest, folder = of(store, "train")
    one, other = (folder / "checkpoints" / f"fold-{fold}.safetensors" for fold in (0, 1))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    said = verify(store, manifest.reference)
    assert "checkpoints/fold-0.safetensors: content differs" in said
    assert "checkpoints/fold-1.safetensors: content differs" in said


def test_whole_artifacts_in_each_others_place_are_found(store: FolderStore, verify: Verify) -> None:
    (one, first), (other, second) = ((item, store.folder("train", item.id)) for item in store.manifests("train"))
    aside = store.root / ".aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    said = verify(store)
    assert f"{first / MANIFEST} belongs to {other.reference}" in said
    assert f"{second / MANIFEST} belongs to {one.reference}" in said


def test_what_changes_nothing_is_tolerated(store: FolderStore, verify: Verify) -> None:
    manifest, folder = of(store, "train")
    body = json.loads((folder / MANIFEST).read_text("utf-8"))
    (folder / MANIFEST).write_text(json.dumps(dict(reversed(body.items())), indent=7), "utf-8")
    (folder / "empty").mkdir()
    assert verify(store, manifest.reference, code=0) == f"{manifest.reference} ({manifest.name}) sound\n"


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": lambda path: path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 2)),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "missing": lambda path: path.unlink(),
    "stray": lambda path: path.with_name("stray").touch(),
}


@pytest.mark.parametrize(
    "damage",
    ["flipped", "stray", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cut", "missing"))],
)
def test_commands_refuse_damaged_artifacts(
    damage: str, sound: FolderStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training, grid = of(sound, "train")[0].reference, of(sound, "preprocess")[0].reference
    calls = {
        "train": (["predict", training, grid, "--out", str(tmp_path / "risks.csv")], ["evaluate", training, grid]),
        "preprocess": (["predict", training, grid, "--out", str(tmp_path / "risks.csv")],),
        "tune-model": (["trials", of(sound, "tune-model")[0].reference],),
        "analyse": (["figures", of(sound, "analyse")[0].reference, "--out", str(tmp_path / "figures")],),
    }
    for node, commands in calls.items():
        manifest, folder = of(sound, node)
        for number, entry in enumerate(manifest.files):
            shutil.copytree(folder, tmp_path / "aside")
            DAMAGES[damage](folder / entry.name)
            for words in commands if number % 4 == 0 else commands[:1]:
                assert main([*words, "--store", str(sound.root)]) == 5, (entry.name, words)
                error = capsys.readouterr().err
                assert f"{manifest.reference} is corrupt: " in error
                assert ("stray" if damage == "stray" else entry.name) in error
                assert f"Delete {folder} and run the stage again." in error
            shutil.rmtree(folder)
            (tmp_path / "aside").rename(folder)
    assert not (tmp_path / "risks.csv").exists()
