"""Executors on one machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from icudl.execution.base import Job, Result, Shared, Tick


def _ignore(_units: int) -> None:
    pass


class SerialExecutor:
    """Runs jobs one after another in this process."""

    def __init__(self, workers: int = 1) -> None:  # noqa: ARG002 - all executors are made alike
        self.workers = 1

    def map(
        self,
        task: Callable[[Shared, Job, Tick], Result],
        jobs: Sequence[Job],
        *,
        shared: Shared,
        tick: Tick | None = None,
        on_result: Callable[[int, Result], None] | None = None,
    ) -> list[Result]:
        """Run the jobs in order; see ``execution.base.Executor``."""
        results: list[Result] = []
        for index, job in enumerate(jobs):
            result = task(shared, job, tick or _ignore)
            if on_result is not None:
                on_result(index, result)
            results.append(result)
        return results
