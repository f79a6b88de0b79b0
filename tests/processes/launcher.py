"""Runs the command line in processes that can be given a fault."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fault import Fault


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that is over.

    Attributes:
        code: Exit code, or minus the signal that ended it.
        stdout: What it printed.
        stderr: What it said.
    """

    code: int
    stdout: str
    stderr: str

    @property
    def killed(self) -> bool:
        """Whether a fault killed it."""
        return self.code in {-signal.SIGKILL, -signal.SIGXFSZ}


class Launcher:
    """Starts runs by forking a process that has imported everything.

    Args:
        folder: Where output of the runs is kept.
        warnings: What Python does with a warning of a run (as after ``python -W``).
    """

    def __init__(self, folder: Path, warnings: str = "ignore::DeprecationWarning") -> None:
        self.folder = folder
        self._numbers = itertools.count()
        self._outputs: dict[int, tuple[Path, Path]] = {}
        environment = os.environ | {"COLUMNS": "140"}
        self._nursery = subprocess.Popen(
            [sys.executable, "-W", warnings, str(Path(__file__).with_name("nursery.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.close()
        self._nursery.wait(timeout=60)
        self._nursery.stdout.close()

    def start(
        self, words: Sequence[str | Path], fault: Fault | None = None, then: Sequence[Sequence[str | Path]] = ()
    ) -> int:
        """Start a run in a session of its own, with the present environment and folder; return its process id.

        The calls in ``then`` follow in the same process, as long as each succeeds.
        """
        number = next(self._numbers)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        request = {
            "words": [str(word) for word in words],
            "then": [[str(word) for word in further] for further in then],
            "fault": dataclasses.asdict(fault or Fault()),
            "environment": dict(os.environ) | {"COLUMNS": "140"},
            "folder": str(Path.cwd()),
            "stdout": str(out),
            "stderr": str(err),
        }
        pid = int(self._ask(request)["pid"])
        self._outputs[pid] = (out, err)
        return pid

    def wait(self, pid: int) -> Ended:
        """Wait for the end of a run; none of them ever shows a traceback."""
        code = int(self._ask({"wait": pid})["code"])
        encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
        out, err = (path.read_text(encoding) for path in self._outputs[pid])
        assert "Traceback" not in err, err
        return Ended(code=code, stdout=out, stderr=err)

    def run(self, words: Sequence[str | Path], fault: Fault | None = None) -> Ended:
        """Start a run and wait for its end."""
        return self.wait(self.start(words, fault))

    def succeed_in_turn(self, *calls: Sequence[str | Path]) -> None:
        """Run calls that must succeed one after the other in one process."""
        ended = self.wait(self.start(calls[0], then=calls[1:]))
        assert ended.code == 0, ended.stderr

    def succeed(self, words: Sequence[str | Path], fault: Fault | None = None) -> Ended:
        """Run what must succeed."""
        ended = self.run(words, fault)
        assert ended.code == 0, ended.stderr
        return ended

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps(request) + "\n")
        self._nursery.stdin.flush()
        answer: dict[str, Any] = json.loads(self._nursery.stdout.readline())
        return answer
