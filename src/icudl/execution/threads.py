"""One thread for everything that is computed, so that sums run in one order and processes do not fight for cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


@contextmanager
def single_thread() -> Iterator[None]:
    """Compute on one thread inside the ``with`` block: torch, BLAS and OpenMP; restores what was set before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)
