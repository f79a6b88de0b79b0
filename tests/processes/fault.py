"""Faults that a run is given before its first line: where it is killed, and what its machine refuses.

An operation is whatever changes the file system or takes a lock: opening for writing, renaming, making and removing
files and folders, changing modes, locking, and telling the disk to keep what was written. Between two of them nothing
that a later run can see has happened, so a kill before each is a kill at every dangerous moment. What native code
writes (Parquet, safetensors) is not seen operation by operation: ``TornWrite`` stops it at a byte instead.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from names import Names, of_handle, touched

_OPERATIONS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "os.link", "fcntl.flock"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """What befalls a run; the defaults befall nothing.

    Attributes:
        kill_before: Number of the file operation, from 1, before which the whole process group is killed.
        power_loss_in: Folder in which, at that kill, every file loses its content that was written since the start of
            the process and was not synced, as when the power fails. Without a kill it fails as the run has ended.
        names_lost: Share of what was done to the entries of its folders, and not synced, that is lost as well.
        seed: Of the draw of these.
        torn_write: Size in bytes at which a growing file kills the process, the bytes before it written.
        full_disk: Size in bytes beyond which no file can grow, as on a full disk; an error and not a kill.
        memory_group: Control group that the process joins: what it takes from then on is within the group's limit.
        memory: Address space in bytes beyond what the process has at its start.
        clock_days: How far the process's clock is wrong.
        environment: Variables set before anything runs.
        operations_to: File that the number of operations is written to at the end.
    """

    kill_before: int = 0
    power_loss_in: str = ""
    names_lost: float = 0.0
    seed: int = 0
    torn_write: int = 0
    full_disk: int = 0
    memory_group: str = ""
    memory: int = 0
    clock_days: int = 0
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    operations_to: str = ""


class Operations:
    """Counts the operations of this process, and ends its group before one of them."""

    def __init__(self, fault: Fault) -> None:
        self.count = 0
        self._fault = fault
        self._names: Names | None = None
        self._recording = threading.Lock()
        self._recorder: int | None = None
        self._start = time.time_ns() - 20_000_000  # times of files come from a coarser clock
        self._synced: dict[int, int] = {}

    def watch(self) -> None:
        """Begin; there is no end."""
        folder = Path(self._fault.power_loss_in)
        if self._fault.names_lost:
            self._names = Names(folder, folder.with_name(f"{folder.name}.aside"))
        sync = os.fsync

        def counted_sync(handle: Any) -> None:
            self._step()
            sync(handle)
            found = os.fstat(handle)
            self._synced[found.st_ino] = found.st_mtime_ns
            if stat.S_ISDIR(found.st_mode):
                self._record(lambda names: names.synced(of_handle(handle)))

        os.fsync = counted_sync
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if threading.get_ident() == self._recorder:
            return
        is_opening = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
        if is_opening or event in _OPERATIONS:
            self._step()
            self._record(lambda names: names.announce(touched(event, arguments)))

    def _record(self, what: Callable[[Names], object]) -> None:
        """Let the record of names look at the disk; what it does itself is no operation."""
        if self._names is not None:
            with self._recording:
                self._recorder = threading.get_ident()
                what(self._names)
                self._recorder = None

    def _step(self) -> None:
        self.count += 1
        if self.count == self._fault.kill_before:
            if self._fault.power_loss_in:
                self.lose_power()
            os.killpg(0, signal.SIGKILL)

    def lose_power(self) -> None:
        """Leave in the folder what its disk would hold."""
        self._record(lambda names: names.lose(self._fault.names_lost, self._fault.seed))
        self._record(lambda names: names.forget())
        self._lose_what_is_not_synced()

    def _lose_what_is_not_synced(self) -> None:
        """Empty the files: what a disk holds of a file whose bytes never reached it, although its name did."""
        for path in Path(self._fault.power_loss_in).rglob("*"):
            found = path.stat()
            written = path.is_file() and found.st_mtime_ns >= self._start
            if written and self._synced.get(found.st_ino) != found.st_mtime_ns:
                os.truncate(path, 0)


def arm(fault: Fault) -> Operations:
    """Let the fault befall this process, which leads a process group of its own."""
    os.environ.update(fault.environment)
    if fault.clock_days:
        import datetime as dt

        import time_machine

        time_machine.travel(dt.datetime.now(tz=dt.UTC) + dt.timedelta(days=fault.clock_days), tick=True).start()
    if fault.memory_group:
        (Path(fault.memory_group) / "cgroup.procs").write_text(str(os.getpid()), "ascii")
    if fault.memory:
        _limit(resource.RLIMIT_AS, _address_space() + fault.memory)
    if fault.torn_write:
        # Python ignores the signal, and the write fails instead; its default is to end the process.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        _limit(resource.RLIMIT_CORE, 0)
    if fault.torn_write or fault.full_disk:
        _limit(resource.RLIMIT_FSIZE, fault.torn_write or fault.full_disk)
    operations = Operations(fault)
    if fault.kill_before or fault.operations_to or fault.power_loss_in:
        operations.watch()
    return operations


def _limit(which: int, value: int) -> None:
    resource.setrlimit(which, (value, value))


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    return pages * resource.getpagesize()
