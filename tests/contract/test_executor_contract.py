"""What every executor must do alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from executor_tasks import die_always, environment, scale

from icudl.errors import StageError
from icudl.execution.base import ENTRY_POINT_GROUP, ExecutionOptions, Executor, make_executor
from icudl.execution.context import seed_for
from icudl.execution.dask.executor import DaskExecutor
from icudl.execution.pool.executor import ProcessExecutor
from icudl.execution.serial import SerialExecutor
from icudl.execution.threads import ENVIRONMENT
from icudl.plugins import registered
from icudl.testing import EXECUTOR_CHECKS, check_survives_a_killed_worker

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "serial": SerialExecutor,
    "processes-1": lambda: ProcessExecutor(1),
    "processes-2": lambda: ProcessExecutor(2),
    "dask-2": lambda: DaskExecutor(workers=2),
}
DASK = pytest.param("dask-2", marks=[pytest.mark.slow, pytest.mark.xdist_group("dask-contract")])
"""Start and end take ten seconds; the default suite has tests/unit/execution/test_dask_executor.py."""


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


@pytest.fixture(params=["serial", "processes-1", "processes-2", DASK])
def executor(request: pytest.FixtureRequest, open_executor: Callable[[str], Executor]) -> Executor:
    return open_executor(request.param)


@pytest.fixture(params=["processes-2", DASK])
def pool(request: pytest.FixtureRequest, open_executor: Callable[[str], Executor]) -> Executor:
    """Executors whose jobs run in processes that can die."""
    return open_executor(request.param)


@pytest.mark.parametrize("check", EXECUTOR_CHECKS, ids=lambda check: check.__name__)
def test_built_in_executors_keep_the_public_contract(
    executor: Executor, check: Callable[[Callable[[], Executor]], None]
) -> None:
    check(lambda: executor)


def test_a_killed_worker_costs_only_its_jobs(pool: Executor, tmp_path: Path) -> None:
    check_survives_a_killed_worker(lambda: pool, tmp_path)


def test_made_from_options() -> None:
    for name in registered(ENTRY_POINT_GROUP):
        if name == "dask":
            pytest.importorskip("distributed")
        with make_executor(ExecutionOptions(executor=name, workers=2)) as executor:
            assert isinstance(executor, Executor)
            assert executor.workers == (1 if name == "serial" else 2)


@pytest.mark.parametrize("name", ["processes-2", DASK])
def test_a_job_that_always_kills_its_worker_is_an_error_not_a_loop(
    name: str, open_executor: Callable[[str], Executor]
) -> None:
    pool = open_executor(name)
    with pytest.raises(StageError, match="lost their worker"):
        pool.map(die_always, [1, 2], shared=None)
    assert pool.map(scale, [1, 2], shared=10) == [10, 20]


def test_workers_are_tuned(pool: Executor) -> None:
    """That torch has one thread there is a check of the public contract."""
    assert pool.map(environment, [1, 2], shared=None) == [ENVIRONMENT] * 2


def test_seeds_depend_on_name_and_root_only() -> None:
    assert seed_for(1, "a", 2) == seed_for(1, "a", 2)
    assert len({seed_for(1, "a", 2), seed_for(1, "a", 3), seed_for(2, "a", 2), seed_for(1, "a2")}) == 4
    assert 0 <= seed_for(1, "x") < 2**63
