"""What a stage may know of the machine it runs on: an executor, a progress sink, a scratch folder, random streams."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

from icudl.options import Options, option
from icudl.plugins import load_plugin

ENTRY_POINT_GROUP = "icudl.executors"

Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")

Tick = Callable[[int], None]
"""Reports that so many units of work (epochs, iterations, files) are done; may be called from a worker process."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecutionOptions(Options):
    """Where and how work runs. Nothing here can change a result, so nothing here is part of an artifact's id."""

    table: ClassVar[str] = "execution"

    executor: str = option("processes", "Executor plug-in: serial, processes or dask.", identity=False)
    address: str = option(
        "",
        "Scheduler of a running Dask cluster, tcp://HOST:PORT or tls://HOST:PORT; empty: dask starts workers here.",
        identity=False,
    )
    workers: int = option(
        0,
        "Worker processes on this machine, one thread each; 0 takes one per processor core.",
        low=0,
        high=4096,
        identity=False,
    )
    device: str = option("auto", "Device of the models: auto, cpu, cuda or cuda:N.", identity=False)


class ProgressTask(Protocol):
    """One bar."""

    def advance(self, units: int = 1) -> None:
        """Report ``units`` more units done."""

    def note(self, text: str) -> None:
        """Show a short remark beside the bar (the current loss, the file being read)."""


class Progress(Protocol):
    """Sink of progress; the command line draws it, the library ignores it by default."""

    def task(
        self, description: str, total: int | None = None, unit: str = "it"
    ) -> contextlib.AbstractContextManager[ProgressTask]:
        """Open a bar of ``total`` units (None where unknown) for the time of a ``with`` block."""


class SilentProgress:
    """Progress that nobody watches."""

    @contextlib.contextmanager
    def task(self, description: str, total: int | None = None, unit: str = "it") -> Iterator[ProgressTask]:  # noqa: ARG002
        """Open a bar that shows nothing."""
        yield _SilentTask()


class _SilentTask:
    def advance(self, units: int = 1) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


@runtime_checkable
class Executor(Protocol):
    """Runs independent jobs; serial, processes and clusters must give identical results.

    A ``with`` block opens and closes what outlives a single call (a connection, workers that stay). Opening finds out
    whether it can be reached; an executor that was not opened opens itself when it is first used.
    """

    workers: int

    @classmethod
    def from_options(cls, options: ExecutionOptions) -> Self:
        """Make the executor as ``options`` say; nothing is started or connected to yet.

        Raises:
            PluginError: It needs an extra that is not installed.
        """
        ...

    def __enter__(self) -> Self:
        """Open it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        return

    def run(
        self,
        task: Callable[[Shared, Job, Tick], Result],
        jobs: Sequence[Job],
        *,
        shared: Shared,
        on_result: Callable[[int, Result], None],
        tick: Tick | None = None,
    ) -> None:
        """Run ``task(shared, job, tick)`` for every job and hand over each result as soon as it is there.

        Neither jobs nor results are held: a job is asked of ``jobs`` when a worker is about to be free for it (and
        again where that worker dies), so a sequence that makes its items on demand keeps memory flat.

        Args:
            task: A module-level function: it is sent to workers by name.
            jobs: Values that tell one job from another (a fold, a range of stays, a seed).
            shared: Larger values that all jobs read (arrays, options); sent to each worker once.
            on_result: Called in this process with (job index, result) as soon as each job is done, in any order.
            tick: Called in this process for every unit of work that a job reports.

        Raises:
            IcudlError: What a job raised, unchanged. A job whose worker died is run again elsewhere first.
        """
        ...

    def map(
        self,
        task: Callable[[Shared, Job, Tick], Result],
        jobs: Sequence[Job],
        *,
        shared: Shared,
        tick: Tick | None = None,
        on_result: Callable[[int, Result], None] | None = None,
    ) -> list[Result]:
        """Return ``[task(shared, job, tick) for job in jobs]``, in job order; see ``run``."""
        results: dict[int, Result] = {}

        def keep(index: int, result: Result) -> None:
            results[index] = result
            if on_result is not None:
                on_result(index, result)

        self.run(task, jobs, shared=shared, on_result=keep, tick=tick)
        return [results[index] for index in range(len(jobs))]


def make_executor(options: ExecutionOptions) -> Executor:
    """Make the executor that ``options.executor`` names.

    Raises:
        PluginError: There is no such plug-in, or what it needs is not installed.
    """
    plugin: type[Executor] = load_plugin(ENTRY_POINT_GROUP, options.executor)
    return plugin.from_options(options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunContext:
    """What a stage gets besides its inputs and options.

    Attributes:
        executor: Runs folds, trials, attack batches and file shards.
        device: Device of the models: ``"cpu"`` or ``"cuda:N"``.
        progress: Where to report progress.
        scratch: Private folder, kept until the stage has finished: what a killed stage resumes from.
        seed: Root of every random stream.
        logs: Folder beside the artifact for TensorBoard event files (never part of it); None where not wanted.
        studies: Folder that keeps the trials of searches for longer studies to go on from; None keeps them in
            ``scratch``.
    """

    executor: Executor
    device: str
    progress: Progress
    scratch: Path
    seed: int
    logs: Path | None = None
    studies: Path | None = None

    def seed_for(self, *name: str | int) -> int:
        """Return a 63-bit seed of its own for each purpose, the same on every machine and in any order of asking."""
        return seed_for(self.seed, *name)

    def rng(self, *name: str | int) -> np.random.Generator:
        """Return an independent random stream for this purpose."""
        return np.random.default_rng(self.seed_for(*name))


def seed_for(root: int, *name: str | int) -> int:
    """Derive a 63-bit seed from a root seed and the name of a purpose (SHA-256, so streams do not overlap)."""
    text = "\x1f".join([str(root), *map(str, name)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


_UNFINISHED = ".partial"


def write_atomically(path: Path, write: Callable[[Path], Any], *, keep_name: bool = True) -> None:
    """Let ``write`` make a file beside ``path``, then move it into place in one step, its bytes on the disk.

    A reader, or a run resumed after a kill, sees either the whole file or none; of several writers one wins.

    Args:
        path: File to be made or replaced.
        write: Writes it, to the path that it is given.
        keep_name: Whether the renaming has to be on the disk too before anything else is done. Without it a loss of
            power may bring back the file before this one, or none.
    """
    partial = _unfinished(path)
    # On a worker of another machine the folder may not exist yet.
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write(partial)
        sync(partial)
        partial.replace(path)
        if keep_name:
            sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_folder_atomically(folder: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a new folder beside ``folder``, then move it into place in one step, its bytes on the disk.

    Raises:
        OSError: ``folder`` is there already and not empty.
    """
    partial = _unfinished(folder)
    try:
        partial.mkdir(parents=True)
        write(partial)
        for path in (partial, *partial.rglob("*")):
            sync(path)
        partial.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def remove_folder(folder: Path) -> None:
    """Move a folder out of sight in one step, then delete it: a kill leaves all of it in its place, or nothing."""
    aside = folder
    if not folder.name.endswith(_UNFINISHED):
        aside = _unfinished(folder)
        with contextlib.suppress(FileNotFoundError):
            folder.rename(aside)
            # A disk that loses its power could otherwise hold the deletions and not the move.
            sync(aside.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _unfinished(path: Path) -> Path:
    """Name what is not yet, or no longer, at ``path``; no two processes use the same name."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{_UNFINISHED}")


def sync(path: Path) -> None:
    """Wait until the disk holds the bytes of a file, or the names in a folder (not what lies under the names)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
