"""Workers of a Dask cluster: jobs as tasks, the connection, and what a worker must be like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.execution.dask.executor import DaskExecutor, DaskOptions

_HOMES = {
    "DaskExecutor": "icudl.execution.dask.executor",
    "DaskOptions": "icudl.execution.dask.executor",
}

__all__ = ["DaskExecutor", "DaskOptions"]

# A process is tuned before it loads numpy.
__getattr__ = imported_on_use(__name__, _HOMES)
