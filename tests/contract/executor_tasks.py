"""Jobs for executors; a module of their own, because a worker imports what stands beside them."""

from __future__ import annotations

import os
import signal

from icudl.execution.base import Tick
from icudl.execution.threads import ENVIRONMENT


def scale(shared: int, job: int, tick: Tick) -> int:
    return shared * job


def die_always(shared: None, job: int, tick: Tick) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return job


def environment(shared: None, job: int, tick: Tick) -> dict[str, str]:
    return {name: os.environ.get(name, "") for name in ENVIRONMENT}
