"""The mistakes that people make when they enter a value: what is read in its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from icudl.variables import Variable

Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ONE_DECIMAL = (
    *("potassium", "lactate", "albumin", "creatinine", "magnesium", "tempc"),
    *("potassium_serum", "calcium_total", "hematocrit", "wbc", "bilirubin", "inr"),
)
TWO_DECIMALS = ("ph", "calcium", "troponin_i", "troponin_t", "fio2")
DECIMALS = {**dict.fromkeys(ONE_DECIMAL, 1), **dict.fromkeys(TWO_DECIMALS, 2)}
"""Decimals with which a variable is usually charted; 0 for the others."""

UNIT_FACTORS: dict[str, tuple[float, ...]] = {
    "glucose": (18.016,),  # mg/dL per mmol/L
    "creatinine": (1 / 88.42,),  # mg/dL per umol/L
    "bun": (2.801,),  # mg/dL urea nitrogen per mmol/L urea
    "calcium": (1 / 4.008,),  # mmol/L per mg/dL
    "calcium_total": (4.008,),
    "magnesium": (2.4305,),  # mg/dL per mmol/L
    "lactate": (1 / 9.008,),  # mmol/L per mg/dL
    "albumin": (0.1,),  # g/dL per g/L
    "bilirubin": (1 / 17.10,),  # mg/dL per umol/L
    "cholesterol": (38.67,),  # mg/dL per mmol/L
    "pco2": (7.5006,),  # mmHg per kPa
    "po2": (7.5006,),
    "fio2": (0.01,),  # fraction per percent
    "weight": (0.45359,),  # kg per pound
}
"""Canonical units per unit of another system in use, from molar masses and SI conversions (Young, Ann Intern Med 1987;
106:114). A value charted in the other unit reads value / factor; one taken for the other unit reads value x factor."""

NEIGHBOURS = (
    ("sysbp", "diasbp"),
    ("heartrate", "resprate"),
    ("heartrate", "spo2"),
    ("pco2", "po2"),
    ("bun", "creatinine"),
    ("sodium", "potassium"),
    ("calcium", "magnesium"),
    ("alt", "ast"),
)
"""Fields that stand side by side on charts, so that their values can change places."""

KINDS = ("transposition", "decimal", "unit", "neighbour", "sign", "copy_forward")
"""Kinds of errors."""


@dataclasses.dataclass(frozen=True, eq=False)
class Charting:
    """How variables are charted, one entry of each array for each variable.

    Attributes:
        decimals: Digits after the point.
        factor: Canonical units per unit of another system; NaN where none is in use.
        celsius: Temperatures.
        low: Smallest plausible value.
        high: Largest plausible value.
    """

    decimals: npt.NDArray[np.int64]
    factor: Float64s
    celsius: Bools
    low: Float64s
    high: Float64s

    @classmethod
    def of(cls, variables: Sequence[Variable]) -> Self:
        """Return how these variables are charted."""
        return cls(
            decimals=np.array([DECIMALS.get(variable.name, 0) for variable in variables], np.int64),
            factor=np.array([UNIT_FACTORS.get(variable.name, (np.nan,))[0] for variable in variables]),
            celsius=np.array([variable.unit == "°C" for variable in variables], bool),
            low=np.array([variable.low for variable in variables], np.float64),
            high=np.array([variable.high for variable in variables], np.float64),
        )

    def at(self, variables: npt.NDArray[np.integer]) -> Self:
        """Return the entries of the variables with these indices, one for each value."""
        fields = {field.name: getattr(self, field.name)[variables] for field in dataclasses.fields(self)}
        return type(self)(**fields)

    def plausible(self, values: Float64s) -> Bools:
        """Tell which of (..., F) values lie in the plausible range; NaN does not."""
        return (values >= self.low) & (values <= self.high)


def wrong_values(values: Float64s, charting: Charting) -> Iterator[tuple[int, Float64s]]:
    """Yield what one value may be read as, by itself: kinds (index into ``KINDS``) and values.

    Args:
        values: (..., F) as charted, NaN where nothing was.
        charting: Of F variables.

    Yields:
        A kind and (..., F) wrong values, NaN where the mistake does not apply.
    """
    for place in range(4):
        yield KINDS.index("transposition"), transpose_digits(values, charting.decimals, place)
    for factor in (0.1, 10.0):
        yield KINDS.index("decimal"), values * factor
    yield KINDS.index("unit"), values * charting.factor
    yield KINDS.index("unit"), values / charting.factor
    yield KINDS.index("unit"), np.where(charting.celsius, values * 9 / 5 + 32, np.nan)
    yield KINDS.index("unit"), np.where(charting.celsius, (values - 32) * 5 / 9, np.nan)
    yield KINDS.index("sign"), np.where(charting.low < 0, -values, np.nan)


def transpose_digits(values: Float64s, decimals: npt.NDArray[np.int64], place: int) -> Float64s:
    """Return values with the digits at ``place`` and ``place + 1`` (from the right, as charted) changed over.

    Args:
        values: (..., F) as charted, NaN where nothing was.
        decimals: (F,) digits after the point.
        place: 0 for the last two digits.

    Returns:
        (..., F), NaN where the number has no such digits, or where both are the same.
    """
    scale = 10.0**decimals
    number = np.rint(np.nan_to_num(np.abs(values)) * scale).astype(np.int64)
    right, left = number // 10**place % 10, number // 10 ** (place + 1) % 10
    moved = number + (right - left) * (10 ** (place + 1) - 10**place)
    applies = np.isfinite(values) & (number >= 10 ** (place + 1)) & (right != left)
    return np.where(applies, np.sign(values) * moved / scale, np.nan)
