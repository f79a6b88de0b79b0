"""The executor without workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from icudl.execution.base import ExecutionOptions, Executor, Job, Result, Shared, Tick, ignore_ticks


class SerialExecutor(Executor):
    """Runs jobs one after another in this process."""

    def __init__(self) -> None:
        self.workers = 1

    @classmethod
    def from_options(cls, options: ExecutionOptions) -> Self:  # noqa: ARG003 - there is one way to be serial
        """Make the executor; it reads no option."""
        return cls()

    def run(
        self,
        task: Callable[[Shared, Job, Tick], Result],
        jobs: Sequence[Job],
        *,
        shared: Shared,
        on_result: Callable[[int, Result], None],
        tick: Tick | None = None,
    ) -> None:
        """Run the jobs in order; see ``execution.base.Executor``."""
        for index in range(len(jobs)):
            on_result(index, task(shared, jobs[index], tick or ignore_ticks))
