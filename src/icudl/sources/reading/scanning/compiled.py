"""Whole rows and those of wanted items, found by a compiled loop: ``lines.c``, compiled where it is first needed.

The loop takes a sixth of numpy's time. Where it cannot be compiled (``icudl.compiled``), numpy does the same.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import numpy as np

from icudl.compiled import compiled_library
from icudl.sources.reading.scanning.wanted import SHIFT, Look, Wanted

_SOURCE = Path(__file__).with_name("lines.c")
# The instructions that every processor of the kind has are as fast here, and one file serves all that share the cache.
_FLAGS = ("-O2",)


def compiled_look(*flags: str) -> Look | None:
    """Return the compiled loop; None where it cannot be had.

    Args:
        flags: Further flags of the compiler.
    """
    library = compiled_library(_SOURCE, (*_FLAGS, *flags))
    if library is None:
        return None
    library.look_at_lines.restype = ctypes.c_int64
    library.look_at_lines.argtypes = [
        *(ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_uint64),
        *(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64)),
    ]
    return functools.partial(_look, library.look_at_lines, _Room())


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
