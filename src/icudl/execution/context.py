"""The context of a stage within its run: an executor, a progress sink, a scratch folder, random streams."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from icudl.execution.base import Executor


class ProgressTask(Protocol):
    """One progress bar."""

    def advance(self, units: int = 1) -> None:
        """Report ``units`` more units done."""

    def note(self, text: str) -> None:
        """Show a short remark beside the bar (the current loss, the file being read)."""


class Progress(Protocol):
    """Sink of progress; the command line draws it, the library ignores it by default."""

    def task(
        self, description: str, total: int | None = None, unit: str = "it"
    ) -> contextlib.AbstractContextManager[ProgressTask]:
        """Show a bar of ``total`` units (None if unknown) while the ``with`` block lasts."""


class SilentProgress:
    """A sink that shows nothing."""

    @contextlib.contextmanager
    def task(self, description: str, total: int | None = None, unit: str = "it") -> Iterator[ProgressTask]:  # noqa: ARG002
        """Open a bar that shows nothing."""
        yield _SilentTask()


class _SilentTask:
    def advance(self, units: int = 1) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunContext:
    """The context that a stage gets besides its inputs and options.

    Attributes:
        executor: Runs folds, trials, attack batches and file shards.
        device: Device of the models: ``"cpu"`` or ``"cuda:N"``.
        progress: Sink of progress.
        scratch: Private folder, kept until the stage has finished; a killed stage resumes from it.
        seed: Root of every random stream.
        logs: Folder for TensorBoard event files, which are never part of the artifact; None writes no event files.
        studies: Folder that keeps the trials of searches, so that a longer search continues a shorter one; None keeps
            them in ``scratch``.
    """

    executor: Executor
    device: str
    progress: Progress
    scratch: Path
    seed: int
    logs: Path | None = None
    studies: Path | None = None

    def seed_for(self, *name: str | int) -> int:
        """Return a 63-bit seed for a purpose, the same on every machine and after any earlier calls."""
        return seed_for(self.seed, *name)

    def rng(self, *name: str | int) -> np.random.Generator:
        """Return an independent random stream for this purpose."""
        return np.random.default_rng(self.seed_for(*name))


def seed_for(root: int, *name: str | int) -> int:
    """Derive a 63-bit seed from a root seed and the name of a purpose (SHA-256, so streams do not overlap)."""
    text = "\x1f".join([str(root), *map(str, name)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
