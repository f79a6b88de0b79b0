"""Artifacts in a folder, under names that follow from what produced them.

::

    runs/<node>/<id>/manifest.json + files     sealed: moved into place whole, never changed again
    runs/<node>/.<id>.<token>.partial/         not yet sealed, or being removed
    runs/.scratch/<node>-<id>/                 work in progress; a killed stage resumes from it
    runs/.locks/<node>-<id>                    held while the artifact is being made
    runs/.hashes/                              hashes of large source files
    runs/.studies/<study>/                     trials of a search, for a longer search to go on from
    runs/logs/<node>-<id>/                     TensorBoard event files
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from icudl.artifacts import Artifact, read_json, write_json
from icudl.errors import StoreError
from icudl.execution import locks
from icudl.files import remove_folder, sync, write_folder_atomically
from icudl.store import modes, refusals
from icudl.store.base import MANIFEST, Store, dump, missing
from icudl.store.manifest import ID_LENGTH, Manifest, differences, list_files

_ID = rf"[0-9a-f]{{{ID_LENGTH}}}"
_PARTIAL = re.compile(rf"\.(?P<id>{_ID})\.[0-9a-f]+\.partial")
_WORK = re.compile(rf"(?P<node>[\w-]+)-(?P<id>{_ID})")


class FolderStore(Store):
    """A folder of artifacts.

    Args:
        root: The folder; created on first use, readable by its owner alone. A folder that exists with its
            set-group-id bit (``mkdir -m 2770 runs``) is shared with its group.

    Raises:
        StoreError: The root is a file.
    """

    def __init__(self, root: Path) -> None:
        if root.is_file():
            raise StoreError(f"The store {str(root)!r} is a file. Give --store a folder.")
        self._root = root

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.root)

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def folder(self, node: str, artifact_id: str) -> Path:
        """Return the folder of an artifact, sealed or not."""
        return self.root / node / artifact_id

    def location(self, node: str, artifact_id: str) -> str:
        """Return the folder of an artifact, for messages."""
        return str(self.folder(node, artifact_id))

    def fetch(self, manifest: Manifest) -> Path:
        """Return the folder of the artifact."""
        return self.folder(manifest.node, manifest.id)

    def scratch(self, node: str, artifact_id: str) -> Path:
        """Make and return the folder for work in progress on an artifact."""
        return self._make(self.root / ".scratch" / f"{node}-{artifact_id}")

    def logs(self, node: str, artifact_id: str) -> Path:
        """Return the folder for event files beside an artifact; whoever writes event files makes it."""
        return self._make(self.root / "logs") / f"{node}-{artifact_id}"

    def hashes(self) -> Path:
        """Return the folder that keeps hashes of source files; it is created if the store can be written."""
        folder = self.root / ".hashes"
        with contextlib.suppress(StoreError):
            self._make(folder)
        return folder

    def require_writable(self) -> None:
        """Check before any work begins that the store can be written.

        Raises:
            StoreError: The folder cannot be written, or its file system knows no locks.
        """
        with self.lock("store", "writable"):
            pass

    def studies(self) -> Path:
        """Make and return the folder that keeps the trials of searches, whatever their length."""
        folder = self._make(self.root / ".studies")
        sync(self.root)
        return folder

    def _make(self, folder: Path) -> Path:
        try:
            modes.make_folder(self.root, folder)
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
            StoreError: The artifact does not exist, or its manifest is damaged or of another format.
        """
        path = self.folder(node, artifact_id) / MANIFEST
        if not path.is_file():
            if path.parent.is_dir():
                raise StoreError(f"{path} is missing. Delete {path.parent} and run its stage again.")
            raise missing(self, node, artifact_id)
        manifest = Manifest.from_json(read_json(path), path)
        if (manifest.node, manifest.id) != (node, artifact_id):
            raise StoreError(f"{path} belongs to {manifest.reference}: the folder was renamed or its files swapped.")
        return manifest

    def references(self, node: str | None = None) -> list[tuple[str, str]]:
        """Return (node, id) of every sealed artifact (of one node), sorted."""
        paths = sorted(self.root.glob(f"{node or '[!.]*'}/[!.]*/{MANIFEST}"))
        return [(path.parent.parent.name, path.parent.name) for path in paths]

    def places(self) -> list[tuple[str, str]]:
        """Return (node, id) of every folder that is an artifact, or was one before its manifest was lost; sorted."""
        folders = sorted(path for path in self.root.glob("[!.]*/[!.]*") if re.fullmatch(_ID, path.name))
        return [(path.parent.name, path.name) for path in folders if path.is_dir()]

    def check(self, manifest: Manifest) -> list[str]:
        """Compare an artifact's files with its manifest; return one line per difference."""
        return differences(manifest, list_files(self.folder(manifest.node, manifest.id)))

    def seal(self, node: str, artifact_id: str, artifact: Artifact, describe: Callable[[Path], Manifest]) -> Manifest:
        """Write an artifact beside its place and move it there in one step; see ``Store.seal``.

        Raises:
            StoreError: The disk is full or the store cannot be written.
        """
        target = self.folder(node, artifact_id)
        made: list[str] = []

        def fill(folder: Path) -> None:
            folder.chmod(0o700)
            artifact.write(folder)
            manifest = describe(folder)
            made.append(manifest.content)
            write_json(folder / MANIFEST, manifest.to_json())
            modes.protect(self.root, folder)

        with refusals.translated(f"{node}/{artifact_id}", self.root, refusals.why):
            self._make(target.parent)
            if target.is_dir() and not self.has(node, artifact_id):
                # A user deleted the manifest alone.
                remove_folder(target)
            try:
                write_folder_atomically(target, fill)
            except OSError:
                # On a file system whose locks hold on one machine only, another may have been faster.
                if not self.has(node, artifact_id) or [self.manifest(node, artifact_id).content] != made:
                    raise
            # The name of the artifact is on the disk, but that of its folder may not be.
            sync(self.root)
        self._discard(node, artifact_id)
        # Read as a later run reads it: results made from the artifact must not depend on the run that made it.
        return self.manifest(node, artifact_id)

    def keep_copy(self, manifest: Manifest, fill: Callable[[Path], None]) -> Path:
        """Make the folder of an artifact that was sealed elsewhere, unless an equal one exists; return the folder.

        Args:
            manifest: Manifest of the artifact.
            fill: Writes the artifact's files into the folder that it is given, or raises.

        Raises:
            StoreError: The store cannot be written.
        """
        target = self.folder(manifest.node, manifest.id)
        if self._holds(manifest):
            return target

        def complete(folder: Path) -> None:
            fill(folder)
            (folder / MANIFEST).write_text(dump(manifest), "utf-8")
            modes.protect(self.root, folder)

        with refusals.translated(f"A copy of {manifest.reference}", self.root, refusals.refusal):
            self._make(target.parent)
            if target.is_dir():
                remove_folder(target)
            try:
                write_folder_atomically(target, complete)
            except OSError:
                # Another run of this machine was faster.
                if not self._holds(manifest):
                    raise
        return target

    def _holds(self, manifest: Manifest) -> bool:
        """Tell whether the store holds what was once exactly the files of the manifest."""
        try:
            return self.manifest(manifest.node, manifest.id).content == manifest.content
        except StoreError:
            return False

    def drop(self, node: str, artifact_id: str) -> None:
        """Delete the folder of an artifact in one step, and leave its logs."""
        remove_folder(self.folder(node, artifact_id))

    def lock(
        self, node: str, artifact_id: str, waiting: Callable[[], None] = lambda: None
    ) -> contextlib.AbstractContextManager[None]:
        """Hold the artifact while it is made, so that two runs on one store do not do the same work.

        Raises:
            StoreError: The store cannot be written, or its file system knows no locks.
        """
        self._make(self.root / ".locks")
        modes.share_lock(self.root, self._lock(node, artifact_id))
        return locks.held(self._lock(node, artifact_id), waiting)

    def _lock(self, node: str, artifact_id: str) -> Path:
        return self.root / ".locks" / f"{node}-{artifact_id}"

    def settle(self, node: str, artifact_id: str) -> None:
        """Delete the work files of a sealed artifact, unless another process uses them."""
        if self._work(node, artifact_id) and not self._is_held(node, artifact_id):
            # A store that cannot be written now keeps the files.
            with contextlib.suppress(OSError):
                self._discard(node, artifact_id)

    def _work(self, node: str, artifact_id: str) -> list[Path]:
        """Return the folders that nothing needs once the artifact is sealed."""
        scratch = self.root / ".scratch"
        found = [*self.root.glob(f"{node}/.{artifact_id}.*.partial"), *scratch.glob(f".{node}-{artifact_id}.*.partial")]
        own = scratch / f"{node}-{artifact_id}"
        return [own, *found] if own.is_dir() else found

    def _discard(self, node: str, artifact_id: str) -> None:
        for path in self._work(node, artifact_id):
            remove_folder(path)

    def leftovers(self) -> list[str]:
        """Return the scratch folders, half-written artifacts and their logs that no process works on."""
        aside = [path for place in (".hashes", ".scratch", "logs") for path in self.root.glob(f"{place}/.*.partial")]
        named = [(path, _PARTIAL.fullmatch(path.name), path.parent.name) for path in self.root.glob("*/.*.partial")]
        for place in (".scratch", "logs"):
            named += [(path, _WORK.fullmatch(path.name), "") for path in self.root.glob(f"{place}/*")]
        idle = [
            path
            for path, match, node in named
            if match is not None
            and not self._is_held(node or match["node"], match["id"])
            and not (path.parent.name == "logs" and self.has(match["node"], match["id"]))
        ]
        return sorted(path.relative_to(self.root).as_posix() for path in {*aside, *idle})

    def discard(self, leftover: str) -> None:
        """Delete one of the ``leftovers``, in one step for every reader.

        Raises:
            StoreError: The store is read-only.
        """
        self._delete(self.root / leftover)

    def _delete(self, path: Path) -> None:
        try:
            if path.is_dir():
                remove_folder(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{str(path)!r} cannot be deleted: {error.strerror}. Run this where the store can be written."
            ) from error

    def _is_held(self, node: str, artifact_id: str) -> bool:
        return locks.is_held(self._lock(node, artifact_id))

    def remove(self, manifest: Manifest) -> None:
        """Delete an artifact and its logs; it is gone at once for every reader.

        Raises:
            StoreError: The store is read-only.
        """
        self._delete(self.folder(manifest.node, manifest.id))
        self._delete(self.root / "logs" / f"{manifest.node}-{manifest.id}")
