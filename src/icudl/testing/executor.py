"""The contract of executors as checks; the tasks are functions of this module, so that a worker can import them."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from icudl.errors import StageError
from icudl.execution.base import ExecutionOptions, Executor, Tick
from icudl.testing.requirement import require

ExecutorFactory = Callable[[], Executor]


def _scale(shared: int, job: int, tick: Tick) -> int:
    tick(2)
    return shared * job


def _refuse_three(_shared: None, job: int, _tick: Tick) -> int:
    if job == 3:
        raise StageError("job 3 is refused")
    return job


def _threads(_shared: None, _job: int, _tick: Tick) -> int:
    import torch

    return torch.get_num_threads()


def _die_once(shared: str, job: int, _tick: Tick) -> int:
    marker = Path(shared) / "died"
    if job == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return job * 10


def check_results_in_job_order(make: ExecutorFactory) -> None:
    """Results come in the order of the jobs, each is announced once, and every tick arrives."""
    announced: dict[int, int] = {}
    ticks: list[int] = []
    results = make().map(_scale, [3, 1, 2], shared=10, tick=ticks.append, on_result=announced.__setitem__)
    require(results == [30, 10, 20], f"jobs 3, 1, 2 gave {results}, not 30, 10, 20")
    require(announced == {0: 30, 1: 10, 2: 20}, f"on_result heard {announced}")
    require(sum(ticks) == 6, f"{sum(ticks)} units of work were reported, not 6")


class _OnDemand(Sequence[int]):
    """Jobs that are made when they are asked for; counts those made and not done."""

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs, self.pending, self.most_pending = n_jobs, 0, 0

    def __len__(self) -> int:
        return self.n_jobs

    def __getitem__(self, index: int) -> int:  # type: ignore[override]
        if not 0 <= index < self.n_jobs:
            raise IndexError(index)
        self.pending += 1
        self.most_pending = max(self.most_pending, self.pending)
        return index

    def done(self, _index: int, _result: int) -> None:
        self.pending -= 1


def check_jobs_are_made_on_demand(make: ExecutorFactory) -> None:
    """A job is asked for when a worker is about to be free, so that memory does not grow with the number of jobs."""
    executor = make()
    jobs = _OnDemand(20 * executor.workers)
    executor.run(_scale, jobs, shared=10, on_result=jobs.done)
    require(jobs.pending == 0, f"{jobs.pending} jobs were made and never done")
    most = 5 * executor.workers
    require(jobs.most_pending <= most, f"{jobs.most_pending} jobs were made ahead for {executor.workers} workers")


def check_no_jobs(make: ExecutorFactory) -> None:
    """No jobs give no results."""
    require(make().map(_scale, [], shared=1) == [], "no jobs gave results")


def check_errors_arrive_unchanged(make: ExecutorFactory) -> None:
    """An error that a job raises arrives unchanged."""
    try:
        make().map(_refuse_three, [1, 2, 3, 4], shared=None)
    except StageError as error:
        require(str(error) == "job 3 is refused", f"the message became {str(error)!r}")
    else:
        require(kept=False, broken="the error of a job was swallowed")


def check_workers_are_single_threaded(make: ExecutorFactory) -> None:
    """Jobs compute with one thread: the order of a threaded sum decides its last bits.

    An executor that runs jobs in the calling process leaves the threads to its caller, who sets them.
    """
    from icudl.execution.threads import single_thread

    with single_thread():
        found = make().map(_threads, [1, 2], shared=None)
    require(found == [1, 1], f"jobs ran with {found} threads")


def check_survives_a_killed_worker(make: ExecutorFactory, folder: Path) -> None:
    """A job whose worker was killed is run again, and nothing else is lost.

    Not among ``EXECUTOR_CHECKS``: an executor that runs jobs in the calling process would kill it.

    Args:
        make: Makes the executor.
        folder: An empty folder that workers can write to.
    """
    results = make().map(_die_once, list(range(6)), shared=str(folder))
    require(results == [0, 10, 20, 30, 40, 50], f"after a killed worker the results are {results}")


def check_is_made_from_options(make: ExecutorFactory) -> None:
    """The class names the options that it reads, and is made from them as well as from those of the base class."""
    kind = type(make())
    named: object = kind.Options
    require(
        isinstance(named, type) and issubclass(named, ExecutionOptions),
        f"{kind.__name__}.Options is {named!r}, not a class derived from ExecutionOptions",
    )
    fields = {field.name: field for field in dataclasses.fields(kind.Options)}
    changing = [name for name, field in fields.items() if field.metadata.get("identity", True)]
    require(not changing, f"options {changing} would change ids; declare them with identity=False")
    for options in (kind.Options(workers=2), ExecutionOptions(workers=2)):
        made = kind.from_options(options)
        require(made.workers in {1, 2}, f"{made.workers} workers were made of workers = 2")


EXECUTOR_CHECKS: tuple[Callable[[ExecutorFactory], None], ...] = (
    check_results_in_job_order,
    check_jobs_are_made_on_demand,
    check_no_jobs,
    check_errors_arrive_unchanged,
    check_workers_are_single_threaded,
    check_is_made_from_options,
)
"""The contract of executors: a function for each promise, called with a function that makes the executor."""
