"""Whole rows and those of wanted items, found by a compiled loop: ``lines.c``, compiled where it is first needed.

The loop takes a sixth of numpy's time. It is compiled with the compiler of the machine and kept in the user's cache.
Where there is no compiler, or the cache cannot be written, numpy does the same.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from icudl.files import write_atomically
from icudl.sources.reading.scanning.wanted import SHIFT, Look, Wanted

_SOURCE = Path(__file__).with_name("lines.c")
_COMPILERS = ("cc", "gcc", "clang")
# No instructions beyond those that every processor of the kind has: a cache may be shared by many machines.
_FLAGS = ("-O2", "-shared", "-fPIC")
_MOST_SECONDS = 60


def compiled_look(*flags: str) -> Look | None:
    """Return the compiled loop; None where it cannot be had.

    The environment variable ``CC`` names the compiler; a name that is none (``CC=none``) leaves the loop out.

    Args:
        flags: Further flags of the compiler.
    """
    library = _library(shlex.split(os.environ.get("CC", "")), flags)
    return None if library is None else functools.partial(_look, library.look_at_lines, _Room())


class _Room:
    """Where lines are copied to; it grows to the largest part."""

    def __init__(self) -> None:
        self.lines = np.empty(0, np.uint8)
        self.filled = ctypes.c_int64()

    def at_least(self, size: int) -> None:
        if len(self.lines) < size:
            self.lines = np.empty(size, np.uint8)


def _look(
    look_at_lines: ctypes._NamedFuncPointer, room: _Room, part: bytes, n_fields: int, wanted: Wanted | None
) -> tuple[int, bytes] | None:
    room.at_least(0 if wanted is None else len(part))
    column, items, factor = (-1, None, 0) if wanted is None else (wanted.column, wanted.items, int(wanted.factor))
    rows = look_at_lines(
        part,
        len(part),
        n_fields,
        column,
        None if items is None else items.ctypes.data,
        factor,
        SHIFT,
        room.lines.ctypes.data,
        ctypes.byref(room.filled),
    )
    return None if rows < 0 else (rows, room.lines[: room.filled.value].tobytes())


def _library(named: list[str], flags: tuple[str, ...]) -> ctypes.CDLL | None:
    if sys.byteorder != "little":
        return None
    command = named or [name for name in _COMPILERS if shutil.which(name)][:1]
    if not command or shutil.which(command[0]) is None:
        return None
    source = _SOURCE.read_bytes()
    parts = (source.decode(), *command, *_FLAGS, *flags, platform.system(), platform.machine())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    path = _cache() / f"lines-{key}.so"
    try:
        if not path.exists():
            write_atomically(path, lambda target: _compile([*command, *_FLAGS, *flags], target))
        library = ctypes.CDLL(str(path))
        library.look_at_lines.restype = ctypes.c_int64
        library.look_at_lines.argtypes = [
            *(ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_uint64),
            *(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64)),
        ]
    except (OSError, subprocess.SubprocessError, AttributeError):
        return None
    return library


def _compile(command: list[str], target: Path) -> None:
    subprocess.run([*command, "-o", str(target), str(_SOURCE)], check=True, capture_output=True, timeout=_MOST_SECONDS)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "icudl" / "compiled"
