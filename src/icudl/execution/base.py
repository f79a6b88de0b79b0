"""The executor seam: what every executor promises, how one is chosen, and what all of them agree on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol, Self, TypeVar, runtime_checkable

from icudl.errors import StageError
from icudl.options import Options, option
from icudl.plugins import load_plugin

ENTRY_POINT_GROUP = "icudl.executors"

Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")

Tick = Callable[[int], None]
"""Reports that so many units of work (epochs, iterations, files) are done; may be called from a worker process."""


JOBS_AHEAD = 3
"""Jobs made for each worker at a time: one in work, the others so that it need not wait."""

MAX_ATTEMPTS = 3
"""How often a job may lose its worker before it is taken for the cause."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecutionOptions(Options):
    """Where and how work runs. Nothing here can change a result, so nothing here is part of an artifact's id."""

    table: ClassVar[str] = "execution"

    executor: str = option("processes", "Executor plug-in: serial, processes or dask.", identity=False)
    address: str = option(
        "",
        "Scheduler of a running Dask cluster, tcp://HOST:PORT or tls://HOST:PORT; empty: dask starts workers here.",
        identity=False,
    )
    workers: int = option(
        0,
        "Worker processes on this machine, one thread each; 0 takes one per processor core.",
        low=0,
        high=4096,
        identity=False,
    )
    device: str = option("auto", "Device of the models: auto, cpu, cuda or cuda:N.", identity=False)


@runtime_checkable
class Executor(Protocol):
    """Runs independent jobs; serial, processes and clusters must give identical results.

    A ``with`` block opens and closes what outlives a single call (a connection, workers that stay). Opening finds out
    whether it can be reached; an executor that was not opened opens itself when it is first used.
    """

    workers: int

    @classmethod
    def from_options(cls, options: ExecutionOptions) -> Self:
        """Make the executor as ``options`` say; nothing is started or connected to yet.

        Raises:
            PluginError: It needs an extra that is not installed.
        """
        ...

    def __enter__(self) -> Self:
        """Open it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        return

    def run(
        self,
        task: Callable[[Shared, Job, Tick], Result],
        jobs: Sequence[Job],
        *,
        shared: Shared,
        on_result: Callable[[int, Result], None],
        tick: Tick | None = None,
    ) -> None:
        """Run ``task(shared, job, tick)`` for every job and hand over each result as soon as it is there.

        Neither jobs nor results are held: a job is asked of ``jobs`` when a worker is about to be free for it (and
        again where that worker dies), so a sequence that makes its items on demand keeps memory flat.

        Args:
            task: A module-level function: it is sent to workers by name.
            jobs: Values that tell one job from another (a fold, a range of stays, a seed).
            shared: Larger values that all jobs read (arrays, options); sent to each worker once.
            on_result: Called in this process with (job index, result) as soon as each job is done, in any order.
            tick: Called in this process for every unit of work that a job reports.

        Raises:
            IcudlError: What a job raised, unchanged. A job whose worker died is run again elsewhere first.
        """
        ...

    def map(
        self,
        task: Callable[[Shared, Job, Tick], Result],
        jobs: Sequence[Job],
        *,
        shared: Shared,
        tick: Tick | None = None,
        on_result: Callable[[int, Result], None] | None = None,
    ) -> list[Result]:
        """Return ``[task(shared, job, tick) for job in jobs]``, in job order; see ``run``."""
        results: dict[int, Result] = {}

        def keep(index: int, result: Result) -> None:
            results[index] = result
            if on_result is not None:
                on_result(index, result)

        self.run(task, jobs, shared=shared, on_result=keep, tick=tick)
        return [results[index] for index in range(len(jobs))]


def make_executor(options: ExecutionOptions) -> Executor:
    """Make the executor that ``options.executor`` names.

    Raises:
        PluginError: There is no such plug-in, or what it needs is not installed.
    """
    plugin: type[Executor] = load_plugin(ENTRY_POINT_GROUP, options.executor)
    return plugin.from_options(options)


def lost_workers(n_missing: int, n_jobs: int) -> StageError:
    """Return the error of jobs that lost their worker again and again."""
    return StageError(
        f"{n_missing} of {n_jobs} jobs lost their worker process {MAX_ATTEMPTS} times; most often memory ran out. "
        "Use fewer workers (--workers 1) or smaller batches; finished work is kept."
    )


def ignore_ticks(units: int) -> None:
    """Let nobody know of finished work."""
