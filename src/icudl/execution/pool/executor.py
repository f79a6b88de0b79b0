"""The executor of worker processes on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from multiprocessing.managers import SyncManager
from multiprocessing.process import BaseProcess
from typing import Any, ClassVar, Self

from icudl.execution.base import (
    JOBS_AHEAD,
    MAX_ATTEMPTS,
    ExecutionOptions,
    Executor,
    Job,
    Result,
    Shared,
    Tick,
    ignore_ticks,
    lost_workers,
)
from icudl.execution.children import (
    end_if_importing,
    end_with_parent,
    interrupts_deferred,
    interrupts_held,
    unguarded,
)
from icudl.execution.memory import give_back_memory, ran_out_of_memory
from icudl.execution.pool.handover import Address, offered, take
from icudl.execution.serial import SerialExecutor
from icudl.execution.threads import ENVIRONMENT, limit_threads, tune_process, usable_cores

_CALLS = itertools.count()
"""Numbers the calls of this process: a new call may get the address of one that has ended."""


@dataclasses.dataclass(frozen=True)
class _Call:
    """One call of ``run``, as each of its jobs receives it.

    Attributes:
        number: Number of the call among those of this process.
        address: Where the task and the values that all jobs share are offered.
    """

    number: int
    address: Address


class _Worker:
    """What one worker process holds: the task and the shared values of each call, and the queue that carries ticks."""

    calls: ClassVar[dict[int, tuple[Callable[[Any, Any, Tick], Any], Any]]] = {}
    ticks: Any


def _start_worker(ticks: Any) -> None:
    end_with_parent()
    # Ctrl-C reaches the whole process group; the parent decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tune_process()
    # A job that needs torch imports it, and finds in the environment that it has one thread.
    limit_threads()
    _Worker.ticks = ticks


def _run_job(call: _Call, job: Any) -> Any:
    if call.number not in _Worker.calls:
        _Worker.calls.clear()

        def forget() -> None:
            # An idle worker drops what the jobs of a call shared, for it may be most of what fits in memory.
            _Worker.calls.pop(call.number, None)
            give_back_memory()

        _Worker.calls[call.number] = take(call.address, forget)
    task, shared = _Worker.calls[call.number]
    try:
        return task(shared, job, _Worker.ticks.put)
    except RuntimeError as error:
        if ran_out_of_memory(error):
            raise MemoryError(str(error)) from error
        raise


def _do_nothing() -> None:
    """Do nothing: a result shows that the workers are alive."""


class _Pool:
    """Single-threaded processes, and the queue that carries their ticks.

    Args:
        workers: The most processes; each starts when the first job for it arrives.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._stack = contextlib.ExitStack()
        spawn = multiprocessing.get_context("spawn")
        with _environment(ENVIRONMENT):
            manager = self._stack.enter_context(_manager(spawn))
            self.ticks: Any = manager.Queue()
            self._processes = ProcessPoolExecutor(workers, spawn, initializer=_start_worker, initargs=(self.ticks,))
        self._stack.callback(self._processes.shutdown, wait=True, cancel_futures=True)
        self._started: set[BaseProcess] = set()

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Give a task to the next free worker.

        Raises:
            BrokenProcessPool: A worker died.
        """
        others = set(multiprocessing.active_children())
        try:
            with interrupts_held(), _environment(ENVIRONMENT):
                return self._processes.submit(task, *arguments)
        except OSError:
            # A pool that breaks while a worker is being started closes what that worker is handed: then this raises.
            self._processes.submit(_do_nothing)
            raise
        finally:
            self._started |= set(multiprocessing.active_children()) - others

    def is_whole(self) -> bool:
        """Tell whether all workers survived since the last job."""
        try:
            self.submit(_do_nothing).result()
        except BrokenProcessPool:
            return False
        return True

    def close(self) -> None:
        """End the processes, each after its current job."""
        self._stack.close()

    def abandon(self) -> None:
        """End the processes of a pool that lost a worker, whatever they do.

        ``concurrent.futures`` ends the workers that it knows as it notices the loss, and then waits for all. A worker
        that was being started at that moment would be waited for without having been ended.
        """
        for process in self._started:
            process.kill()
        self.close()


class ProcessExecutor(Executor):
    """Runs jobs in a pool of single-threaded processes, which a ``with`` block keeps from one call to the next.

    A job whose worker died, or that ran out of memory, runs again in a new pool of half as many workers.
    """

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers or usable_cores()
        self._keeps = False
        self._kept: _Pool | None = None

    @classmethod
    def from_options(cls, options: ExecutionOptions) -> Self:
        """Make the executor with ``options.workers`` processes; nothing starts yet."""
        return cls(options.workers)

    def __enter__(self) -> Self:
        """Keep the processes that the next calls start."""
        self._keeps = True
        return self

    def __exit__(self, *error: object) -> None:
        """End the processes that were kept."""
        self._keeps = False
        self._close_kept()

    def _close_kept(self) -> None:
        pool, self._kept = self._kept, None
        if pool is not None:
            pool.close()

    def run(
        self,
        task: Callable[[Shared, Job, Tick], Result],
        jobs: Sequence[Job],
        *,
        shared: Shared,
        on_result: Callable[[int, Result], None],
        tick: Tick | None = None,
    ) -> None:
        """Run the jobs side by side; see ``execution.base.Executor``.

        Raises:
            ConfigError: The script of this process starts work while it is imported, as its workers import it.
            StageError: Jobs lost their worker ``MAX_ATTEMPTS`` times (killed, or out of memory).
        """
        end_if_importing()
        if self.workers == 1 or len(jobs) <= 1:
            SerialExecutor().run(task, jobs, shared=shared, on_result=on_result, tick=tick)
            return
        missing = set(range(len(jobs)))

        def keep(index: int, result: Result) -> None:
            missing.discard(index)
            on_result(index, result)

        for attempt in range(MAX_ATTEMPTS):
            workers = max(self.workers >> attempt, 1)
            self._run(workers, task, jobs, sorted(missing), shared, tick or ignore_ticks, keep)
            if not missing:
                return
        raise lost_workers(len(missing), len(jobs))

    def _run(
        self,
        workers: int,
        task: Callable[[Shared, Job, Tick], Result],
        jobs: Sequence[Job],
        missing: Sequence[int],
        shared: Shared,
        tick: Tick,
        keep: Callable[[int, Result], None],
    ) -> None:
        """Run the missing jobs in one pool; return early if the pool breaks, and skip jobs that ran out of memory."""
        with self._pool(workers) as pool, offered((task, shared)) as address:
            try:
                with interrupts_deferred() as check:
                    self._collect(pool, _Call(next(_CALLS), address), jobs, missing, tick, keep, check)
            except KeyboardInterrupt:
                for process in multiprocessing.active_children():
                    process.terminate()
                raise

    @contextmanager
    def _pool(self, workers: int) -> Iterator[_Pool]:
        """Yield a pool of ``workers`` processes, reusing that of the last call if it fits; keep it if nothing fails."""
        pool, self._kept = self._kept, None
        if pool is not None and (pool.workers != workers or not pool.is_whole()):
            pool.abandon()
            pool = None
        pool = pool or _Pool(workers)
        try:
            yield pool
        except BrokenProcessPool:
            pool.abandon()
        except BaseException:
            pool.close()
            raise
        else:
            self._kept = pool
            if not self._keeps:
                self._close_kept()

    def _collect(
        self,
        pool: _Pool,
        call: _Call,
        jobs: Sequence[Any],
        missing: Sequence[int],
        tick: Tick,
        keep: Callable[[int, Any], None],
        check: Callable[[], None],
    ) -> None:
        """Keep the pool busy without holding all jobs at once; hand over what finished before the pool broke.

        ``check`` raises the interrupt that has arrived, if any.
        """
        numbers, waiting = iter(missing), dict[Future[Any], int]()
        broken: BrokenProcessPool | None = None
        while True:
            check()
            try:
                for index in itertools.islice(numbers, JOBS_AHEAD * self.workers - len(waiting)):
                    waiting[pool.submit(_run_job, call, jobs[index])] = index
            except BrokenProcessPool as error:
                broken, numbers = error, iter(())
            if not waiting:
                break
            done, _ = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
            for units in _drain(pool.ticks):
                tick(units)
            for future in done:
                index = waiting.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool as error:
                    broken, numbers = error, iter(())
                except MemoryError:
                    # Other jobs may have taken the memory: this one stays missing and runs again among fewer.
                    continue
                else:
                    keep(index, result)
        for units in _drain(pool.ticks):
            tick(units)
        if broken is not None:
            raise broken


def _drain(ticks: Any) -> Iterator[int]:
    while True:
        try:
            yield ticks.get_nowait()
        except (queue.Empty, EOFError, ConnectionError):
            return


@contextmanager
def _manager(spawn: SpawnContext) -> Iterator[SyncManager]:
    with interrupts_held():
        manager = SyncManager(ctx=spawn)
        try:
            manager.start(end_with_parent)
        except EOFError:
            raise unguarded() from None
    with manager:
        yield manager


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the workers that start meanwhile; C libraries read them before any of our code."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
