"""A Dask scheduler and workers as an administrator starts them: by Dask's own commands, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from icudl.execution.threads import ENVIRONMENT

SECONDS = 300.0
"""How long anything that is waited for may take."""


class DaskProcesses:
    """A scheduler and ``workers`` workers on the loopback, ended with the ``with`` block.

    Args:
        folder: Where they write what they say.
        workers: How many to start.
        hidden: Folder that the workers find empty and have for themselves, as on machines of their own.
    """

    def __init__(self, folder: Path, workers: int, hidden: Path | None = None) -> None:
        self.folder = folder
        self.hidden = hidden
        self.workers: list[subprocess.Popen[bytes]] = []
        self._all: list[subprocess.Popen[bytes]] = []
        try:
            where = folder / "scheduler.json"
            self._start("scheduler", "--port", "0", "--no-show", "--scheduler-file", str(where))
            # The scheduler opens the file before it writes it.
            wait_for(lambda: where.exists() and where.read_text("utf-8").rstrip().endswith("}"))
            self.address = str(json.loads(where.read_text("utf-8"))["address"])
            assert self.address.startswith("tcp://127.0.0.1:")
            for _ in range(workers):
                self.add_worker()
            with self._client() as client:
                client.wait_for_workers(workers, timeout=SECONDS)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def add_worker(self) -> None:
        """Start one more worker; it joins when it is ready."""
        local = self.folder / "work"
        words = ("worker", self.address, "--nthreads", "1", "--no-nanny", "--local-directory", str(local))
        self.workers.append(self._start(*words, before=alone_in(self.hidden) if self.hidden else ()))

    def kill_a_busy_worker(self) -> int:
        """End a worker that runs a job, with ``kill -9``, and return its process id; -1 where none runs one."""
        with self._client() as client:
            busy = [address for address, tasks in client.processing().items() if tasks]
            pids = client.run(os.getpid, workers=busy[:1]) if busy else {}
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
            next(worker for worker in self.workers if worker.pid == pid).wait(timeout=SECONDS)
            return int(pid)
        return -1

    def _client(self) -> Any:
        from distributed import Client

        return Client(self.address, timeout=SECONDS, set_as_default=False)

    def _start(self, *words: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        output = self.folder / f"dask-{len(self._all)}.log"
        with output.open("wb") as log:
            process = subprocess.Popen(
                [*before, sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--no-dashboard"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | ENVIRONMENT, cwd=self.folder,
            )  # fmt: skip
        self._all.append(process)
        return process

    def _end(self) -> None:
        for process in self._all:
            process.kill()
            process.wait()


def alone_in(folder: Path) -> list[str]:
    """Words that make the command behind them find a folder empty, whatever others find there."""
    mount = 'mount -t tmpfs none "$0" && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(folder)]


def wait_for(condition: Any, seconds: float = SECONDS) -> None:
    """Wait until the condition holds; fail where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
