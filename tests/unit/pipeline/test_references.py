"""A result is meant by its name, its id, the beginning of one, or ``latest``."""

from __future__ import annotations

from pathlib import Path

import pytest

from icudl.errors import StoreError
from icudl.pipeline.graph import Key, Node
from icudl.pipeline.plan import Step
from icudl.pipeline.references import find_result, newest_first
from icudl.pipeline.stages import STAGES
from icudl.store.base import open_store
from icudl.store.folder import FolderStore
from icudl.store.manifest import Identity, Manifest, content_hash, list_files


class Note:
    """An artifact of one file."""

    def write(self, folder: Path) -> None:
        (folder / "note.txt").write_text("x", "utf-8")


def seal(store: FolderStore, node: str, name: str, started: str, seed: int = 0) -> Manifest:
    identity = Identity(node=node, stage_version=1, options={"x": {"name": name}}, upstream={}, plugin="", seed=seed)

    def describe(folder: Path) -> Manifest:
        files = list_files(folder)
        return Manifest(
            identity=identity,
            id=identity.id,
            name=name,
            content=content_hash(files),
            files=files,
            upstream_content={},
            options={},
            used={},
            origins={},
            restricted=False,
            citations=(),
            counts={},
            warnings=(),
            environment={"started": started},
        )

    return store.seal(node, identity.id, Note(), describe)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    found = open_store(tmp_path / "runs")
    assert isinstance(found, FolderStore)
    seal(found, "train", "train/lstm", "2026-01-01T10:00:00+00:00")
    seal(found, "train", "train/gru", "2026-01-01T11:00:00+00:00")
    seal(found, "train", "train/gru", "2026-01-01T12:00:00+00:00", seed=1)
    seal(found, "report", "report", "2026-01-01T13:00:00+00:00")
    return found


def started(manifest: Manifest) -> str:
    return str(manifest.environment["started"])[11:13]


@pytest.mark.parametrize(
    ("reference", "stage", "hour"),
    [
        ("train/lstm", "", "10"),
        ("lstm", "train", "10"),
        ("lstm", "", "10"),
        ("gru", "", "12"),
        ("train/gru", "", "12"),
        ("latest", "", "13"),
        ("latest", "train", "12"),
        ("train/latest", "", "12"),
        ("report", "", "13"),
    ],
)
def test_names_and_latest(store: FolderStore, reference: str, stage: str, hour: str) -> None:
    assert started(find_result(store, reference, stage=stage)) == hour


def test_ids_and_their_beginnings(store: FolderStore) -> None:
    for manifest in store.manifests():
        assert find_result(store, manifest.reference) == manifest
        assert find_result(store, manifest.id) == manifest
        assert find_result(store, manifest.id[:8]) == manifest
        assert find_result(store, manifest.id[:8], stage=manifest.node) == manifest


def test_a_name_of_the_study_goes_before_the_name_that_a_result_was_made_under(store: FolderStore) -> None:
    """Two entries have exchanged their names since: what is shown carries the names of the study at hand."""
    made = {manifest.name: manifest for manifest in store.manifests("train")}
    swapped = {"train/lstm": made["train/gru"], "train/gru": made["train/lstm"]}
    plan = [
        Step(
            node=Node(key=Key(stage="train"), name=name, stage=STAGES["train"], tables={}, upstream={}),
            identity=manifest.identity,
            done=True,
            reason="",
        )
        for name, manifest in swapped.items()
    ]
    for name, manifest in swapped.items():
        found = find_result(store, name, plan=plan)
        assert (found.name, found.id) == (name, manifest.id)


def test_the_newest_comes_first(store: FolderStore) -> None:
    assert [started(manifest) for manifest in newest_first(store.manifests())] == ["13", "12", "11", "10"]


@pytest.mark.parametrize(
    ("reference", "stage", "words"),
    [
        ("train/gur", "", ["train/gur", "Did you mean 'train/gru'"]),
        ("gur", "train", ["gur", "Did you mean 'gru'"]),
        ("report", "train", ["report", "not a result of `icudl train`", "train/gru, train/lstm"]),
        ("attack/latest", "", ["no result of attack yet"]),
        ("trian/latest", "", ["Unknown stage 'trian'", "Did you mean 'train'"]),
        ("", "", ["a name, an id"]),
        ("train", "", ["'train' begins the names of 2 results: train/gru, train/lstm. Name one."]),
    ],
)
def test_what_means_nothing_is_said(store: FolderStore, reference: str, stage: str, words: list[str]) -> None:
    with pytest.raises(StoreError) as caught:
        find_result(store, reference, stage=stage)
    assert all(word in str(caught.value) for word in words), str(caught.value)
