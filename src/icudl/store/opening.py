"""A store by what the user calls it: a folder, or the address of a bucket."""

from __future__ import annotations

from pathlib import Path

from icudl.store.objects import is_address
from icudl.store.store import Store


def open_store(where: Path | str) -> Store:
    """Return the store in a folder, or at an address such as ``s3://bucket/prefix``.

    Raises:
        StoreError: The address is none, or its bucket is not there or out of reach.
    """
    if isinstance(where, str) and is_address(where):
        from icudl.store.remote import RemoteStore

        return RemoteStore(where)
    return Store(Path(where))
