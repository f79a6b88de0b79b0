"""Artifacts in a bucket, read and written through a folder of this machine.

::

    s3://bucket/prefix/<node>/<id>/<content>/<files>   written first; nobody reads them before the manifest exists
    s3://bucket/prefix/<node>/<id>/manifest.json       written last, unless it exists: from then on the artifact exists
    <cache>/                                           a folder store (``store.folder``): copies of what was read,
                                                       work in progress, locks and studies of this machine

The folder of the files is named by the hash of their content, so that machines which make an artifact at the same time
write the same objects, or objects apart, but never over each other's (docs/decisions/0069).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

from icudl.artifacts import Artifact
from icudl.errors import StoreError
from icudl.store.base import MANIFEST, Store, dump, missing
from icudl.store.folder import FolderStore
from icudl.store.manifest import ID_LENGTH, Manifest, differences, list_files
from icudl.store.objects import Objects

A = TypeVar("A", bound=Artifact)

CACHE_VARIABLE = "ICUDL_CACHE"

_MARK = ".icudl"


def cache_folder(address: str) -> Path:
    """Return the folder of this machine that belongs to a bucket: below ICUDL_CACHE, or the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "icudl"
    name = address.partition("://")[2].strip("/").replace("/", "-")
    return base / f"{name}-{hashlib.sha256(address.rstrip('/').encode()).hexdigest()[:8]}"


class BucketStore(Store):
    """A bucket of artifacts, and a folder of this machine for work in progress.

    Args:
        objects: The objects of the bucket.
        here: Store of this machine for copies and for work in progress; may be deleted while nothing runs.
        abandoned_after: Age from which files without a manifest count as left behind: no upload takes as long.
    """

    def __init__(
        self, objects: Objects, here: FolderStore, *, abandoned_after: dt.timedelta = dt.timedelta(days=1)
    ) -> None:
        self._objects = objects
        self._here = here
        self._abandoned_after = abandoned_after
        self._known: dict[tuple[str, str], Manifest] = {}

    @property
    def name(self) -> str:
        """Address of the bucket."""
        return self._objects.address

    @property
    def root(self) -> Path:
        """Folder of this machine that belongs to the bucket."""
        return self._here.root

    def location(self, node: str, artifact_id: str) -> str:
        """Return the address of an artifact, for messages."""
        return f"{self.name}/{node}/{artifact_id}"

    def scratch(self, node: str, artifact_id: str) -> Path:
        """Make and return the folder for work in progress on an artifact."""
        return self._here.scratch(node, artifact_id)

    def logs(self, node: str, artifact_id: str) -> Path:
        """Return the folder of this machine for event files; they never reach the bucket."""
        return self._here.logs(node, artifact_id)

    def hashes(self) -> Path:
        """Return the folder in which this machine remembers the hashes of source files."""
        return self._here.hashes()

    def studies(self) -> Path:
        """Make and return the folder that keeps this machine's trials of searches."""
        return self._here.studies()

    def settle(self, node: str, artifact_id: str) -> None:
        """Delete the work files of a sealed artifact on this machine."""
        self._here.settle(node, artifact_id)

    def require_writable(self) -> None:
        """Check before any work begins that the bucket and this machine's folder can be written.

        Raises:
            StoreError: The bucket or the folder cannot be written.
        """
        self._here.require_writable()
        self._objects.write(_MARK, b"")

    def has(self, node: str, artifact_id: str) -> bool:
        """Tell whether the manifest of the artifact is in the bucket."""
        return (node, artifact_id) in self._known or self._objects.read(_key(node, artifact_id)) is not None

    def manifest(self, node: str, artifact_id: str) -> Manifest:
        """Read and check the manifest of an artifact.

        Raises:
            StoreError: The artifact does not exist, or its manifest is damaged or of another format.
        """
        if (node, artifact_id) not in self._known:
            data = self._objects.read(_key(node, artifact_id))
            if data is None:
                raise missing(self, node, artifact_id)
            self._known[node, artifact_id] = self._parsed(node, artifact_id, data)
        return self._known[node, artifact_id]

    def _parsed(self, node: str, artifact_id: str, data: bytes) -> Manifest:
        where = f"{self.name}/{_key(node, artifact_id)}"
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{where} is not a manifest. Delete the artifact and run its stage again.") from error
        manifest = Manifest.from_json(value, where)
        if (manifest.node, manifest.id) != (node, artifact_id):
            raise StoreError(f"{where} belongs to {manifest.reference}: the objects were renamed or swapped.")
        for entry in manifest.files:
            parts = PurePosixPath(entry.name)
            if parts.is_absolute() or ".." in parts.parts or "\\" in entry.name or entry.name in {"", MANIFEST}:
                raise StoreError(
                    f"{where} names a file {entry.name!r}, which would lie outside the artifact. It was not written by "
                    "icudl; delete it."
                )
        return manifest

    def references(self, node: str | None = None) -> list[tuple[str, str]]:
        """Return (node, id) of every artifact in the bucket (of one node), sorted."""
        found = (key.split("/") for key in self._objects.times(node or ""))
        return sorted((parts[0], parts[1]) for parts in found if len(parts) == 3 and parts[2] == MANIFEST)

    def manifests(self, node: str | None = None) -> list[Manifest]:
        """Read all sound manifests (of one node), sorted by reference; damaged ones are left to ``verify``."""
        references = self.references(node)
        wanted = {_key(*reference): reference for reference in references if reference not in self._known}
        for key, data in self._objects.read_all(list(wanted)).items():
            with contextlib.suppress(StoreError):
                self._known[wanted[key]] = self._parsed(*wanted[key], data)
        return [self._known[reference] for reference in references if reference in self._known]

    def check(self, manifest: Manifest) -> list[str]:
        """Read every object of an artifact and compare it with the manifest; return one line per difference."""
        folder = _folder(manifest)
        actual = []
        for key in self._objects.times(f"{manifest.node}/{manifest.id}"):
            inside = key.startswith(folder + "/")
            if inside:
                actual.append(self._objects.entry(key, key.removeprefix(folder + "/")))
        return differences(manifest, tuple(actual))

    def fetch(self, manifest: Manifest) -> Path:
        """Return the folder of this machine with the artifact's files, read from the bucket unless it has a copy.

        Copies are compared with the manifest as they arrive, and whenever ``load`` reads them.

        Raises:
            StoreError: The bucket does not hold the files that the manifest names.
        """

        def fill(folder: Path) -> None:
            for entry in manifest.files:
                (folder / entry.name).parent.mkdir(parents=True, exist_ok=True)
                self._objects.download(f"{_folder(manifest)}/{entry.name}", folder / entry.name)
            problems = differences(manifest, list_files(folder))
            if problems:
                raise StoreError(
                    f"{self.location(manifest.node, manifest.id)} is corrupt: {'; '.join(problems)}. "
                    "Delete it and run the stage again."
                )

        return self._here.keep_copy(manifest, fill)

    def load(self, kind: type[A], manifest: Manifest) -> A:
        """Read an artifact after comparing every file with its hash; a damaged copy is read from the bucket again.

        Raises:
            StoreError: A file is missing or changed in the bucket, or the files cannot be read as such an artifact.
        """
        try:
            return super().load(kind, manifest)
        except StoreError:
            copy = self._here.folder(manifest.node, manifest.id)
            if not copy.is_dir() or not self._here.check(manifest):
                raise
            self._here.drop(manifest.node, manifest.id)
            return super().load(kind, manifest)

    def seal(self, node: str, artifact_id: str, artifact: Artifact, describe: Callable[[Path], Manifest]) -> Manifest:
        """Write an artifact here, then its files to the bucket, and its manifest last.

        Raises:
            StoreError: The bucket cannot be written, or another machine meanwhile sealed other content under this id.
        """
        made = self._here.seal(node, artifact_id, artifact, describe)
        self._push(made)
        return self.manifest(node, artifact_id)

    def _push(self, made: Manifest) -> None:
        folder = self._here.folder(made.node, made.id)
        for entry in made.files:
            self._objects.upload(folder / entry.name, f"{_folder(made)}/{entry.name}")
        if self._objects.create(_key(made.node, made.id), dump(made).encode()):
            return
        theirs = self.manifest(made.node, made.id)
        if theirs.content != made.content:
            self._here.drop(made.node, made.id)
            raise StoreError(
                f"{made.reference} was made by another machine meanwhile, with other content: "
                f"{theirs.environment.get('versions')} there, {made.environment.get('versions')} here. Theirs stays in "
                f"{self.name!r}; the same command goes on from it. Use one version of everything, and one kind of "
                "processor, where the bytes matter."
            )

    @contextlib.contextmanager
    def lock(self, node: str, artifact_id: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the artifact on this machine while it is made; first upload one that was made here but not uploaded.

        Raises:
            StoreError: The folder or the bucket cannot be written, or the file system knows no locks.
        """
        with self._here.lock(node, artifact_id, waiting):
            if self._here.has(node, artifact_id) and not self.has(node, artifact_id):
                made = self._here.manifest(node, artifact_id)
                if self._here.check(made):
                    self._here.drop(node, artifact_id)
                else:
                    self._push(made)
            yield

    def places(self) -> list[tuple[str, str]]:
        """Return (node, id) of every artifact, and of those whose files have had no manifest for a day; sorted."""
        return sorted({*self.references(), *self._abandoned()})

    def leftovers(self) -> list[str]:
        """Return leftovers of interrupted runs on this machine, and files in the bucket without manifest for a day."""
        logs_in_use = {f"logs/{node}-{artifact_id}" for node, artifact_id in self.references()}
        return sorted({*self._here.leftovers(), *map("/".join, self._abandoned())} - logs_in_use)

    def _abandoned(self) -> list[tuple[str, str]]:
        times = self._objects.times()
        sealed = {(parts[0], parts[1]) for parts in (key.split("/") for key in times) if parts[2:] == [MANIFEST]}
        newest: dict[tuple[str, str], dt.datetime] = {}
        for key, written in times.items():
            parts = key.split("/")
            if len(parts) > 3 and (parts[0], parts[1]) not in sealed and len(parts[1]) == ID_LENGTH:
                newest[parts[0], parts[1]] = max(newest.get((parts[0], parts[1]), _BEGINNING), written or _BEGINNING)
        now = dt.datetime.now(tz=dt.UTC)
        return [each for each, written in newest.items() if now - written > self._abandoned_after]

    def discard(self, leftover: str) -> None:
        """Delete one of the ``leftovers``.

        Raises:
            StoreError: The folder of this machine is read-only, or the bucket refuses.
        """
        node, _, artifact_id = leftover.partition("/")
        if (node, artifact_id) in self._abandoned():
            self._empty(node, artifact_id)
        self._here.discard(leftover)

    def remove(self, manifest: Manifest) -> None:
        """Delete an artifact, its copy and its logs.

        Raises:
            StoreError: The folder of this machine is read-only, or the bucket refuses.
        """
        self._empty(manifest.node, manifest.id)
        self._here.remove(manifest)

    def _empty(self, node: str, artifact_id: str) -> None:
        """Delete the objects of an artifact, its manifest first, so that no reader sees part of it."""
        self._known.pop((node, artifact_id), None)
        manifest = _key(node, artifact_id)
        others = [key for key in self._objects.times(f"{node}/{artifact_id}") if key != manifest]
        self._objects.delete([manifest, *others])


_BEGINNING = dt.datetime.min.replace(tzinfo=dt.UTC)


def _key(node: str, artifact_id: str) -> str:
    return f"{node}/{artifact_id}/{MANIFEST}"


def _folder(manifest: Manifest) -> str:
    return f"{manifest.node}/{manifest.id}/{manifest.content[:ID_LENGTH]}"
