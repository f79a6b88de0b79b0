"""Loops in C, compiled where they are first needed with the compiler of the machine and kept in the user's cache.

A file of C that knows nothing of Python becomes a library that ``ctypes`` calls. Callers do the same without it where
there is no compiler or the cache cannot be written.
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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from icudl.files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

_COMPILERS = ("cc", "gcc", "clang")
_SHARED = ("-shared", "-fPIC")
_NATIVE = "-march=native"
_MOST_SECONDS = 900
"""A compiler takes some seconds. On a busy machine it must not be given up: results would differ in their last bits
between the processes that have the library and those that do not."""


def compiled_library(source: Path, flags: Sequence[str], *, for_this_processor: bool = False) -> ctypes.CDLL | None:
    """Return the library that a C file makes; None where it cannot be had.

    The environment variable ``CC`` names the compiler; a name that is none (``CC=none``) leaves the library out.

    Args:
        source: The file.
        flags: Of the compiler, such as ``-O2``.
        for_this_processor: Whether to use all instructions of this processor. Other processors that share the cache
            get libraries of their own.
    """
    named = shlex.split(os.environ.get("CC", ""))
    command = named or [name for name in _COMPILERS if shutil.which(name)][:1]
    if sys.byteorder != "little" or not command or shutil.which(command[0]) is None:
        return None
    command = [*command, *_SHARED, *flags, *([_NATIVE] if for_this_processor else ())]
    try:
        processor = _processor(tuple(command)) if for_this_processor else ""
        parts = (source.read_text(), *command, processor, platform.system(), platform.machine())
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
        path = _cache() / f"{source.stem}-{key}.so"
        if not path.exists():
            write_atomically(path, lambda target: _compile([*command, "-o", str(target), str(source)]))
        return ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError):
        return None


def address(array: Tensor | None) -> int | None:
    """Return where an array begins; it must be contiguous, and be kept alive as long as it is used."""
    if array is None:
        return None
    assert array.is_contiguous()  # noqa: S101 - callers make it so
    return array.data_ptr()


@functools.cache
def _processor(command: tuple[str, ...]) -> str:
    """Return what the compiler says of the processor that it compiles for: its predefined macros."""
    return _compile([*command, "-dM", "-E", "-x", "c", os.devnull])


def _compile(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, timeout=_MOST_SECONDS, text=True).stdout


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "icudl" / "compiled"
