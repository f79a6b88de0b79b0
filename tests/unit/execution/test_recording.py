"""Recorders, with a device that only takes notes."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from icudl.execution.recording import TOLERANCE, WARM_UPS, CudaRecorder, Recorder, Rerun, recorded


class Work:
    """Doubles ``source`` into ``result``, and counts."""

    def __init__(self) -> None:
        self.source, self.result, self.times = torch.ones(3), torch.zeros(3), 0

    def __call__(self) -> None:
        self.times += 1
        self.result.copy_(2 * self.source)


class Off:
    """Leaves numbers that are ``share`` of the largest off."""

    def __init__(self, share: float) -> None:
        self.share = share

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        def again() -> None:
            work()
            result = work.result  # type: ignore[attr-defined]
            result[0] += self.share * result.abs().max()

        return again


class Idle:
    """Does the work while it records, and nothing afterwards."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        work()
        return lambda: None


class Refusing:
    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        raise torch.OutOfMemoryError("out of memory\nand more")


@pytest.mark.parametrize(
    ("recorder", "reason"),
    [
        (Rerun(), ""),
        (Off(TOLERANCE / 2), ""),
        (Off(TOLERANCE * 2), "the recorded work gives numbers that are 0.0002 off"),
        (Off(float("nan")), "the recorded work gives numbers that are inf off"),
        (Idle(), "the recorded work gives numbers that are inf off"),
        (Refusing(), "out of memory"),
    ],
    ids=["same", "rounding", "off", "nan", "idle", "refused"],
)
def test_what_is_recorded_gives_the_same_numbers(recorder: Recorder, reason: str) -> None:
    work, prepared = Work(), []
    again, found = recorded(recorder, work, [work.result, torch.zeros(0)], lambda: prepared.append(work.times))
    assert found == reason
    assert torch.allclose(work.result, torch.full((3,), 2.0), rtol=1e-3)
    assert len(prepared) == (2 if not reason or reason == "out of memory" else 3)
    work.source.fill_(4.0)
    again()
    torch.testing.assert_close(work.result, torch.full((3,), 8.0), rtol=TOLERANCE, atol=0)
    if reason:
        assert again is work


def test_numbers_that_were_never_any_stay_so() -> None:
    work = Work()
    work.source[1] = torch.nan
    assert recorded(Rerun(), work, [work.result])[1] == ""


class Device:
    """What ``torch.cuda`` offers for recording; ``notes`` says what was asked of it, in order."""

    def __init__(self, *, graphs_fail: bool = False) -> None:
        self.notes: list[str] = []
        self.stream_now, self.mode, self.graphs_fail = "main", 0, graphs_fail

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def note(text: str) -> None:
            self.notes.append(text)

        owner = self

        class Stream:
            def __init__(self, name: str = "side") -> None:
                self.name = name

            def wait_stream(self, other: Stream) -> None:
                note(f"{self.name} waits for {other.name}")

        class Graph:
            def capture_begin(self, pool: str, capture_error_mode: str) -> None:
                assert capture_error_mode == "thread_local"
                note(f"capture on {owner.stream_now} in {pool}")

            def capture_end(self) -> None:
                note("captured")
                if owner.graphs_fail:
                    raise RuntimeError("operation failed due to a previous error during capture")

            def replay(self) -> None:
                note(f"replay on {owner.stream_now}")

        @contextlib.contextmanager
        def stream(chosen: Stream) -> Iterator[None]:
            before, owner.stream_now = owner.stream_now, chosen.name
            try:
                yield
            finally:
                owner.stream_now = before

        def set_mode(mode: object) -> None:
            if mode == "error":
                warnings.warn("a prototype feature", UserWarning, stacklevel=1)
            owner.mode = mode

        for name, value in {
            "device": lambda _device: contextlib.nullcontext(),
            "graph_pool_handle": lambda: "pool",
            "Stream": Stream,
            "current_stream": lambda: Stream(owner.stream_now),
            "stream": stream,
            "synchronize": lambda: note("wait for all"),
            "CUDAGraph": Graph,
            "get_sync_debug_mode": lambda: owner.mode,
            "set_sync_debug_mode": set_mode,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)


def test_a_graph_is_captured_after_warm_ups_beside_the_main_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    device, seen = Device(), []
    device.install(monkeypatch)
    again = CudaRecorder(torch.device("cuda:0")).record(lambda: seen.append((device.stream_now, device.mode)))
    assert seen == [*[("side", 0)] * WARM_UPS, ("side", "error"), ("side", 0)]
    again()
    expected = ["side waits for main", "wait for all", "capture on side in pool", "captured", "replay on main"]
    assert device.notes == expected
    assert (device.stream_now, device.mode) == ("main", 0)


def test_work_that_waits_is_not_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device()
    device.install(monkeypatch)

    def work() -> None:
        if device.mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation")

    with pytest.raises(RuntimeError, match="synchronizing"):
        CudaRecorder(torch.device("cuda:0")).record(work)
    assert device.notes == ["side waits for main"]
    assert (device.stream_now, device.mode) == ("main", 0)


@pytest.mark.parametrize("stumbles", [False, True])
def test_a_failed_capture_ends_on_the_main_stream(stumbles: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    device, work = Device(graphs_fail=True), Work()
    device.install(monkeypatch)

    def done() -> None:
        work()
        if stumbles and "capture on side in pool" in device.notes and "captured" not in device.notes:
            raise RuntimeError("no such kernel")

    again, reason = recorded(CudaRecorder(torch.device("cuda:0")), done, [work.result])
    assert again is done
    assert reason == ("no such kernel" if stumbles else "operation failed due to a previous error during capture")
    assert "captured" in device.notes
    assert device.stream_now == "main"


def test_rerun_is_the_work_itself() -> None:
    def work() -> None: ...

    assert Rerun().record(work) is work


@pytest.mark.gpu
def test_a_graph_reads_what_its_arrays_hold_then() -> None:
    device = torch.device("cuda:0")
    source, result = torch.ones(4, device=device), torch.zeros(4, device=device)

    def work() -> None:
        result.copy_(3 * source)

    again, reason = recorded(CudaRecorder(device), work, [result])
    assert reason == ""
    source.fill_(5.0)
    again()
    assert result.tolist() == [15.0] * 4


@pytest.mark.gpu
def test_work_that_reads_a_number_is_not_recorded_and_done_all_the_same() -> None:
    device = torch.device("cuda:0")
    source, result = torch.ones(4, device=device), torch.zeros(4, device=device)

    def work() -> None:
        result.fill_(float(source.sum()))

    again, reason = recorded(CudaRecorder(device), work, [result])
    assert again is work
    assert reason
    assert result.tolist() == [4.0] * 4
    fine: list[Tensor] = [source, result]
    assert recorded(CudaRecorder(device), lambda: fine[1].copy_(fine[0]), [result])[1] == ""
