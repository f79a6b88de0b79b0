"""A process of the command line ends at once, and loses nothing by it."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = """
import atexit, sys, threading, time
import icudl.cli
def late():
    time.sleep(0.2)
    print("thread", flush=True)
def run(arguments=None):
    atexit.register(print, "registered")
    threading.Thread(target=late).start()
    print("said")
    {end}
icudl.cli.main = run
class Freed:
    def __del__(self):
        print("taken apart")
kept = sys.modules["kept"] = Freed()
sys.exit(icudl.cli.command())
"""


@pytest.mark.parametrize(
    ("end", "code", "lines"),
    [
        ("return 3", 3, ["said", "thread", "registered"]),
        ("raise ValueError('unforeseen')", 1, ["said", "thread", "registered", "taken apart"]),
    ],
)
def test_what_was_printed_started_and_registered_is_finished(end: str, code: int, lines: list[str]) -> None:
    ended = subprocess.run([sys.executable, "-c", START.format(end=end)], capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert ended.stdout.splitlines() == lines
    assert ("unforeseen" in ended.stderr) == (code == 1)
