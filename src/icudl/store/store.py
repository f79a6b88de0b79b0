"""Artifacts in folders named by what produced them.

::

    runs/<node>/<id>/manifest.json + files     sealed: moved into place whole, never changed again
    runs/<node>/.<id>.<token>.partial/         not yet sealed, or being removed
    runs/.scratch/<node>-<id>/                 work in progress; a killed stage resumes from it
    runs/.locks/<node>-<id>                    held while the artifact is being made
    runs/.memory/                              hashes of large source files
    runs/.studies/<study>/                     trials of a search, for a longer one to go on from
    runs/logs/<node>-<id>/                     TensorBoard event files
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from icudl.artifacts import Artifact, read_json, write_json
from icudl.errors import StoreError
from icudl.execution import locks
from icudl.files import remove_folder, sync, write_folder_atomically
from icudl.store import modes, refusals
from icudl.store.manifest import ID_LENGTH, Manifest, differences, list_files
from icudl.store.soundness import faults

A = TypeVar("A", bound=Artifact)

MANIFEST = "manifest.json"

_ID = rf"[0-9a-f]{{{ID_LENGTH}}}"
_PARTIAL = re.compile(rf"\.(?P<id>{_ID})\.[0-9a-f]+\.partial")
_WORK = re.compile(rf"(?P<node>[\w-]+)-(?P<id>{_ID})")


class Store:
    """A folder of artifacts.

    Args:
        root: The folder; made on first use, readable by its owner alone. One that was made before with its
            set-group-id bit (``mkdir -m 2770 runs``) is shared with its group.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def name(self) -> str:
        """What a user calls the store."""
        return str(self.root)

    def folder(self, node: str, artifact_id: str) -> Path:
        """Folder of an artifact, sealed or not."""
        return self.root / node / artifact_id

    def location(self, node: str, artifact_id: str) -> str:
        """Where an artifact lies, for messages."""
        return str(self.folder(node, artifact_id))

    def fetch(self, manifest: Manifest) -> Path:
        """Return the folder of this machine in which the artifact's files can be read."""
        return self.folder(manifest.node, manifest.id)

    def scratch(self, node: str, artifact_id: str) -> Path:
        """Make and return the folder for work in progress on an artifact."""
        return self._make(self.root / ".scratch" / f"{node}-{artifact_id}")

    def logs(self, node: str, artifact_id: str) -> Path:
        """Folder for event files beside an artifact; made by who writes some, in a folder that is made here."""
        return self._make(self.root / "logs") / f"{node}-{artifact_id}"

    def memory(self) -> Path:
        """Return the folder in which hashes of source files are remembered; made where the store can be written."""
        folder = self.root / ".memory"
        with contextlib.suppress(StoreError):
            self._make(folder)
        return folder

    def require_writable(self) -> None:
        """Find out before any work is done whether the store takes files.

        Raises:
            StoreError: It does not.
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
            StoreError: The artifact does not exist, or its manifest is damaged or newer.
        """
        path = self.folder(node, artifact_id) / MANIFEST
        if not path.is_file():
            if path.parent.is_dir():
                raise StoreError(f"{path} is missing. Delete {path.parent} and run its stage again.")
            raise self._missing(node, artifact_id)
        manifest = Manifest.from_json(read_json(path), path)
        if (manifest.node, manifest.id) != (node, artifact_id):
            raise StoreError(f"{path} belongs to {manifest.reference}: the folder was renamed or its files swapped.")
        return manifest

    def _missing(self, node: str, artifact_id: str) -> StoreError:
        return StoreError(f"There is no artifact {node}/{artifact_id} in {self.name!r}. `icudl status` lists them.")

    def references(self, node: str | None = None) -> list[tuple[str, str]]:
        """Return (node, id) of every sealed artifact (of one node), sorted."""
        paths = sorted(self.root.glob(f"{node or '[!.]*'}/[!.]*/{MANIFEST}"))
        return [(path.parent.parent.name, path.parent.name) for path in paths]

    def manifests(self, node: str | None = None) -> list[Manifest]:
        """Read all sound manifests (of one node), sorted by reference; damaged ones are left to ``verify``."""
        found: list[Manifest] = []
        for reference in self.references(node):
            with contextlib.suppress(StoreError):
                found.append(self.manifest(*reference))
        return found

    def places(self) -> list[tuple[str, str]]:
        """Return (node, id) of every folder that is an artifact, or was one before its manifest was lost; sorted."""
        folders = sorted(path for path in self.root.glob("[!.]*/[!.]*") if re.fullmatch(_ID, path.name))
        return [(path.parent.name, path.name) for path in folders if path.is_dir()]

    def resolve(self, reference: str) -> tuple[str, str]:
        """Return (node, id) of ``"node/id"`` or of the unambiguous beginning of an id.

        Raises:
            StoreError: Nothing or more than one artifact matches.
        """
        node, _, prefix = reference.rpartition("/")
        matches = [each for each in self.references(node or None) if prefix and each[1].startswith(prefix)]
        if len(matches) == 1:
            return matches[0]
        if not matches:
            raise StoreError(
                f"Nothing in {self.name!r} matches {reference!r}. Expected NODE/ID; `icudl status` lists them."
            )
        listed = ", ".join("/".join(match) for match in matches)
        raise StoreError(f"{reference!r} matches several artifacts: {listed}. Give more digits.")

    def check(self, manifest: Manifest) -> list[str]:
        """Compare an artifact's files with its manifest; return one line per difference."""
        return differences(manifest, list_files(self.folder(manifest.node, manifest.id)))

    def check_inputs(self, manifest: Manifest) -> list[str]:
        """Compare what an artifact was made from with what is there now; return one line per difference.

        An input that was deleted is no difference: what was made from it stays true.
        """
        problems = []
        for node, artifact_id in sorted(manifest.identity.upstream.items()):
            if not self.has(node, artifact_id):
                continue
            now, then = self.manifest(node, artifact_id).content, manifest.upstream_content.get(node)
            if now != then:
                problems.append(f"made from other content of {node}/{artifact_id} than is there now")
        return problems

    def load(self, kind: type[A], manifest: Manifest) -> A:
        """Read an artifact after comparing every file with its hash.

        Raises:
            StoreError: A file is missing or changed, or the files cannot be read as such an artifact.
        """
        folder = self.fetch(manifest)
        problems = differences(manifest, list_files(folder))
        if problems:
            raise StoreError(
                f"{manifest.reference} is corrupt: {'; '.join(problems)}. "
                f"Delete {self.location(manifest.node, manifest.id)} and run the stage again."
            )
        try:
            artifact = kind.read(folder)
            problems = faults(artifact)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            problems = [f"{type(error).__name__}: {error}"]
        if problems:
            raise StoreError(
                f"{manifest.reference} has the files of its manifest, but they are no sound artifact: "
                f"{'; '.join(problems)}. Delete {self.location(manifest.node, manifest.id)} and run the stage again."
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
                # Somebody deleted the manifest alone.
                remove_folder(target)
            try:
                write_folder_atomically(target, fill)
            except OSError:
                # On a file system whose locks hold on one machine only, another may have been faster.
                if not self.has(node, artifact_id) or [self.manifest(node, artifact_id).content] != made:
                    raise
            # The name of the artifact is on the disk, in a folder whose own name may not be yet.
            sync(self.root)
        self._discard(node, artifact_id)
        # As any later run will see it: what is made from it must not depend on who made it.
        return self.manifest(node, artifact_id)

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
        """Delete what is left of the making of a sealed artifact, unless somebody is at it."""
        if self._work(node, artifact_id) and not self._is_held(node, artifact_id):
            # A store that cannot be written now keeps them.
            with contextlib.suppress(OSError):
                self._discard(node, artifact_id)

    def _work(self, node: str, artifact_id: str) -> list[Path]:
        """Folders that are of use to nobody once the artifact is sealed."""
        scratch = self.root / ".scratch"
        found = [*self.root.glob(f"{node}/.{artifact_id}.*.partial"), *scratch.glob(f".{node}-{artifact_id}.*.partial")]
        own = scratch / f"{node}-{artifact_id}"
        return [own, *found] if own.is_dir() else found

    def _discard(self, node: str, artifact_id: str) -> None:
        for path in self._work(node, artifact_id):
            remove_folder(path)

    def leftovers(self) -> list[Path]:
        """What interrupted runs left and nobody works on: scratch folders, half-written artifacts and their logs."""
        aside = [path for place in (".memory", ".scratch", "logs") for path in self.root.glob(f"{place}/.*.partial")]
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
        return sorted({*aside, *idle})

    def discard(self, leftover: Path) -> None:
        """Delete one of the ``leftovers``, in one step for every reader.

        Raises:
            StoreError: The store is read-only.
        """
        try:
            if leftover.is_dir():
                remove_folder(leftover)
            else:
                leftover.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{str(leftover)!r} cannot be deleted: {error.strerror}. Run this where the store can be written."
            ) from error

    def _is_held(self, node: str, artifact_id: str) -> bool:
        return locks.is_held(self._lock(node, artifact_id))

    def remove(self, manifest: Manifest) -> None:
        """Delete an artifact and its logs; it is gone at once for every reader.

        Raises:
            StoreError: The store is read-only.
        """
        self.discard(self.folder(manifest.node, manifest.id))
        self.discard(self.root / "logs" / f"{manifest.node}-{manifest.id}")


def dump(manifest: Manifest) -> str:
    """Return a manifest as readable JSON."""
    return json.dumps(manifest.to_json(), indent=1, sort_keys=True, ensure_ascii=False)
