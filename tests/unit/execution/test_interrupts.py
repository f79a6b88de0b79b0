"""Ctrl-C and SIGTERM are kept until a safe place, and never lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import pytest

from icudl.execution.children import interrupts_deferred


class Asked(Exception):  # noqa: N818 - what a handler raises
    pass


def ask(_number: int, _frame: FrameType | None) -> None:
    raise Asked


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    before = signal.signal(request.param, ask)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_raises_where_it_is_checked(number: int) -> None:
    passed = []

    def work() -> None:
        with interrupts_deferred() as check:
            check()
            os.kill(os.getpid(), number)
            passed.append("after the signal")
            check()
            passed.append("after the check")

    with pytest.raises(Asked):
        work()
    assert passed == ["after the signal"]
    assert signal.getsignal(number) is ask


def test_a_signal_that_nobody_checked_raises_at_the_end(number: int) -> None:
    passed = []

    def work() -> None:
        with interrupts_deferred():
            os.kill(os.getpid(), number)
            passed.append("inside")
        passed.append("after the end")

    with pytest.raises(Asked):
        work()
    assert passed == ["inside"]


def test_another_error_goes_before(number: int) -> None:
    def work() -> None:
        with interrupts_deferred():
            os.kill(os.getpid(), number)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert signal.getsignal(number) is ask


def test_what_the_process_ignores_stays_ignored(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    with interrupts_deferred() as check:
        os.kill(os.getpid(), number)
        check()
    assert signal.getsignal(number) is signal.SIG_IGN


def test_in_another_thread_nothing_changes() -> None:
    def inside() -> bool:
        with interrupts_deferred() as check:
            check()
            return threading.current_thread() is threading.main_thread()

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(inside).result() is False
