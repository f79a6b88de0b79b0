"""Where artifacts are kept: the store protocol, and the two stores that follow it, a folder and a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.store.base import Store, open_store
    from icudl.store.bucket import BucketStore
    from icudl.store.folder import FolderStore
    from icudl.store.manifest import Manifest

_HOMES = {
    "BucketStore": "icudl.store.bucket",
    "FolderStore": "icudl.store.folder",
    "Manifest": "icudl.store.manifest",
    "Store": "icudl.store.base",
    "open_store": "icudl.store.base",
}

__all__ = ["BucketStore", "FolderStore", "Manifest", "Store", "open_store"]

# A process is tuned before it loads numpy.
__getattr__ = imported_on_use(__name__, _HOMES)
