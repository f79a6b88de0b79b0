"""Objects of a bucket, through fsspec; every failure becomes one error that says what to do."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from icudl.errors import StoreError
from icudl.options import scheme_of
from icudl.store.manifest import FileEntry

_BLOCK = 1 << 22
_TIMEOUT_SECONDS = 10
_S3 = {"s3", "s3a"}
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "NoAuthTokenError"}
_UNREACHABLE = {
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ConnectionClosedError",
    "ClientConnectorError",
    "ServerDisconnectedError",
}


def is_address(where: object) -> bool:
    """Tell an address (``s3://bucket/prefix``) from a folder."""
    return isinstance(where, str) and scheme_of(where) != ""


class Objects:
    """The objects below an address; keys are relative to it.

    Args:
        address: ``s3://BUCKET`` or ``s3://BUCKET/PREFIX``. Credentials, region and, for other servers than Amazon's,
            the endpoint (``AWS_ENDPOINT_URL``) come from the environment or from the files that every S3 client reads.

    Raises:
        StoreError: The address is malformed, the extra is not installed, or the bucket is missing or out of reach.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        if "@" in parts.netloc:
            raise StoreError(
                "The address of a store holds credentials, which every user of the machine could read. Expected "
                "s3://BUCKET/PREFIX; give the credentials as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        if parts.scheme in {"file", "local", "http", "https"} or not parts.netloc or parts.query or parts.fragment:
            raise StoreError(
                f"{address!r} is not the address of a store. Expected s3://BUCKET/PREFIX, or a folder without '://'. "
                "The endpoint of a server other than Amazon's goes into the variable AWS_ENDPOINT_URL."
            )
        self.address = address.rstrip("/")
        self._root = f"{parts.netloc}{parts.path}".rstrip("/")
        self._files = self._file_system(parts.scheme)
        with self._told():
            self._files.info(parts.netloc)

    def read(self, key: str) -> bytes | None:
        """Return the bytes of an object, or None if it does not exist."""
        with self._told():
            try:
                return bytes(self._files.cat_file(self._path(key)))
            except FileNotFoundError:
                return None

    def read_all(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Read objects side by side and return them by key, without those that were deleted meanwhile."""
        if not keys:
            return {}
        paths = {self._path(key): key for key in keys}
        with self._told():
            found = self._files.cat(list(paths), on_error="return")
            lost = [error for error in found.values() if isinstance(error, Exception)]
            for error in lost:
                if not isinstance(error, FileNotFoundError):
                    raise error
        return {paths[path.lstrip("/")]: bytes(data) for path, data in found.items() if not isinstance(data, Exception)}

    def times(self, below: str = "") -> dict[str, dt.datetime | None]:
        """Return the keys that begin with ``below/``, each with the time when it was written."""
        with self._told():
            found = self._files.find(self._path(below) if below else self._root, detail=True)
        start = len(self._root) + 1
        times = {
            path.lstrip("/")[start:]: entry.get("LastModified", entry.get("created")) for path, entry in found.items()
        }
        return {key: times[key] for key in sorted(times)}

    def upload(self, file: Path, key: str) -> None:
        """Write a file's bytes as an object; a reader sees the whole object or none."""
        with self._told():
            self._files.put_file(str(file), self._path(key))

    def download(self, key: str, file: Path) -> None:
        """Write an object's bytes into a file.

        Raises:
            StoreError: The object does not exist or cannot be read.
        """
        with self._told():
            try:
                self._files.get_file(self._path(key), str(file))
            except FileNotFoundError as error:
                raise StoreError(f"{self.address}/{key} is missing.") from error

    def entry(self, key: str, name: str) -> FileEntry:
        """Read a whole object and return its size and hash under the file name ``name``."""
        digest, size = hashlib.sha256(), 0
        with self._told(), self._files.open(self._path(key), "rb", block_size=_BLOCK) as handle:
            while block := handle.read(_BLOCK):
                digest.update(block)
                size += len(block)
        return FileEntry(name=name, bytes=size, sha256=digest.hexdigest())

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless the key exists; return whether it was written.

        If the server knows no conditional writing, the last of two simultaneous writers wins.
        """
        with self._told():
            try:
                self._files.pipe_file(self._path(key), data, mode="create")
            except FileExistsError:
                return False
            except (NotImplementedError, OSError) as error:
                if not _is_unconditional(error):
                    raise
                if self._files.exists(self._path(key)):
                    return False
                self._files.pipe_file(self._path(key), data)
        return True

    def write(self, key: str, data: bytes) -> None:
        """Write an object, and replace the one under its key."""
        with self._told():
            self._files.pipe_file(self._path(key), data)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, in this order."""
        with self._told():
            for key in keys:
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(self._path(key))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _file_system(self, scheme: str) -> Any:
        if find_spec("fsspec") is None:
            raise StoreError(_no_extra(self.address))
        import fsspec

        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if scheme in _S3:
            options["config_kwargs"] = {"connect_timeout": _TIMEOUT_SECONDS, "retries": {"max_attempts": 2}}
        try:
            return fsspec.filesystem(scheme, **options)
        except ImportError as error:
            if scheme in _S3:
                raise StoreError(_no_extra(self.address)) from error
            raise StoreError(f"The store {self.address!r} needs a package that is not installed: {error}") from error
        except ValueError as error:
            raise StoreError(
                f"{self.address!r} is not the address of a store: {scheme}:// is unknown. Expected s3://BUCKET/PREFIX."
            ) from error

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(self._message(error)) from error

    def _message(self, error: Exception) -> str:
        names = {type(cause).__name__ for cause in _causes(error)}
        if names & _NO_CREDENTIALS:
            return (
                f"There are no credentials for {self.address!r}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                "AWS_PROFILE; every machine that uses the store needs them."
            )
        if names & _UNREACHABLE or isinstance(error, TimeoutError | ConnectionError):
            return (
                f"The server of {self.address!r} cannot be reached: {error}. Check the network and, for "
                "a server other than Amazon's, AWS_ENDPOINT_URL. Finished work is kept; the same command continues."
            )
        if isinstance(error, PermissionError):
            return (
                f"The server refuses access to {self.address!r}: {error}. Its credentials must be allowed to list, "
                "read and write objects there, and to delete them for `icudl clean`."
            )
        if isinstance(error, FileNotFoundError):
            return f"There is no bucket at {self.address!r} ({error}). Make the bucket first, or check its name."
        return f"The store {self.address!r} cannot be used: {type(error).__name__}: {error}."


def _no_extra(address: str) -> str:
    return (
        f"The store {address!r} needs the package s3fs, which is not installed. "
        "Install the extra: pip install 'icu-deep-learning[s3]'"
    )


def _is_unconditional(error: Exception) -> bool:
    return (
        isinstance(error, NotImplementedError) or re.search(r"not ?implemented", str(error), re.IGNORECASE) is not None
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
