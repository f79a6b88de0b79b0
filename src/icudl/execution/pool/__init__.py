"""Worker processes of this machine, and how large values reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.execution.pool.executor import ProcessExecutor

_HOMES = {
    "ProcessExecutor": "icudl.execution.pool.executor",
}

__all__ = ["ProcessExecutor"]

# A process is tuned before it loads numpy.
__getattr__ = imported_on_use(__name__, _HOMES)
