"""The manifest of an artifact, through the store's own methods."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from decisions import Decisions
from target import Target, seeds_of

from icudl.pipeline.provenance import differences, lineage_entry
from icudl.store.base import dump
from icudl.store.folder import FolderStore
from icudl.store.manifest import FORMAT, ID_LENGTH, FileEntry, Identity, Manifest, Upstream, content_hash, digest

IDENTITY = Identity(
    node="train",
    stage_version=1,
    options={"model": {"name": "lstm", "hidden_size": 16}, "training": {"learning_rate": 0.001}},
    upstream={"preprocess": Upstream(node="preprocess", id="0123456789ab", data="elsewhere")},
    plugin="lstm (icu-deep-learning 1.0)",
    seed=7,
)
FILES = (
    FileEntry(name="metrics.parquet", bytes=3, sha256="0" * 64),
    FileEntry(name="a/b.json", bytes=0, sha256="1" * 64),
)
MANIFEST = Manifest(
    identity=IDENTITY,
    id=IDENTITY.id,
    name="train/lstm",
    content=content_hash(FILES),
    files=FILES,
    upstream_content={"preprocess": "2" * 64},
    options=IDENTITY.options,
    used=IDENTITY.options,
    origins={"model.hidden_size": "--set"},
    restricted=True,
    citations=("physionet",),
    counts={"members": ["fold-0"], "predictions": 3},
    warnings=("a warning",),
    environment={"duration_seconds": 1.5, "peak_memory_bytes": 4096, "versions": {"icudl": "1"}},
)
FIELDS = tuple(field.name for field in dataclasses.fields(Manifest))
BODY = MANIFEST.to_json()
TEXT = json.dumps(BODY, indent=1).encode()

VALUES: tuple[Any, ...] = (
    None, True, 0, 1, -1, 1.5, 10**30, float("nan"), float("inf"), "", "x", "../../x", "/etc/passwd", "\ud800", "\0",
    [], [None], ["x"], [[]], {}, {"x": 1}, {"": None}, {"name": "x"}, {"name": "x", "bytes": 1, "sha256": "y"},
    [{"name": "x", "bytes": "1", "sha256": 2}], [{"name": "../x", "bytes": 1, "sha256": "0" * 64}], {"node": 1}, 1e400,
    "0123456789ab", {"model": 1}, {"nothing": {}}, {"model": {"x": 1}}, {"preprocess": 1}, {"__class__": "x"},
    {"x": {"node": "x", "id": 1}},
)  # fmt: skip
TOKENS = (b"{", b"}", b"[" * 3000, b'"', b"null", b"NaN", b"1e999", b"9" * 5000, b"\xff", b"\\ud800", b"\0", b":", b",")


def _changed(value: Any, decisions: Decisions) -> Any:
    """Replace, remove, add or rename one thing somewhere inside."""
    if not isinstance(value, dict | list) or not value or decisions.one_in(4):
        return decisions.of(VALUES)
    if isinstance(value, list):
        place = decisions.below(len(value))
        return [*value[:place], _changed(value[place], decisions), *value[place + 1 :]]
    key = decisions.of(sorted(value))
    rest = {name: item for name, item in value.items() if name != key}
    match decisions.below(8):
        case 0:
            return rest
        case 1:
            return rest | {decisions.of(("", "id", "x", "format", "files", "identity")): value[key]}
        case 2:
            return value | {decisions.of(("", "x", "sha256", "format")): decisions.of(VALUES)}
        case _:
            return value | {key: _changed(value[key], decisions)}


def _signed(body: Any) -> Any:
    """Give a body the hashes that it would have had, as far as it has any."""
    try:
        if isinstance(body.get("identity"), dict):
            body = body | {"id": digest(body["identity"])[:ID_LENGTH]}
        body = {key: item for key, item in body.items() if key != "sha256"}
        return body | {"sha256": digest(body)}
    except (AttributeError, TypeError, ValueError):
        return body


def _text(decisions: Decisions) -> bytes:
    kind = decisions.below(8)
    if kind == 7:
        return decisions.rest()
    if kind == 6:
        return decisions.spoilt(TEXT, TOKENS)
    body: Any = BODY
    for _ in range(decisions.below(3)):
        body = _changed(body, decisions)
    if decisions.one_in(16) and isinstance(body, dict):
        body = body | {"format": decisions.of((FORMAT, FORMAT + 1, -1, 0, True, "1"))}
    return json.dumps(_signed(body) if kind else body).encode()


def feed(data: bytes, folder: Path) -> None:
    """Read it as the store does, and do with it what the commands that look at manifests do."""
    decisions = Decisions(data)
    text = _text(decisions)
    store = FolderStore(folder / "store")
    path = store.folder("train", IDENTITY.id) / "manifest.json"
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
    path.write_bytes(text)
    listed = store.manifests()
    manifest = store.manifest("train", IDENTITY.id)
    assert listed == [manifest]
    assert manifest.identity.id == manifest.id == IDENTITY.id
    assert Manifest.from_json(json.loads(dump(manifest)), path) == manifest
    assert all(line.strip() for line in store.check(manifest))
    assert differences(manifest.identity, manifest.identity) == []
    assert lineage_entry(manifest).node == "train"
    assert set(vars(manifest)) == set(FIELDS)


TARGET = Target("manifest", feed, seeds_of(24))
