"""The executor seam: the protocol of executors, how one is chosen, and the limits that all of them share."""

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
Own = TypeVar("Own", bound="ExecutionOptions")

Tick = Callable[[int], None]
"""Reports a number of finished units of work (epochs, iterations, files); a worker process may call it."""

JOBS_AHEAD = 3
"""Jobs made for each worker at a time: one running, the others so that the worker need not wait."""

MAX_ATTEMPTS = 3
"""Number of lost workers after which a job counts as their cause."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecutionOptions(Options):
    """Where and how work runs. Nothing here can change a result, so nothing here is part of an artifact's id.

    Every executor reads these options. An executor that needs more derives a class and names it as its ``Options``.
    """

    table: ClassVar[str] = "execution"

    executor: str = option("processes", "Executor plug-in: serial, processes or dask.", identity=False)
    workers: int = option(
        0,
        "Worker processes on this machine, one thread each; 0 takes one per processor core, and none for a run of "
        "seconds. serial starts none.",
        low=0,
        high=4096,
        identity=False,
    )
    device: str = option("auto", "Device of the models: auto, cpu, cuda or cuda:N.", identity=False)


@runtime_checkable
class Executor(Protocol):
    """Runs independent jobs; serial, processes and clusters must give identical results.

    A ``with`` block opens and closes resources that outlive a single call (a connection, worker processes). Opening
    checks whether a cluster can be reached; an executor that was not opened opens itself on first use.

    Attributes:
        Options: Class that validates the table ``[execution]`` where it names this executor.
        workers: How many jobs run side by side.
    """

    Options: ClassVar[type[ExecutionOptions]] = ExecutionOptions

    workers: int

    @classmethod
    def from_options(cls, options: ExecutionOptions) -> Self:
        """Make the executor as ``options`` say; nothing is started or connected to yet.

        Args:
            options: An instance of the class ``Options`` or of its base class, which ``completed`` turns into it.

        Raises:
            ConfigError: A value of the executor's own options is illegal.
            PluginError: The executor needs an extra that is not installed.
        """
        ...

    def __enter__(self) -> Self:
        """Open the resources that outlive a single call."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close these resources."""
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
        """Run ``task(shared, job, tick)`` for every job and hand over each result as soon as it is done.

        Neither jobs nor results are kept: the executor takes a job from ``jobs`` shortly before a worker is free for it
        (and again if that worker dies), so a sequence that makes its items on demand keeps memory flat.

        Args:
            task: A module-level function: it is sent to workers by name.
            jobs: Values that tell one job from another (a fold, a range of stays, a seed).
            shared: Larger values that all jobs read (arrays, options); sent to each worker once.
            on_result: Called in this process with (job index, result) as soon as each job is done, in any order.
            tick: Called in this process for every unit of work that a job reports.

        Raises:
            IcudlError: A job raised the error, which arrives unchanged. A job whose worker died is first run again.
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
        ConfigError: A value of the executor's own options is illegal.
        PluginError: No plug-in has this name, or the extra that it needs is not installed.
    """
    plugin: type[Executor] = load_plugin(ENTRY_POINT_GROUP, options.executor)
    return plugin.from_options(options)


def completed(kind: type[Own], options: ExecutionOptions) -> Own:
    """Return ``options`` as an instance of an executor's own class; options that only that class has keep defaults.

    Args:
        kind: Class of the executor's options.
        options: An instance of that class, or of another executor's class.
    """
    if isinstance(options, kind):
        return options
    shared = {field.name: getattr(options, field.name) for field in dataclasses.fields(ExecutionOptions)}
    return kind(**shared)


def lost_workers(n_missing: int, n_jobs: int) -> StageError:
    """Return the error of jobs that lost their worker ``MAX_ATTEMPTS`` times."""
    return StageError(
        f"{n_missing} of {n_jobs} jobs lost their worker process {MAX_ATTEMPTS} times; most often memory ran out. "
        "Use fewer workers (--workers 1) or smaller batches; finished work is kept."
    )


def ignore_ticks(units: int) -> None:
    """Ignore finished units of work."""
