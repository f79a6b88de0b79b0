"""The Dask executor: jobs run on the workers of a cluster, or on workers of this machine.

Dask moves tasks between its processes by pickle, so anyone who can reach its ports can run code. Workers started here
listen on the loopback only; a cluster belongs in a network of its own or behind TLS.
"""

from __future__ import annotations

import dataclasses
import itertools
import queue
import uuid
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from icudl.errors import PluginError, StageError
from icudl.execution.base import (
    JOBS_AHEAD,
    MAX_ATTEMPTS,
    ExecutionOptions,
    Executor,
    Job,
    Result,
    Shared,
    Tick,
    completed,
    lost_workers,
)
from icudl.execution.dask.cluster import WORKER_SECONDS, Cluster, check_address, facts_of_worker, require_dask
from icudl.execution.dask.facts import Facts
from icudl.execution.device import resolve_device
from icudl.execution.threads import limit_threads, usable_cores
from icudl.options import option

_LOOK_SECONDS = 5.0
"""Time between two looks at the cluster while no job ends."""

GPU = "GPU"
"""Worker resource that a job on a GPU asks for if any worker declares it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DaskOptions(ExecutionOptions):
    """Where and how work runs. Nothing here can change a result, so nothing here is part of an artifact's id."""

    address: str = option(
        "",
        "Scheduler of a running Dask cluster, tcp://HOST:PORT or tls://HOST:PORT; empty: dask starts workers here.",
        identity=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_address(self.address)


@dataclasses.dataclass(frozen=True, eq=False)
class _Bundle:
    """What every worker gets once.

    Attributes:
        task: Module-level function.
        shared: First argument of the task.
        facts: Facts about the process that wants the results; a worker that joins late is compared with them.
        topic: Dask topic under which ticks are reported.
    """

    task: Callable[[Any, Any, Tick], Any]
    shared: Any
    facts: Facts
    topic: str


class DaskExecutor(Executor):
    """Runs jobs as Dask tasks; another worker runs the job of one that died.

    Args:
        address: Address of a running scheduler; "" starts workers on this machine when they are first needed.
        workers: How many workers to start; 0 takes one per core.
        device: As in ``execution.device``; for a CUDA device, jobs ask for the resource ``GPU``.

    Raises:
        ConfigError: The address is malformed.
        PluginError: Dask is not installed.
    """

    Options: ClassVar[type[ExecutionOptions]] = DaskOptions

    def __init__(self, address: str = "", workers: int = 0, device: str = "cpu") -> None:
        require_dask()
        check_address(address)
        self.workers = workers or usable_cores()
        self._address, self._device = address, device
        self._cluster: Cluster | None = None
        self._sent: tuple[Any, Any, Any] | None = None
        self._topic = f"icudl-{uuid.uuid4().hex}"

    @classmethod
    def from_options(cls, options: ExecutionOptions) -> Self:
        """Make the executor for ``options.address``, or for ``options.workers`` processes here."""
        own = completed(DaskOptions, options)
        return cls(own.address, own.workers, own.device)

    def __enter__(self) -> Self:
        """Connect to a running cluster; workers of this machine start when they are first needed."""
        if self._address:
            self._connected()
        return self

    def __exit__(self, *error: object) -> None:
        """Disconnect, and end the workers that were started here."""
        if self._cluster is not None:
            self._cluster.close()
        self._cluster = self._sent = None

    def _connected(self) -> Cluster:
        if self._cluster is None:
            self._cluster = Cluster(self._address, self.workers)
            self.workers = self._cluster.n_workers
        return self._cluster

    def run(
        self,
        task: Callable[[Shared, Job, Tick], Result],
        jobs: Sequence[Job],
        *,
        shared: Shared,
        on_result: Callable[[int, Result], None],
        tick: Tick | None = None,
    ) -> None:
        """Run the jobs on the cluster; see ``execution.base.Executor``.

        Raises:
            PluginError: The cluster cannot be reached, or a worker differs from this process.
            StageError: Jobs lost their worker ``MAX_ATTEMPTS`` times, or the scheduler is gone.
        """
        missing = set(range(len(jobs)))

        def keep(index: int, result: Result) -> None:
            missing.discard(index)
            on_result(index, result)

        for attempt in range(MAX_ATTEMPTS):
            if not missing:
                return
            if attempt and not self._address:
                # Workers that die at their start also end the process that would restart them.
                self.__exit__()
            cluster = self._connected()
            if attempt:
                cluster.require_workers()
            self._attempt(cluster, task, jobs, sorted(missing), shared, keep, tick)
        if missing:
            raise lost_workers(len(missing), len(jobs))

    def _attempt(
        self,
        cluster: Cluster,
        task: Callable[[Any, Any, Tick], Any],
        jobs: Sequence[Any],
        missing: Sequence[int],
        shared: Any,
        keep: Callable[[int, Any], None],
        tick: Tick | None,
    ) -> None:
        """Run the missing jobs; return early if the shared values were lost with the workers that held them."""
        client, events = cluster.client, queue.SimpleQueue[Any]()
        bundle = self._send(client, task, shared)
        resources = {GPU: 1} if self._wants_gpu(cluster) else None
        numbers, waiting = iter(missing), dict[Any, int]()

        def submit(count: int) -> None:
            for index in itertools.islice(numbers, count):
                future = client.submit(_run_job, bundle, jobs[index], pure=False, resources=resources)
                waiting[future] = index
                future.add_done_callback(events.put)

        client.subscribe_topic(self._topic, lambda event: events.put(event[1]))
        try:
            submit(JOBS_AHEAD * cluster.n_workers)
            while waiting:
                event = self._next(events, cluster)
                if event is None:
                    return
                if isinstance(event, int):
                    if tick is not None:
                        tick(event)
                elif not self._take(event, waiting.pop(event), len(jobs), keep):
                    return
                else:
                    submit(1)
        finally:
            client.cancel(list(waiting))
            client.unsubscribe_topic(self._topic)

    def _next(self, events: queue.SimpleQueue[Any], cluster: Cluster) -> Any:
        """Return the next tick or finished job, or None if no worker is left to finish one."""
        deserted = 0.0
        while deserted < WORKER_SECONDS:
            try:
                return events.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                deserted = 0.0 if cluster.n_workers else deserted + _LOOK_SECONDS
        return None

    def _take(self, future: Any, index: int, n_jobs: int, keep: Callable[[int, Any], None]) -> bool:
        """Hand over the result of a finished job; return False if the job was lost."""
        from distributed import KilledWorker

        if future.status == "cancelled":
            self._sent = None
            if getattr(future._state.exception, "reason", "") == "scheduler-connection-lost":  # noqa: SLF001
                raise StageError(
                    f"The Dask scheduler {self._address} is gone. Start it again; the same command goes on from the "
                    "finished work."
                )
            return False
        try:
            result = future.result()
        except KilledWorker as error:
            raise lost_workers(1, n_jobs) from error
        except ModuleNotFoundError as error:
            raise PluginError(
                f"A Dask worker cannot load the job: {error}. Install the same packages on every machine."
            ) from error
        future.release()
        keep(index, result)
        return True

    def _send(self, client: Any, task: Callable[[Any, Any, Tick], Any], shared: Any) -> Any:
        """Return the handle of what all jobs need; values that the workers already hold are not sent again."""
        if self._sent is not None and self._sent[0] is task and self._sent[1] is shared:
            return self._sent[2]
        bundle = _Bundle(task, shared, Facts.of_this_process(), self._topic)
        handle = client.scatter([bundle], broadcast=True, hash=False)[0]
        self._sent = (task, shared, handle)
        return handle

    def _wants_gpu(self, cluster: Cluster) -> bool:
        if self._device == "cpu" or not cluster.has_gpus:
            return False
        return resolve_device(self._device) != "cpu"


def _run_job(bundle: _Bundle, job: Any) -> Any:
    """Run one job in a Dask worker."""
    from distributed import get_worker

    worker = get_worker()
    objection = bundle.facts.objection(facts_of_worker(worker))
    if objection:
        raise PluginError(f"The Dask worker {worker.address} {objection}.")
    limit_threads()
    return bundle.task(bundle.shared, job, lambda units: worker.log_event(bundle.topic, units))
