"""Every text that the VALUE columns of the synthetic hospital can hold, by number.

Writing 330 million rows is then a gather, not as many number formattings.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.sources.synthetic.items import LABS, NOISE_ITEMS, NOISE_LABS, SPECIMEN_KINDS, UNREADABLE, VITALS

Ints = npt.NDArray[np.int64]

_WHOLE, _TENTHS, _HUNDREDTHS, _SINGLES = 4096, 16384, 8192, 2048


class Texts:
    """The table of texts, with the number that each of them reads; rows refer to it by index.

    Attributes:
        null: Index of "nothing".
        texts: What VALUE reads.
        numbers: What VALUENUM is.
        shown: What the VALUENUM column of a CSV file reads: the text where it is a number, else nothing.
        is_text: Whether VALUENUM is empty.
    """

    def __init__(self) -> None:
        singles = [repr(float(np.float32(k / 10))) for k in range(_SINGLES)]
        texts = [str(k) for k in range(_WHOLE)]
        texts += [_decimal(k, 1) for k in range(_TENTHS)]
        texts += [_decimal(k, 2) for k in range(_HUNDREDTHS)]
        texts += singles
        self._extra: dict[str, int] = {}
        for text in _extra_texts():
            if text not in self._extra:
                self._extra[text] = len(texts)
                texts.append(text)
        numbers = [_number(text) for text in texts]
        self.null = len(texts)
        self.texts = pl.Series([*texts, None], dtype=pl.String)
        self.numbers = pl.Series([*numbers, None], dtype=pl.Float64)
        shown = [text if number is not None else None for text, number in zip(texts, numbers, strict=True)]
        self.shown = pl.Series([*shown, None], dtype=pl.String)
        self.is_text = np.array([*(number is None for number in numbers), True])

    def index(self, text: str) -> int:
        """Return the index of an extra text."""
        return self._extra[text]

    @staticmethod
    def encode(values: npt.NDArray[np.float64], decimals: int, *, single: bool = False) -> Ints:
        """Return the indices of values rounded to ``decimals``; ``single`` shows tenths as CareVue's float32 did."""
        start = (0, _WHOLE, _WHOLE + _TENTHS)[decimals]
        size = (_WHOLE, _TENTHS, _HUNDREDTHS)[decimals]
        if single:
            start, size = _WHOLE + _TENTHS + _HUNDREDTHS, _SINGLES
        scaled = np.rint(values * 10**decimals).astype(np.int64)
        return np.asarray(start + np.clip(scaled, 0, size - 1))


def _decimal(mantissa: int, decimals: int) -> str:
    whole, rest = divmod(mantissa, 10**decimals)
    return f"{whole}.{rest:0{decimals}d}".rstrip("0").rstrip(".")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _extra_texts() -> list[str]:
    texts = [text for response in (*VITALS, *(lab.response for lab in LABS)) for text in response.impossible]
    texts += [text for noise in NOISE_ITEMS + NOISE_LABS for text in noise.texts]
    return [*texts, *UNREADABLE, *SPECIMEN_KINDS]


@cache
def value_texts() -> Texts:
    """Return the table of texts, made once a process."""
    return Texts()
