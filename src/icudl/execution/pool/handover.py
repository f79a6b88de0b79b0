"""Handing large values to the workers of a pool.

``multiprocessing`` sends the arguments of a process that it spawns through a pipe, and the parent holds both ends open.
If the child dies before it has read them, and they exceed the pipe's buffer (64 KB on Linux), the parent waits forever.
A socket for each worker tells the parent of the death.
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
"""Where a value is offered: a path or a pair of host and port, whichever the operating system uses."""


@contextlib.contextmanager
def offered(value: object) -> Iterator[Address]:
    """Offer a value, while the ``with`` block lasts, to every process that calls ``take`` with the address.

    Raises:
        Exception: The value cannot be sent to another process.
    """
    packed = bytes(ForkingPickler.dumps(value))
    with contextlib.ExitStack() as taken, Listener(backlog=128, authkey=_key()) as listener:

        def serve() -> None:
            while True:
                # The pool reports a worker that dies while it asks. A process that does not know the key gets nothing.
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
    """Return the value that the process which started this one offers at ``address``.

    Args:
        address: From ``offered``.
        forget: Called, in a thread, when the offer ends.
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
    """Return the secret that only this process and the processes it started know."""
    return bytes(current_process().authkey)
