"""What every executor must do alike."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from icudl.errors import StageError
from icudl.execution.base import ENTRY_POINT_GROUP, ExecutionOptions, Executor, Tick, make_executor, seed_for
from icudl.execution.dask import DaskExecutor
from icudl.execution.local import ProcessExecutor, SerialExecutor
from icudl.execution.runtime import ENVIRONMENT
from icudl.plugins import registered

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "serial": SerialExecutor,
    "processes-1": lambda: ProcessExecutor(1),
    "processes-2": lambda: ProcessExecutor(2),
    "dask-2": lambda: DaskExecutor(workers=2),
}


@pytest.fixture(scope="module")
def open_executor() -> Iterator[Callable[[str], Executor]]:
    """Opens executors, each once: what stays open between calls is part of the contract."""
    opened: dict[str, Executor] = {}
    with contextlib.ExitStack() as stack:

        def open_once(name: str) -> Executor:
            if name.startswith("dask"):
                pytest.importorskip("distributed")
            if name not in opened:
                opened[name] = stack.enter_context(EXECUTORS[name]())
            return opened[name]

        yield open_once


@pytest.fixture(params=list(EXECUTORS))
def executor(request: pytest.FixtureRequest, open_executor: Callable[[str], Executor]) -> Executor:
    return open_executor(request.param)


@pytest.fixture(params=["processes-2", "dask-2"])
def pool(request: pytest.FixtureRequest, open_executor: Callable[[str], Executor]) -> Executor:
    """Executors whose jobs run in processes that can die."""
    return open_executor(request.param)


def scale(shared: int, job: int, tick: Tick) -> int:
    tick(2)
    return shared * job


def fail_on_three(shared: None, job: int, tick: Tick) -> int:
    if job == 3:
        raise StageError("job 3 is wrong")
    return job


def die_once(shared: str, job: int, tick: Tick) -> int:
    """Kill the worker the first time that job 1 runs."""
    marker = Path(shared) / "died"
    if job == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return job * 10


def die_always(shared: None, job: int, tick: Tick) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return job


def threads_and_allocator(shared: None, job: int, tick: Tick) -> tuple[int, dict[str, str]]:
    import torch

    return torch.get_num_threads(), {name: os.environ.get(name, "") for name in ENVIRONMENT}


def test_results_come_in_job_order_and_each_is_announced_once(executor: Executor) -> None:
    announced: dict[int, int] = {}
    ticks: list[int] = []
    results = executor.map(scale, [3, 1, 2], shared=10, tick=ticks.append, on_result=announced.__setitem__)
    assert results == [30, 10, 20]
    assert announced == {0: 30, 1: 10, 2: 20}
    assert sum(ticks) == 6


class OnDemand(Sequence[int]):
    """Jobs that are made when they are asked for; counts those that are not done yet."""

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs, self.pending, self.most_pending = n_jobs, 0, 0

    def __len__(self) -> int:
        return self.n_jobs

    def __getitem__(self, index: int) -> int:  # type: ignore[override]
        self.pending += 1
        self.most_pending = max(self.most_pending, self.pending)
        return index

    def done(self, index: int, result: int) -> None:
        assert result == 10 * index
        self.pending -= 1


def test_jobs_are_made_when_a_worker_is_about_to_be_free(executor: Executor) -> None:
    jobs = OnDemand(40)
    executor.run(scale, jobs, shared=10, on_result=jobs.done)
    assert jobs.pending == 0
    assert jobs.most_pending <= 3 * executor.workers + 1


def test_made_from_options() -> None:
    for name in registered(ENTRY_POINT_GROUP):
        if name == "dask":
            pytest.importorskip("distributed")
        with make_executor(ExecutionOptions(executor=name, workers=2)) as executor:
            assert isinstance(executor, Executor)
            assert executor.workers == (1 if name == "serial" else 2)


def test_no_jobs(executor: Executor) -> None:
    assert executor.map(scale, [], shared=1) == []


def test_an_error_of_a_job_arrives_unchanged(executor: Executor) -> None:
    with pytest.raises(StageError, match="job 3 is wrong"):
        executor.map(fail_on_three, [1, 2, 3, 4], shared=None)


def test_a_killed_worker_costs_only_its_jobs(pool: Executor, tmp_path: Path) -> None:
    assert pool.map(die_once, list(range(6)), shared=str(tmp_path)) == [0, 10, 20, 30, 40, 50]


def test_a_job_that_always_kills_its_worker_is_an_error_not_a_loop(pool: Executor) -> None:
    with pytest.raises(StageError, match="lost their worker"):
        pool.map(die_always, [1, 2], shared=None)
    assert pool.map(scale, [1, 2], shared=10) == [10, 20]


def test_workers_are_single_threaded_and_tuned(pool: Executor) -> None:
    assert pool.map(threads_and_allocator, [1, 2], shared=None) == [(1, ENVIRONMENT)] * 2


def test_seeds_depend_on_name_and_root_only() -> None:
    assert seed_for(1, "a", 2) == seed_for(1, "a", 2)
    assert len({seed_for(1, "a", 2), seed_for(1, "a", 3), seed_for(2, "a", 2), seed_for(1, "a2")}) == 4
    assert 0 <= seed_for(1, "x") < 2**63
