"""Workers forked from one server that has loaded torch already, so that each starts at once."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ClassVar, Self

from icudl.errors import StageError
from icudl.execution.base import ExecutionOptions, Executor, Tick, completed
from icudl.execution.threads import tune_process, usable_cores
from icudl.options import option

ATTEMPTS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForkserverOptions(ExecutionOptions):
    """Where and how work runs."""

    jobs_ahead: int = option(2, "Jobs made for each worker: one in work, the others waiting.", low=1, identity=False)


class _Worker:
    """What one worker holds."""

    task: Callable[[Any, Any, Tick], Any]
    shared: Any


def _start(task: Callable[[Any, Any, Tick], Any], shared: Any) -> None:
    tune_process()
    import torch

    torch.set_num_threads(1)
    _Worker.task, _Worker.shared = staticmethod(task), shared


def _run(job: Any) -> tuple[Any, int]:
    units: list[int] = []
    result = _Worker.task(_Worker.shared, job, units.append)
    return result, sum(units)


class ForkserverExecutor(Executor):
    """A pool of single-threaded workers; a job whose worker died is run again in a new pool."""

    Options: ClassVar[type[ExecutionOptions]] = ForkserverOptions

    def __init__(self, workers: int = 0, jobs_ahead: int = 2) -> None:
        self.workers = workers or usable_cores()
        self.jobs_ahead = jobs_ahead

    @classmethod
    def from_options(cls, options: ExecutionOptions) -> Self:
        """Make the executor with ``options.workers`` workers; nothing starts yet."""
        own = completed(ForkserverOptions, options)
        return cls(own.workers, own.jobs_ahead)

    def run(
        self,
        task: Callable[[Any, Any, Tick], Any],
        jobs: Sequence[Any],
        *,
        shared: Any,
        on_result: Callable[[int, Any], None],
        tick: Tick | None = None,
    ) -> None:
        """Run every job and hand over each result as soon as it is there; see ``Executor.run``."""
        missing = set(range(len(jobs)))

        def done(index: int, result: Any, units: int) -> None:
            missing.discard(index)
            if tick is not None:
                tick(units)
            on_result(index, result)

        for _ in range(ATTEMPTS):
            if not missing:
                return
            try:
                self._run_pool(task, jobs, sorted(missing), shared, done)
            except BrokenProcessPool:
                continue
        if missing:
            raise StageError(f"{len(missing)} jobs lost their worker {ATTEMPTS} times. Use fewer workers.")

    def _run_pool(
        self,
        task: Callable[[Any, Any, Tick], Any],
        jobs: Sequence[Any],
        missing: Sequence[int],
        shared: Any,
        done: Callable[[int, Any, int], None],
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch", "numpy", "polars"])
        workers = min(self.workers, len(missing))
        waiting: dict[Future[tuple[Any, int]], int] = {}
        todo = iter(missing)
        with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(task, shared)) as pool:
            while True:
                while len(waiting) < self.jobs_ahead * workers and (index := next(todo, None)) is not None:
                    waiting[pool.submit(_run, jobs[index])] = index
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    result, units = future.result()
                    done(waiting.pop(future), result, units)
