"""The functions of ``relaxations.c`` and the structures that they take."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import torch
from torch import Tensor

from icudl.compiled import address, compiled_library

_SOURCE = Path(__file__).with_name("relaxations.c")
_FLAGS = ("-O3", "-lm")
_Number = ctypes.c_int64
_Array = ctypes.c_void_p


class HourOfLstm(ctypes.Structure):
    """``LstmHour`` of ``relaxations.c``."""

    _fields_ = (
        *((name, _Number) for name in ("units", "columns", "apart")),
        *((name, _Array) for name in ("gates", "steep", "factor", "before", "curbed", "curve")),
    )


class PassesOfLstm(ctypes.Structure):
    """``LstmPasses`` of ``relaxations.c``."""

    _fields_ = (
        ("passes", _Number),
        *((name, _Array) for name in ("middle", "moves", "own", "added", "spread", "seen")),
        ("seen_row", _Number),
        *((name, _Array) for name in ("state", "state_moves", "beyond", "errors")),
        ("errors_row", _Number),
    )


@functools.cache
def relaxations() -> ctypes.CDLL | None:
    """Return the functions, or None where there is no compiler."""
    library = compiled_library(_SOURCE, _FLAGS, for_this_processor=True)
    if library is None:
        return None
    library.relax.restype = library.lstm_hour.restype = library.lstm_carry.restype = None
    library.relax.argtypes = [_Number, _Number, *[_Array] * 5]
    library.lstm_carry.argtypes = [_Number, _Number, *[_Array] * 7, *[_Number] * 4]
    library.lstm_carry_noise.restype = None
    library.lstm_carry_noise.argtypes = [_Number, _Number, *[_Array] * 8, *[_Number] * 3]
    library.merge.restype = None
    library.merge.argtypes = [*[_Number] * 3, *[_Array] * 7, *[_Number] * 2]
    library.lstm_hour.argtypes = [ctypes.POINTER(HourOfLstm), ctypes.POINTER(PassesOfLstm)]
    return library


def relaxed(lower: Tensor, upper: Tensor, *, curbed: bool) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return slope, offset and error of the lines of sigmoid, or of tanh; None where torch must find them."""
    library = relaxations()
    if library is None or lower.dtype != torch.float64 or lower.device.type != "cpu":
        return None
    lower, upper = lower.contiguous(), upper.contiguous()
    found = torch.empty_like(lower), torch.empty_like(lower), torch.empty_like(lower)
    library.relax(lower.numel(), int(curbed), address(lower), address(upper), *(address(array) for array in found))
    return found
