"""Runs the command ``icudl`` of the pages: a process that has imported everything forks a child for each call.

Importing takes most of the time of a small study, and the pages call the command eighty times. A call sends its words,
environment and folder over a socket, together with its standard streams, and is answered with its exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "processes"))

from small_python import command_line

from nursery import as_at_the_start, import_everything


def receive(call: socket.socket) -> list[str]:
    """Take over environment, folder and streams of a call; return its words."""
    size, streams, _, _ = socket.recv_fds(call, 8, 3)
    request = b""
    while len(request) < int.from_bytes(size):
        request += call.recv(1 << 20)
    told = json.loads(request)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # Made anew: those of the server know whether a seek is possible in its own streams.
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["folder"])
    as_at_the_start()
    words: list[str] = told["words"]
    return words


def answer(call: socket.socket) -> None:
    """Run one call in this process, a fresh child; never return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 70
    try:
        code = command_line(receive(call))
    except BaseException:  # nothing may get past the fork
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # the reader of a pipe may be gone
            stream.flush()
    call.sendall(str(code).encode())
    os._exit(0)


def serve(address: str) -> None:
    """Answer calls until this process is ended."""
    with Path(os.devnull).open("w", encoding="utf-8") as nothing, contextlib.redirect_stderr(nothing):
        import_everything()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        os.write(1, b"ready\n")  # the text streams are left as the calls find them
        while True:
            call, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                answer(call)
            call.close()


if __name__ == "__main__":
    serve(sys.argv[1])
