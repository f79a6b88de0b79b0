"""Handing large values to the workers of a pool.

Arguments of a process that ``multiprocessing`` spawns go through a pipe whose other end the parent holds open as well.
Where the child dies before it has read them, and they do not fit the pipe's buffer (64 KB on Linux), the parent waits
for ever. Through a socket of the worker's own it learns of the death.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from multiprocessing import current_process
from multiprocessing.connection import Client, Listener
from multiprocessing.reduction import ForkingPickler
from typing import Any

Address = Any
"""Where the value is to be had; of the kind that the operating system has."""


@contextlib.contextmanager
def offered(value: object) -> Iterator[Address]:
    """Hand a value to every process that calls ``take`` with the address, as long as the ``with`` block lasts.

    Raises:
        Exception: The value cannot be sent to another process.
    """
    packed, closing = bytes(ForkingPickler.dumps(value)), threading.Event()
    with Listener(backlog=128, authkey=_key()) as listener:

        def serve() -> None:
            while True:
                # A worker that dies while it asks is told of by the pool.
                with contextlib.suppress(OSError, EOFError), listener.accept() as connection:
                    if closing.is_set():
                        return
                    connection.send_bytes(packed)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield listener.address
        finally:
            closing.set()
            with contextlib.suppress(OSError, EOFError):
                Client(listener.address, authkey=_key()).close()
            server.join()


def take(address: Address) -> Any:
    """Return what is offered at ``address`` by the process that started this one."""
    with Client(address, authkey=_key()) as connection:
        return connection.recv()


def _key() -> bytes:
    """Return what only this process and those it started know."""
    return bytes(current_process().authkey)
