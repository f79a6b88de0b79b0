"""The store seam: the protocol that the pipeline and the command line use, and how a store is opened.

A store holds sealed artifacts, each named by its node and id, and gives a running stage its folders on this machine.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from icudl.artifacts import Artifact
from icudl.errors import StoreError
from icudl.options import masked
from icudl.store.manifest import Manifest, differences, list_files
from icudl.store.objects import is_address
from icudl.store.soundness import faults

A = TypeVar("A", bound=Artifact)

MANIFEST = "manifest.json"


@runtime_checkable
class Store(Protocol):
    """A store of artifacts; a class that derives from it inherits the members that follow from the others.

    An artifact exists whole or not at all for every reader, whenever a writer dies. A sealed artifact never changes.
    """

    @property
    def name(self) -> str:
        """Name of the store for users: its folder or its address."""
        ...

    @property
    def root(self) -> Path:
        """Folder of this machine in which work in progress, locks and logs lie."""
        ...

    # Sealed artifacts.

    def location(self, node: str, artifact_id: str) -> str:
        """Return where an artifact lies, for messages."""
        ...

    def has(self, node: str, artifact_id: str) -> bool:
        """Tell whether the artifact is sealed."""
        ...

    def manifest(self, node: str, artifact_id: str) -> Manifest:
        """Read and check the manifest of an artifact.

        Raises:
            StoreError: The artifact does not exist, or its manifest is damaged or of another format.
        """
        ...

    def references(self, node: str | None = None) -> list[tuple[str, str]]:
        """Return (node, id) of every sealed artifact (of one node), sorted."""
        ...

    def places(self) -> list[tuple[str, str]]:
        """Return (node, id) of every sealed artifact and of those that lost their manifest, sorted."""
        ...

    def fetch(self, manifest: Manifest) -> Path:
        """Return a folder of this machine in which the artifact's files can be read.

        Raises:
            StoreError: The files cannot be read, or differ from the manifest.
        """
        ...

    def check(self, manifest: Manifest) -> list[str]:
        """Compare an artifact's files with its manifest; return one line per difference."""
        ...

    def seal(self, node: str, artifact_id: str, artifact: Artifact, describe: Callable[[Path], Manifest]) -> Manifest:
        """Write an artifact so that it appears in one step, and return its manifest as later runs read it.

        Args:
            node: Node of the artifact.
            artifact_id: Its id.
            artifact: The value.
            describe: Makes the manifest from the folder with the written files.

        Raises:
            StoreError: The store cannot be written, or meanwhile holds other content under this id.
        """
        ...

    def remove(self, manifest: Manifest) -> None:
        """Delete an artifact and its logs; it is gone at once for every reader.

        Raises:
            StoreError: The store is read-only.
        """
        ...

    # Work in progress on this machine.

    def require_writable(self) -> None:
        """Check before any work begins that the store can be written.

        Raises:
            StoreError: The store cannot be written.
        """
        ...

    def lock(
        self, node: str, artifact_id: str, waiting: Callable[[], None] = lambda: None
    ) -> contextlib.AbstractContextManager[None]:
        """Hold the artifact while it is made, so that two runs of one machine do not do the same work.

        Args:
            node: Node of the artifact.
            artifact_id: Its id.
            waiting: Called where another process holds the artifact, before this one waits for it.

        Raises:
            StoreError: The store cannot be written, or its file system knows no locks.
        """
        ...

    def scratch(self, node: str, artifact_id: str) -> Path:
        """Make and return the folder for work in progress on an artifact; a killed stage resumes from it."""
        ...

    def logs(self, node: str, artifact_id: str) -> Path:
        """Return the folder for event files beside an artifact; whoever writes event files makes it."""
        ...

    def hashes(self) -> Path:
        """Return the folder that keeps hashes of source files; it is created if the store can be written."""
        ...

    def studies(self) -> Path:
        """Make and return the folder that keeps the trials of searches, whatever their length."""
        ...

    def settle(self, node: str, artifact_id: str) -> None:
        """Delete the work files of a sealed artifact, unless another process uses them."""
        ...

    def leftovers(self) -> list[str]:
        """Return the names of folders that interrupted runs left and no process uses, sorted."""
        ...

    def discard(self, leftover: str) -> None:
        """Delete one of the ``leftovers``, in one step for every reader.

        Raises:
            StoreError: The store is read-only.
        """
        ...

    # What follows from the members above.

    def manifests(self, node: str | None = None) -> list[Manifest]:
        """Read all sound manifests (of one node), sorted by reference; damaged ones are left to ``verify``."""
        found: list[Manifest] = []
        for reference in self.references(node):
            with contextlib.suppress(StoreError):
                found.append(self.manifest(*reference))
        return found

    def resolve(self, reference: str) -> tuple[str, str]:
        """Return (node, id) of ``"node/id"`` or of the unambiguous beginning of an id.

        Raises:
            StoreError: No artifact or more than one matches.
        """
        node, _, prefix = reference.rpartition("/")
        matches = [each for each in self.references(node or None) if prefix and each[1].startswith(prefix)]
        if len(matches) == 1:
            return matches[0]
        if not matches and not self.references():
            raise StoreError(
                f"Nothing in {self.name!r} matches {reference!r}: it holds no result. Give --store the folder of a "
                "run, or begin one with `icudl run` or `icudl demo`."
            )
        if not matches:
            raise StoreError(
                f"Nothing in {self.name!r} matches {reference!r}. Expected a name, an id, or `latest`; `icudl list` "
                "shows what there is."
            )
        listed = ", ".join("/".join(match) for match in matches)
        raise StoreError(f"{reference!r} matches several artifacts: {listed}. Give more digits.")

    def check_inputs(self, manifest: Manifest) -> list[str]:
        """Compare the inputs of an artifact with the store's present content; return one line per difference.

        A deleted input is no difference: the artifact made from it stays valid.
        """
        problems = []
        for name, entry in sorted(manifest.identity.upstream.items()):
            if not self.has(entry.node, entry.id):
                continue
            now, then = self.manifest(entry.node, entry.id).content, manifest.upstream_content.get(name)
            if now != then:
                problems.append(f"made from other content of {entry.reference} than is there now")
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


def open_store(where: Path | str, cache: Path | None = None) -> Store:
    """Return the store in a folder, or at an address such as ``s3://bucket/prefix``.

    Args:
        where: Folder or address.
        cache: Folder of this machine for the copies and the work in progress of a bucket; None takes one below
            ``ICUDL_CACHE`` or the user's cache folder. A store in a folder does not use it.

    Raises:
        StoreError: The address is malformed, or its bucket does not exist or is out of reach.
    """
    from icudl.store.folder import FolderStore

    if isinstance(where, Path) and is_address(str(where)):
        raise StoreError(
            f"{masked(str(where))!r} is a path made of an address. Give the address of the store as text, "
            "s3://BUCKET/PREFIX, or a folder."
        )
    if isinstance(where, str) and is_address(where):
        from icudl.store.bucket import BucketStore, cache_folder
        from icudl.store.objects import Objects

        return BucketStore(Objects(where), FolderStore(cache or cache_folder(where)))
    return FolderStore(Path(where))


def missing(store: Store, node: str, artifact_id: str) -> StoreError:
    """Return the error of an artifact that is not in the store."""
    return StoreError(f"There is no artifact {node}/{artifact_id} in {store.name!r}. `icudl list` shows the results.")


def dump(manifest: Manifest) -> str:
    """Return a manifest as readable JSON."""
    return json.dumps(manifest.to_json(), indent=1, sort_keys=True, ensure_ascii=False)
