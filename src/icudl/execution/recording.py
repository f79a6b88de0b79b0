"""Recorders: from work on arrays that stay where they are to a call that does it again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

WARM_UPS = 2

TOLERANCE = 1e-4
"""Largest difference between what is recorded and the work it comes from, as a share of the largest number."""


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


def recorded(
    recorder: Recorder,
    work: Callable[[], None],
    results: Sequence[Tensor],
    prepare: Callable[[], None] = lambda: None,
) -> tuple[Callable[[], None], str]:
    """Record work, do it once by what was recorded, and see to it that it gives the same numbers.

    Args:
        recorder: Records it.
        work: Reads and writes arrays that stay where they are. It may be done any number of times.
        results: The arrays it writes.
        prepare: Called before each time that counts: puts back what the work uses up, as random numbers.

    Returns:
        What does the work again, which is the work itself if it cannot be recorded; and why not, or nothing.
    """
    prepare()
    work()
    expected = [result.clone() for result in results]
    try:
        again = recorder.record(work)
        for result in results:
            # What the recorder left there would hide that nothing is done again.
            result.fill_(torch.nan)
        prepare()
        again()
        apart = max(_distance(*pair) for pair in zip(results, expected, strict=True))
        if apart <= TOLERANCE:
            return again, ""
        reason = f"the recorded work gives numbers that are {apart:.1g} off"
    except RuntimeError as error:
        reason = str(_first_cause(error)).partition("\n")[0]
    prepare()
    work()
    return work, reason


def _first_cause(error: BaseException) -> BaseException:
    """Return the error that was raised first: the end of a failed recording is an error, too."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _distance(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference as a share of the largest number; infinite where only one is NaN."""
    if found.numel() == 0:
        return 0.0
    if bool((found.isnan() != expected.isnan()).any()):
        return float("inf")
    largest = expected.nan_to_num(nan=0.0).abs().max().clamp(min=1e-30)
    return float((found - expected).nan_to_num(nan=0.0).abs().max() / largest)


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
            graph = torch.cuda.CUDAGraph()
            self._side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._side):
                # Libraries set themselves up in the first calls, which cannot be recorded.
                for _ in range(WARM_UPS):
                    work()
                _without_waiting(work)
                torch.cuda.synchronize()
                # torch.cuda.graph would empty the cache of the allocator each time, and leave its stream in place
                # where it fails. What other threads free meanwhile does no harm.
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    work()
                finally:
                    graph.capture_end()
        return graph.replay


def _without_waiting(work: Callable[[], None]) -> None:
    """Do the work, and raise if it makes the host wait: found here, a failed recording need not be undone."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        # torch says once that the mode does not find everything that waits.
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    finally:
        torch.cuda.set_sync_debug_mode(before)
