"""A process that has imported everything and forks one child for each run of the command line.

Importing torch takes seconds, a run of the study less; so hundreds of runs can be killed in the time of a few starts.
The process itself computes nothing: its children find the native libraries as they were after import. Requests and
answers are lines of JSON on standard input and output.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pkgutil
import sys
import traceback
from pathlib import Path
from typing import Any

from fault import Fault, arm

LIBRARIES = ("optuna.samplers", "optuna.pruners", "sklearn.ensemble", "sklearn.linear_model", "rich")


def import_everything() -> None:
    """Import the package whole, and what its stages import on their way."""
    import icudl

    for module in pkgutil.walk_packages(icudl.__path__, "icudl."):
        importlib.import_module(module.name)
    for name in LIBRARIES:
        importlib.import_module(name)


def as_at_the_start() -> None:
    """Do what Python does with the environment as it starts: the encoding of the streams, folders to import from."""
    for stream, errors in ((sys.stdout, "strict"), (sys.stderr, "backslashreplace")):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(encoding=os.environ.get("PYTHONIOENCODING", "utf-8"), errors=errors)
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [folder for folder in folders if folder and folder not in sys.path]


def run(request: dict[str, Any]) -> int:
    """Run one command in this process, a fresh child; never return."""
    os.setsid()
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    as_at_the_start()
    sys.argv = ["icudl", *request["words"]]
    code = 70
    try:
        from icudl.cli import main

        fault = Fault(**request["fault"])
        operations = arm(fault)
        code = main()
        for further in request["then"]:
            sys.argv = ["icudl", *further]
            code = code or main()
        if fault.power_loss_in:
            operations.lose_power()
        if fault.operations_to:
            Path(fault.operations_to).write_text(str(operations.count), "ascii")
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    """Answer requests until standard input ends."""
    with Path(os.devnull).open("w", encoding="utf-8") as nothing, contextlib.redirect_stderr(nothing):
        import_everything()  # what libraries warn of while they are imported is no matter of the runs
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status, usage = os.wait4(request["wait"], 0)
            answer = {"code": os.waitstatus_to_exitcode(status), "cpu_seconds": usage.ru_utime + usage.ru_stime}
        else:
            child = os.fork()
            if child == 0:
                run(request)
            answer = {"pid": child}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
