"""Recorders: from work on arrays that stay where they are to a call that does it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

WARM_UPS = 2


class Recorder(Protocol):
    """Records work whose inputs and outputs are arrays that stay where they are."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what does the work again, on what the arrays hold then.

        Raises:
            RuntimeError: The work cannot be recorded.
        """


class Rerun:
    """Records nothing: the work itself is called again."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return the work."""
        return work


class CudaRecorder:
    """Records CUDA graphs: all kernels of the work are started by one call.

    Graphs share the memory of what they compute on the way. They are replayed on one stream, one after another, and
    keep no result there.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        with torch.cuda.device(device):
            self._pool = torch.cuda.graph_pool_handle()
            self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """See ``Recorder``."""
        with torch.cuda.device(self.device):
            current = torch.cuda.current_stream()
            self._side.wait_stream(current)
            try:
                with torch.cuda.stream(self._side):
                    # Libraries set themselves up in the first calls, which cannot be recorded.
                    for _ in range(WARM_UPS):
                        work()
                    _without_waiting(work)
                current.wait_stream(self._side)
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, pool=self._pool, stream=self._side):
                    work()
            finally:
                # A recording that fails leaves its own stream in place.
                torch.cuda.set_stream(current)
        return graph.replay


def _without_waiting(work: Callable[[], None]) -> None:
    """Do the work, and raise if it makes the host wait: found here, a failed recording need not be undone."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    finally:
        torch.cuda.set_sync_debug_mode(before)
