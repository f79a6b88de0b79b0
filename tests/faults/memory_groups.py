"""Control groups whose memory is limited: in them the kernel kills for want of memory."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest


def make_group(limit: int) -> Path:
    """Make a group with so many bytes of memory; skip the test where that cannot be done."""
    if not Path("/sys/fs/cgroup").is_dir():
        pytest.skip("there are no control groups")
    if re.search(r"^SwapTotal:\s+[1-9]", Path("/proc/meminfo").read_text("ascii"), re.MULTILINE):
        pytest.skip("with swap the kernel does not kill")
    places = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text("ascii").splitlines())
    old = Path("/sys/fs/cgroup/memory")
    parent = old / places["memory"].lstrip("/") if old.is_dir() else Path("/sys/fs/cgroup")
    group = parent / f"icudl-test-{os.getpid()}-{limit}"
    settings = {"memory.limit_in_bytes": limit} if old.is_dir() else {"memory.max": limit, "memory.swap.max": 0}
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no group with a memory limit can be made here: {error}")
    try:
        for name, value in settings.items():
            (group / name).write_text(str(value), "ascii")
    except OSError as error:
        remove_group(group)
        pytest.skip(f"no group with a memory limit can be made here: {error}")
    return group


def remove_group(group: Path) -> None:
    """Remove a group once its processes have ended."""
    deadline = time.monotonic() + 60
    while (group / "cgroup.procs").read_text("ascii").strip():
        assert time.monotonic() < deadline, "a process of the group does not end"
        time.sleep(0.05)
    group.rmdir()


def killed_for_memory(group: Path) -> int:
    """Return how many processes of the group the kernel has killed."""
    old, recent = group / "memory.oom_control", group / "memory.events"
    lines = (old if old.exists() else recent).read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
