"""Hashes of the tables of a database, in files or on a server, remembered while the tables stay as they are."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from icudl.artifacts import read_json, write_json
from icudl.errors import StoreError
from icudl.files import write_atomically
from icudl.sources.base import SourceFingerprint

_HASH_BLOCK = 1 << 22
_MOST_AT_ONCE = 8


def hash_files(
    files: Mapping[str, Path], memory: Path, readable: Callable[[str], AbstractContextManager[None]]
) -> dict[str, dict[str, Any]]:
    """Return the size and SHA-256 of each file, by name.

    Hashes are remembered in ``memory`` by path, size, place on the disk and times of change, and large files are hashed
    side by side.

    Args:
        files: Path of each file.
        memory: Folder of the remembered hashes; created if missing.
        readable: Given a name, translates what a reader raises into an error that names the file.
    """
    with remembering(memory / "file-hashes.json") as known:

        def hashed_one(name: str) -> tuple[str, str, int]:
            with readable(name):
                return _hash(files[name], known)

        with ThreadPoolExecutor(max_workers=min(len(files), _MOST_AT_ONCE) or 1) as pool:
            hashed = dict(zip(files, pool.map(hashed_one, files), strict=True))
        known.update({key: digest for key, digest, _ in hashed.values()})
    return {name: {"bytes": size, "sha256": digest} for name, (_, digest, size) in hashed.items()}


def fingerprint_of(rules: str, tables: Mapping[str, Mapping[str, Any]]) -> SourceFingerprint:
    """Return the identity of tables that are read by rules: what the files hold and not where they lie.

    Args:
        rules: Digest of the cleaning rules.
        tables: For each table its ``sha256`` among what a manifest tells of it.
    """
    identity = {"rules": rules, "tables": {name: table["sha256"] for name, table in tables.items()}}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return SourceFingerprint(digest=digest, details={"tables": tables, "rules": rules})


def fingerprint_of_rows(rules: str, tables: Mapping[str, Any]) -> SourceFingerprint:
    """Return the identity of tables on a server that are read by rules.

    Args:
        rules: Digest of the cleaning rules.
        tables: Number and hash of the rows of each table.
    """
    details = {"tables": tables, "rules": rules}
    digest = hashlib.sha256(json.dumps(details, sort_keys=True).encode()).hexdigest()
    return SourceFingerprint(digest=digest, details=details)


@contextlib.contextmanager
def remembering(store: Path) -> Iterator[dict[str, Any]]:
    """Yield what a file remembers, and write what is added to it.

    A file that cannot be read or written is done without: what it does not tell is computed again.
    """
    remembered = _remembered(store)
    known = dict(remembered)
    yield known
    if known != remembered:
        with contextlib.suppress(OSError):
            store.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(store, lambda path: write_json(path, known))


def _remembered(store: Path) -> dict[str, Any]:
    with contextlib.suppress(StoreError):
        content = read_json(store)
        if isinstance(content, dict):
            return content
    return {}


def _hash(path: Path, remembered: Mapping[str, str]) -> tuple[str, str, int]:
    state = path.stat()
    # Programs set the time of modification as they like (``cp -p``, a clock set back); the other time and the inode
    # are the kernel's.
    times = f"{state.st_mtime_ns}|{state.st_ctime_ns}|{state.st_ino}"
    key = f"{path.resolve()}|{state.st_size}|{times}"
    if key in remembered:
        return key, remembered[key], state.st_size
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_HASH_BLOCK):
            digest.update(block)
    return key, digest.hexdigest(), state.st_size
