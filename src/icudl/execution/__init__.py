"""Running work: executors, and the context that tells a stage about the run and the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.execution.base import ExecutionOptions, Executor, Tick, make_executor
    from icudl.execution.context import Progress, RunContext, SilentProgress, seed_for
    from icudl.execution.pool.executor import ProcessExecutor
    from icudl.execution.serial import SerialExecutor

_HOMES = {
    "ExecutionOptions": "icudl.execution.base",
    "Executor": "icudl.execution.base",
    "ProcessExecutor": "icudl.execution.pool.executor",
    "Progress": "icudl.execution.context",
    "RunContext": "icudl.execution.context",
    "SerialExecutor": "icudl.execution.serial",
    "SilentProgress": "icudl.execution.context",
    "Tick": "icudl.execution.base",
    "make_executor": "icudl.execution.base",
    "seed_for": "icudl.execution.context",
}

__all__ = [
    "ExecutionOptions",
    "Executor",
    "ProcessExecutor",
    "Progress",
    "RunContext",
    "SerialExecutor",
    "SilentProgress",
    "Tick",
    "make_executor",
    "seed_for",
]

# A process is tuned before it loads numpy.
__getattr__ = imported_on_use(__name__, _HOMES)
