"""Artifacts in folders named by what produced them.

::

    runs/<node>/<id>/manifest.json + files     sealed: moved into place whole, never changed again
    runs/.scratch/<node>-<id>/                 work in progress; a killed stage resumes from it
    runs/.locks/<node>-<id>                    held while the artifact is being made
    runs/.memory/                              hashes of large source files
    runs/.studies/<study>/                     trials of a search, for a longer one to go on from
    runs/logs/<node>-<id>/                     TensorBoard event files
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

from icudl.artifacts import Artifact, read_json, write_json
from icudl.errors import StoreError
from icudl.store.manifest import FileEntry, Manifest, content_hash, list_files
from icudl.store.soundness import faults

A = TypeVar("A", bound=Artifact)

MANIFEST = "manifest.json"


class Store:
    """A folder of artifacts.

    Args:
        root: The folder; made on first use, readable by its owner alone.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, node: str, artifact_id: str) -> Path:
        """Folder of an artifact, sealed or not."""
        return self.root / node / artifact_id

    def scratch(self, node: str, artifact_id: str) -> Path:
        """Make and return the folder for work in progress on an artifact."""
        return self._make(self.root / ".scratch" / f"{node}-{artifact_id}")

    def logs(self, node: str, artifact_id: str) -> Path:
        """Folder for event files beside an artifact (not made here: most stages write none)."""
        return self.root / "logs" / f"{node}-{artifact_id}"

    def memory(self) -> Path:
        """Make and return the folder in which hashes of source files are remembered."""
        return self._make(self.root / ".memory")

    def studies(self) -> Path:
        """Make and return the folder that keeps the trials of searches, whatever their length."""
        return self._make(self.root / ".studies")

    def _make(self, folder: Path) -> Path:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The store {str(self.root)!r} cannot be written: {error.strerror}. "
                "Give --store a folder you may write to."
            ) from error
        return folder

    def has(self, node: str, artifact_id: str) -> bool:
        """Tell whether the artifact is sealed."""
        return (self.folder(node, artifact_id) / MANIFEST).is_file()

    def manifest(self, node: str, artifact_id: str) -> Manifest:
        """Read and check the manifest of an artifact.

        Raises:
            StoreError: The artifact does not exist, or its manifest is damaged or newer.
        """
        path = self.folder(node, artifact_id) / MANIFEST
        if not path.is_file():
            raise StoreError(
                f"There is no artifact {node}/{artifact_id} in {str(self.root)!r}. `icudl status` lists them."
            )
        manifest = Manifest.from_json(read_json(path), path)
        if (manifest.node, manifest.id) != (node, artifact_id):
            raise StoreError(f"{path} belongs to {manifest.reference}: the folder was renamed or its files swapped.")
        return manifest

    def manifests(self, node: str | None = None) -> list[Manifest]:
        """Read all sound manifests (of one node), sorted by reference; damaged ones are left to ``verify``."""
        found: list[Manifest] = []
        for path in sorted(self.root.glob(f"{node or '[!.]*'}/[!.]*/{MANIFEST}")):
            with contextlib.suppress(StoreError):
                found.append(self.manifest(path.parent.parent.name, path.parent.name))
        return found

    def resolve(self, reference: str) -> tuple[str, str]:
        """Return (node, id) of ``"node/id"`` or of the unambiguous beginning of an id.

        Raises:
            StoreError: Nothing or more than one artifact matches.
        """
        node, _, prefix = reference.rpartition("/")
        matches = [
            (path.parent.parent.name, path.parent.name)
            for path in sorted(self.root.glob(f"{node or '[!.]*'}/[!.]*/{MANIFEST}"))
            if prefix and path.parent.name.startswith(prefix)
        ]
        if len(matches) == 1:
            return matches[0]
        if not matches:
            raise StoreError(
                f"Nothing in {str(self.root)!r} matches {reference!r}. Expected NODE/ID; `icudl status` lists them."
            )
        listed = ", ".join("/".join(match) for match in matches)
        raise StoreError(f"{reference!r} matches several artifacts: {listed}. Give more digits.")

    def check(self, manifest: Manifest) -> list[str]:
        """Compare an artifact's files with its manifest; return one line per difference."""
        folder = self.folder(manifest.node, manifest.id)
        actual = {entry.name: entry for entry in list_files(folder)}
        expected = {entry.name: entry for entry in manifest.files}
        problems = [f"{name}: missing" for name in sorted(expected.keys() - actual.keys())]
        problems += [f"{name}: not in the manifest" for name in sorted(actual.keys() - expected.keys())]
        problems += [
            f"{name}: content differs ({_size(actual[name], expected[name])})"
            for name in sorted(expected.keys() & actual.keys())
            if actual[name].sha256 != expected[name].sha256
        ]
        if not problems and content_hash(manifest.files) != manifest.content:
            problems.append("manifest.json: its content hash is not that of its files")
        return problems

    def load(self, kind: type[A], manifest: Manifest) -> A:
        """Read an artifact after comparing every file with its hash.

        Raises:
            StoreError: A file is missing or changed, or the files cannot be read as such an artifact.
        """
        problems = self.check(manifest)
        if problems:
            raise StoreError(
                f"{manifest.reference} is corrupt: {'; '.join(problems)}. "
                f"Delete {self.folder(manifest.node, manifest.id)} and run the stage again."
            )
        try:
            artifact = kind.read(self.folder(manifest.node, manifest.id))
            problems = faults(artifact)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            problems = [f"{type(error).__name__}: {error}"]
        if problems:
            raise StoreError(
                f"{manifest.reference} has the files of its manifest, but they are no sound artifact: "
                f"{'; '.join(problems)}. Delete {self.folder(manifest.node, manifest.id)} and run the stage again."
            )
        return artifact

    def seal(self, node: str, artifact_id: str, artifact: Artifact, describe: Callable[[Path], Manifest]) -> Manifest:
        """Write an artifact beside its place and move it there in one step.

        Args:
            node: Node of the artifact.
            artifact_id: Its id.
            artifact: The value.
            describe: Makes the manifest from the folder with the written files.

        Raises:
            StoreError: The disk is full or the store cannot be written.
        """
        target = self.folder(node, artifact_id)
        partial = target.with_name(f".{artifact_id}.partial")
        try:
            self._make(target.parent)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(mode=0o700)
            artifact.write(partial)
            manifest = describe(partial)
            write_json(partial / MANIFEST, manifest.to_json())
            for path in partial.rglob("*"):
                if path.is_file():
                    path.chmod(0o600)
                    _sync(path)
            if not self.has(node, artifact_id):
                # What is left of an artifact whose removal was cut short has no manifest.
                shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
            _sync(target.parent)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise StoreError(
                f"{node}/{artifact_id} could not be written to {str(self.root)!r}: {error.strerror or error}. "
                "Make room or give --store another folder; finished work is kept."
            ) from error
        shutil.rmtree(self.root / ".scratch" / f"{node}-{artifact_id}", ignore_errors=True)
        return manifest

    @contextlib.contextmanager
    def lock(self, node: str, artifact_id: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the artifact while it is made, so that two runs on one store do not do the same work.

        The lock is the kernel's: it ends with the process, however that ends.
        """
        path = self._make(self.root / ".locks") / f"{node}-{artifact_id}"
        with path.open("a") as handle:
            if not _try_lock(handle):
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def leftovers(self) -> list[Path]:
        """Folders of work that nobody is doing: scratch folders and half-written artifacts that no process holds."""
        candidates = [*self.root.glob(".scratch/*"), *self.root.glob("*/.*.partial")]
        return [path for path in sorted(candidates) if not self._is_held(path)]

    def _is_held(self, path: Path) -> bool:
        name = path.name if path.parent.name == ".scratch" else f"{path.parent.name}-{path.name[1:].split('.')[0]}"
        lock = self.root / ".locks" / name
        if not lock.is_file():
            return False
        with lock.open("a") as handle:
            return not _try_lock(handle)

    def remove(self, manifest: Manifest) -> None:
        """Delete an artifact: first its manifest, so that it is gone at once for every reader."""
        folder = self.folder(manifest.node, manifest.id)
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.logs(manifest.node, manifest.id), ignore_errors=True)


def _try_lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size(actual: FileEntry, expected: FileEntry) -> str:
    return f"{actual.bytes} bytes, expected {expected.bytes} bytes of other content"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def dump(manifest: Manifest) -> str:
    """Return a manifest as readable JSON."""
    return json.dumps(manifest.to_json(), indent=1, sort_keys=True, ensure_ascii=False)
