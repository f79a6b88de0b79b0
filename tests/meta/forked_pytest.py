"""A process that has the heavy libraries loaded, and forks a run of pytest on a changed package for each request.

Importing the libraries takes longer than most of the tests that are to notice a defect. Requests and answers are lines
of JSON on standard input and output.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARIES = ("numpy", "torch", "scipy.stats", "sklearn.ensemble", "sklearn.metrics", "hypothesis.extra.numpy")
"""polars is left out, because its threads do not survive a fork."""


def run(request: dict[str, Any]) -> int:
    """Run tests in this process, a fresh child; return the exit code of pytest."""
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.path.insert(0, request["package"])
    os.environ["PYTHONPATH"] = request["package"]
    os.chdir(REPOSITORY)
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    return int(pytest.main([*options, *request["tests"]]))


def serve() -> None:
    """Answer requests until standard input ends."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = run(json.loads(line))
            except BaseException:  # nothing may get past the fork
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps({"code": os.waitstatus_to_exitcode(status)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
