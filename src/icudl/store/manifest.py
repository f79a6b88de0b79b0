"""Provenance of one artifact: the stage and inputs that made it, and the hashes of its bytes."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from icudl.errors import StoreError
from icudl.files import hash_file

FORMAT = 2
"""Version of the manifest's layout; a store refuses newer ones."""

OLDEST_FORMAT = 2
"""The oldest layout that is still read; ``tests/golden`` holds artifacts of each layout from this one on."""

LAST_TO_READ = {1: "0.1.0"}
"""The last version of icudl that reads a layout which this one refuses."""

ID_LENGTH = 12


def canonical_json(value: Any) -> str:
    """Return JSON in which equal values have equal text: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(value: Any) -> str:
    """Return the hexadecimal SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Upstream:
    """One input of a stage.

    Attributes:
        node: Stage that made it.
        id: Its id.
        model: Name of its model in the study, where the stage that reads it tells models apart (the report), or "".
        attack: Name of its attack, likewise.
        data: Name of its data set, likewise.
        position: Its place among the inputs, where their order matters (the report); else 0.
    """

    node: str
    id: str
    model: str = ""
    attack: str = ""
    data: str = ""
    position: int = 0

    @property
    def reference(self) -> str:
        """``node/id``."""
        return f"{self.node}/{self.id}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """Everything that decides what a stage computes; its hash is the artifact's id.

    Names of a study's entries are no part of an identity, so a result keeps its id when its model is renamed. The
    identity of a report contains them, because the report shows them.

    Attributes:
        node: Name of the stage.
        stage_version: Raised when a stage's code changes what it computes.
        options: Own option tables, without those that cannot change a result.
        upstream: Inputs by the name that the stage has for them.
        plugin: Name and version of the plug-in used, or "".
        seed: Root seed.
        fingerprint: Digest of what the stage reads beside its inputs: the source's data, or the file of a model.
    """

    node: str
    stage_version: int
    options: Mapping[str, Any]
    upstream: Mapping[str, Upstream]
    plugin: str
    seed: int
    fingerprint: str = ""

    @functools.cached_property
    def id(self) -> str:
        """First ``ID_LENGTH`` hexadecimal digits of the SHA-256 over all attributes."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return digest(values | {"upstream": {name: vars(entry) for name, entry in self.upstream.items()}})[:ID_LENGTH]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of an artifact."""

    name: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        identity: The identity, whose hash is the id.
        id: Id of the artifact.
        name: Name of the artifact in the study that made it, such as ``train/lstm``.
        content: SHA-256 over names and hashes of all files: equal content, equal artifact.
        files: Every file but the manifest.
        upstream_content: Content hashes of the inputs by name, at the time when they were read.
        options: Requested option tables, including options without influence on the result.
        used: Option tables that were used, with the choices of searches in place. Readers are shown these.
        origins: Where each value that is not a default came from, by dotted key.
        restricted: True where the artifact derives from credentialed data.
        citations: Keys of the works to cite.
        counts: Cleaning, exclusion or result counts worth reading without opening the artifact.
        warnings: Warnings that a reader should know before using the artifact.
        environment: Versions, device, host-independent facts of the run; never compared.
        source: Details of the source's fingerprint, for extract only.
    """

    identity: Identity
    id: str
    name: str
    content: str
    files: tuple[FileEntry, ...]
    upstream_content: Mapping[str, str]
    options: Mapping[str, Any]
    used: Mapping[str, Any]
    origins: Mapping[str, str]
    restricted: bool
    citations: tuple[str, ...]
    counts: Mapping[str, Any]
    warnings: tuple[str, ...]
    environment: Mapping[str, Any]
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def node(self) -> str:
        """Node of the artifact."""
        return self.identity.node

    @property
    def reference(self) -> str:
        """``node/id``."""
        return f"{self.node}/{self.id}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with the format version and a hash over everything else."""
        body: dict[str, Any] = json.loads(canonical_json(dataclasses.asdict(self))) | {"format": FORMAT}
        return body | {"sha256": digest(body)}

    @classmethod
    def from_json(cls, value: Any, path: Path | str) -> Self:
        """Read and check the result of ``to_json``.

        Raises:
            StoreError: The value is not a manifest, was edited, or has another format.
        """
        if not isinstance(value, dict) or "format" not in value:
            raise StoreError(f"{path} is not a manifest. Delete the artifact's folder and run its stage again.")
        _require_format(value["format"], path)
        body = {key: item for key, item in value.items() if key != "sha256"}
        if value.get("sha256") != _digest_of(body):
            raise StoreError(f"{path} was edited: its own hash differs. Delete the artifact and run its stage again.")
        body.pop("format")
        try:
            identity = _identity_of(body.pop("identity"))
            files = tuple(FileEntry(**entry) for entry in body.pop("files"))
            for name in ("citations", "warnings"):
                body[name] = tuple(body[name])
            manifest = cls(identity=identity, files=files, **body)
            _check_types(manifest)
        except (AttributeError, KeyError, TypeError) as error:
            raise StoreError(f"{path} is not a complete manifest ({error}). Run its stage again.") from error
        if manifest.identity.id != manifest.id:
            raise StoreError(f"{path} names id {manifest.id}, but its identity hashes to {manifest.identity.id}.")
        return manifest


def _identity_of(value: Mapping[str, Any]) -> Identity:
    upstream = {name: Upstream(**entry) for name, entry in value["upstream"].items()}
    return Identity(**{**value, "upstream": upstream})


def _digest_of(body: Mapping[str, Any]) -> str:
    """Return the digest of a body, or "" if ``to_json`` could not have written it."""
    try:
        return digest(body)
    except (ValueError, RecursionError):
        return ""


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "node": str,
    "stage_version": int,
    "plugin": str,
    "seed": int,
    "fingerprint": str,
    "id": str,
    "content": str,
    "model": str,
    "attack": str,
    "data": str,
    "position": int,
    "name": str,
    "bytes": int,
    "sha256": str,
    "restricted": bool,
    "counts": dict,
    "environment": dict,
    "source": dict,
}
_TEXTS_BY_NAME = ("upstream_content", "origins")


def _check_types(manifest: Manifest) -> None:
    """Raise TypeError if the value of a field contradicts its annotation."""
    for part in (manifest, manifest.identity, *manifest.identity.upstream.values(), *manifest.files):
        for name, value in vars(part).items():
            if name in _KINDS and not isinstance(value, _KINDS[name]):
                raise TypeError(f"{name} = {value!r}")
            if name in _TEXTS_BY_NAME and not all(isinstance(item, str) for item in value.values()):
                raise TypeError(f"{name} = {value!r}")
            if name in {"options", "used"} and not all(isinstance(item, dict) for item in value.values()):
                raise TypeError(f"{name} = {value!r}")
            if name in {"citations", "warnings"} and not all(isinstance(item, str) for item in value):
                raise TypeError(f"{name} = {value!r}")


def _require_format(found: object, path: Path | str) -> None:
    if type(found) is int and found in LAST_TO_READ:
        raise StoreError(
            f"{path} has format {found}, which icudl {LAST_TO_READ[found]} is the last to read. Install that version "
            "beside this one to look at the result, or run the study again with another --store."
        )
    if type(found) is not int or found < OLDEST_FORMAT:
        raise StoreError(
            f"{path} has format {found!r}; this version reads formats {OLDEST_FORMAT} to {FORMAT}. "
            "Delete the artifact's folder and run its stage again."
        )
    if found > FORMAT:
        raise StoreError(f"{path} has format {found}; this version reads up to {FORMAT}. Install a newer icudl.")


def content_hash(files: tuple[FileEntry, ...]) -> str:
    """Return the hash over names and hashes of an artifact's files."""
    return digest([[entry.name, entry.sha256] for entry in sorted(files, key=lambda entry: entry.name)])


def list_files(folder: Path) -> tuple[FileEntry, ...]:
    """Hash every file of an artifact folder but the manifest, sorted by name."""
    return tuple(
        FileEntry(name=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=hash_file(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).as_posix() != "manifest.json"
    )


def differences(manifest: Manifest, files: tuple[FileEntry, ...]) -> list[str]:
    """Compare files with their entries in a manifest; return one line per difference."""
    actual = {entry.name: entry for entry in files}
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


def _size(actual: FileEntry, expected: FileEntry) -> str:
    return f"{actual.bytes} bytes, expected {expected.bytes} bytes of other content"
