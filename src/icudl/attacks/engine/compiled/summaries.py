"""Hidden layers of networks on window summaries for variants of known stays: the functions of ``summaries.c``.

T hours, N variants of B known stays, K features that move, U columns in use of which the first U' move, R units.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from icudl.compiled import address, compiled_library
from icudl.models.encoding import LEAST_VARIANCE, NARROWEST, SCALE, SCORE_LIMIT, SCORE_SCALE, SUMMARIES, SummaryEncoding

_SOURCE = Path(__file__).with_name("summaries.c")
_FLAGS = ("-O3", "-lm")
_Number = ctypes.c_int64
_Array = ctypes.c_void_p


class _Encoding(ctypes.Structure):
    """``Encoding`` of ``summaries.c``."""

    _fields_ = (
        *((name, _Number) for name in ("hours", "moving", "columns", "moving_columns", "units")),
        *((name, _Array) for name in ("column_of", "low", "width", "centre", "spread", "used", "hidden", "around")),
        *((name, ctypes.c_float) for name in ("scale", "score_scale", "score_limit", "least_variance")),
    )


class _Known(ctypes.Structure):
    """``KnownSummaries`` of ``summaries.c``."""

    _fields_ = tuple(
        (name, _Array)
        for name in ("moving", "counted", "late", "late_square", "ends", "count", "summaries", "hidden", "around")
    )


@functools.cache
def _library() -> ctypes.CDLL | None:
    library = compiled_library(_SOURCE, _FLAGS, for_this_processor=True)
    if library is None:
        return None
    library.hidden_of_variants.restype = _Number
    library.hidden_of_variants.argtypes = [
        *(ctypes.POINTER(_Encoding), ctypes.POINTER(_Known), _Number, _Array, _Array, _Array, _Array)
    ]
    return library


class CompiledSummaries:
    """See the module.

    Args:
        encoding: Of the networks.
        active: (U,) columns in use, rising.
        hidden: (48 U, R) weights from the encoded summaries to the hidden layers.
        around: (48 U,) weights around them.
    """

    def __init__(self, encoding: SummaryEncoding, active: Tensor, hidden: Tensor, around: Tensor) -> None:
        self.active, self.hidden, self.around = active.contiguous(), hidden.contiguous(), around.contiguous()
        n_features = len(encoding.charted_by)
        knots, self.centre, self.spread, self.used = (
            each.view(-1, len(SUMMARIES), n_features).index_select(2, active).contiguous()
            for each in (encoding.knots, encoding.centre, encoding.spread, encoding.used)
        )
        self.low = knots[:-1].contiguous()
        self.width = torch.maximum(knots[1:] - knots[:-1], NARROWEST * self.spread).contiguous()

    @property
    def can_be_used(self) -> bool:
        """Whether there is a compiler, and the networks are of float32 on a CPU."""
        own = self.hidden
        return (own.device.type, own.dtype) == ("cpu", torch.float32) and _library() is not None

    def hidden_of(self, features: Tensor, known: Mapping[str, Tensor], stays: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (N, R) hidden layers before their activation, and the (N,) sums around them.

        Args:
            features: (N, T, K) those that move.
            known: What the fields of ``KnownSummaries`` are called.
            stays: (N,) positions of the known stays.
        """
        library = _library()
        assert library is not None  # noqa: S101 - callers ask first
        n_stays, n_hours, n_moving = features.shape
        features, stays = features.contiguous(), stays.contiguous()
        encoding = _Encoding(
            hours=n_hours,
            moving=n_moving,
            columns=len(self.active),
            moving_columns=int((self.active < n_moving).sum()),
            units=self.hidden.shape[1],
            column_of=address(self.active),
            low=address(self.low),
            width=address(self.width),
            centre=address(self.centre),
            spread=address(self.spread),
            used=address(self.used),
            hidden=address(self.hidden),
            around=address(self.around),
            scale=SCALE,
            score_scale=SCORE_SCALE * SCALE,
            score_limit=SCORE_LIMIT,
            least_variance=LEAST_VARIANCE,
        )
        hidden, around = features.new_empty(n_stays, self.hidden.shape[1]), features.new_empty(n_stays)
        failed = library.hidden_of_variants(
            encoding,
            _Known(**{name: address(array) for name, array in known.items()}),
            n_stays,
            address(features),
            address(stays),
            address(hidden),
            address(around),
        )
        if failed:
            raise MemoryError
        return hidden, around
