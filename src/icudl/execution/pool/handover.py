"""Handing large values to the workers of a pool.

Arguments of a process that ``multiprocessing`` spawns go through a pipe whose other end the parent holds open as well.
Where the child dies before it has read them, and they do not fit the pipe's buffer (64 KB on Linux), the parent waits
for ever. Through a socket of the worker's own it learns of the death.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError, current_process
from multiprocessing.connection import Client, Listener
from multiprocessing.reduction import ForkingPickler
from typing import Any

_TAKE, _CLOSE = b"take", b"close"

Address = Any
"""Where the value is to be had; of the kind that the operating system has."""


@contextlib.contextmanager
def offered(value: object) -> Iterator[Address]:
    """Hand a value to every process that calls ``take`` with the address, as long as the ``with`` block lasts.

    Raises:
        Exception: The value cannot be sent to another process.
    """
    packed = bytes(ForkingPickler.dumps(value))
    with contextlib.ExitStack() as taken, Listener(backlog=128, authkey=_key()) as listener:

        def serve() -> None:
            while True:
                # A worker that dies while it asks is told of by the pool; who does not know the key gets nothing.
                with contextlib.suppress(OSError, EOFError, AuthenticationError):
                    connection = taken.enter_context(listener.accept())
                    if connection.recv_bytes() == _CLOSE:
                        return
                    connection.send_bytes(packed)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield listener.address
        finally:
            with Client(listener.address, authkey=_key()) as connection:
                connection.send_bytes(_CLOSE)
                server.join()


def take(address: Address, forget: Callable[[], None]) -> Any:
    """Return what is offered at ``address`` by the process that started this one.

    Args:
        address: From ``offered``.
        forget: Called, in a thread, when it is offered no longer.
    """
    connection = Client(address, authkey=_key())
    connection.send_bytes(_TAKE)
    value = connection.recv()

    def wait() -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            connection.recv_bytes()
        forget()

    threading.Thread(target=wait, daemon=True).start()
    return value


def _key() -> bytes:
    """Return what only this process and those it started know."""
    return bytes(current_process().authkey)
