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
import sys
import time
from pathlib import Path
from typing import Any

_OPERATIONS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "os.link", "fcntl.flock"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """What befalls a run; the defaults befall nothing.

    Attributes:
        kill_before: Number of the file operation, from 1, before which the whole process group is killed.
        power_loss_in: Folder in which, at that kill, every file loses its content that was written since the start of
            the process and was not synced, as when the power fails.
        torn_write: Size in bytes at which a growing file kills the process, the bytes before it written.
        full_disk: Size in bytes beyond which no file can grow, as on a full disk; an error and not a kill.
        memory: Address space in bytes beyond what the process has at its start.
        clock_days: How far the process's clock is wrong.
        environment: Variables set before anything runs.
        operations_to: File that the number of operations is written to at the end.
    """

    kill_before: int = 0
    power_loss_in: str = ""
    torn_write: int = 0
    full_disk: int = 0
    memory: int = 0
    clock_days: int = 0
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    operations_to: str = ""


class Operations:
    """Counts the operations of this process, and ends its group before one of them."""

    def __init__(self, kill_before: int, power_loss_in: str = "") -> None:
        self.count = 0
        self._last = kill_before
        self._power_loss_in = power_loss_in
        self._start = time.time_ns() - 20_000_000  # times of files come from a coarser clock
        self._synced: dict[int, int] = {}

    def watch(self) -> None:
        """Begin; there is no end."""
        sync = os.fsync

        def counted_sync(handle: Any) -> None:
            self._step()
            sync(handle)
            found = os.fstat(handle)
            self._synced[found.st_ino] = found.st_mtime_ns

        os.fsync = counted_sync
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_opening = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
        if is_opening or event in _OPERATIONS:
            self._step()

    def _step(self) -> None:
        self.count += 1
        if self.count == self._last:
            if self._power_loss_in:
                self._lose_what_is_not_synced()
            os.killpg(0, signal.SIGKILL)

    def _lose_what_is_not_synced(self) -> None:
        """Empty the files: what a disk holds of a file whose bytes never reached it, although its name did."""
        for path in Path(self._power_loss_in).rglob("*"):
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
    if fault.memory:
        _limit(resource.RLIMIT_AS, _address_space() + fault.memory)
    if fault.torn_write:
        # Python ignores the signal, and the write fails instead; its default is to end the process.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        _limit(resource.RLIMIT_CORE, 0)
    if fault.torn_write or fault.full_disk:
        _limit(resource.RLIMIT_FSIZE, fault.torn_write or fault.full_disk)
    operations = Operations(fault.kill_before, fault.power_loss_in)
    if fault.kill_before or fault.operations_to:
        operations.watch()
    return operations


def _limit(which: int, value: int) -> None:
    resource.setrlimit(which, (value, value))


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    return pages * resource.getpagesize()
