"""The functions of ``passes.c`` and the structures that they take."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

from icudl.compiled import compiled_library

_SOURCE = Path(__file__).with_name("passes.c")
_FLAGS = ("-O3",)
_Number = ctypes.c_int64
_Array = ctypes.c_void_p


class Networks(ctypes.Structure):
    """``Networks`` of ``passes.c``."""

    _fields_ = (
        *((name, _Number) for name in ("networks", "directions", "hours", "size", "look_size")),
        *((name, _Number) for name in ("moving", "moving_size", "readout", "single", "cell")),
        *((name, _Array) for name in ("by_state", "by_input", "look", "look_bias", "look_out")),
        *((name, _Array) for name in ("back_state", "back_input", "look_back")),
    )


class KnownStays(ctypes.Structure):
    """``Known`` of ``passes.c``."""

    _fields_ = (
        ("stays", _Number),
        ("moving", _Array),
        ("drive", _Array),
        ("anchors", _Number),
        *((name, _Array) for name in ("anchor_moving", "states", "cells", "looks")),
    )


class Course(ctypes.Structure):
    """``Course`` of ``passes.c``."""

    _fields_ = tuple(
        (name, _Array) for name in ("states", "cells", "looks", "gates", "looked", "weights", "begins", "starts")
    )


@functools.cache
def passes() -> ctypes.CDLL | None:
    """Return the functions, or None where there is no compiler."""
    library = compiled_library(_SOURCE, _FLAGS, for_this_processor=True)
    if library is None:
        return None
    structures = {name: ctypes.POINTER(kind) for name, kind in (("n", Networks), ("k", KnownStays), ("c", Course))}
    library.lanes.restype = library.read_stays.restype = library.back_stays.restype = _Number
    library.to_panels.restype = None
    library.to_panels.argtypes = [_Number, _Number, _Array, _Array]
    library.read_stays.argtypes = [
        *(structures["n"], structures["k"], _Number, _Array, _Array, _Array, _Array, _Array),
        *(_Number, _Number, structures["c"], _Array),
    ]
    library.back_stays.argtypes = [
        *(structures["n"], structures["k"], _Number, _Array, _Array, structures["c"], _Array, _Array)
    ]
    return library
