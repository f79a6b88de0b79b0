"""What is wrong with rows of CHARTEVENTS in the synthetic hospital: a few in a hundred, as in real charts."""

from __future__ import annotations

import dataclasses

import numpy as np

from icudl.sources.synthetic.course import Bools, Ints
from icudl.sources.synthetic.items import (
    DIASTOLIC,
    HEART_RATE,
    RESPIRATION,
    SATURATION,
    SYSTOLIC,
    TEMPERATURE,
    UNREADABLE,
    Response,
)
from icudl.sources.synthetic.rows import Rows, impossible
from icudl.sources.synthetic.texts import Texts, value_texts

CHANNELS: tuple[Response, ...] = (
    HEART_RATE,
    SYSTOLIC,
    DIASTOLIC,
    SYSTOLIC,
    DIASTOLIC,
    TEMPERATURE,
    TEMPERATURE,
    RESPIRATION,
    RESPIRATION,
    SATURATION,
)
"""What is charted at one moment: rate, arterial and cuff pressures, temperature twice, breaths twice, saturation."""

CELSIUS, FAHRENHEIT = np.array([676, 223762]), np.array([678, 223761])
"""Temperature items of CareVue and MetaVision."""

_TEMPERATURE_CHANNEL = 5
_SHARES = {
    "impossible": 0.0025,  # a number that no patient has
    "unreadable": 0.0020,  # a text in VALUE, nothing in VALUENUM
    "empty": 0.0015,  # nothing in either
    "erroneous": 0.0040,  # any number, with ERROR = 1 (MetaVision)
    "repeated": 0.0050,  # the same row once more
    "contradicted": 0.0015,  # the same time and item once more, with another value
    "homeless": 0.0015,  # no ICUSTAY_ID
    "misfiled": 0.0200,  # of Fahrenheit temperatures: filed under the Celsius item
}
_DIFFERENCE = 7  # steps of the last digit between two entries that contradict each other


def spoil(rng: np.random.Generator, metavision: Bools, rows: Rows, channel: Ints) -> tuple[Rows, Bools, Bools]:
    """Spoil a few rows of the given channels; return them with the ERROR flag and whether ICUSTAY_ID is missing."""
    flaw = _flaws(rng, len(channel))
    error = flaw["erroneous"] & metavision
    wrong = _wrong_values(rng, rows, channel, flaw, error)
    misfiled = flaw["misfiled"] & (channel == _TEMPERATURE_CHANNEL)
    item = np.where(misfiled, CELSIUS[metavision * 1], rows.item)
    twice = np.flatnonzero(flaw["repeated"] | flaw["contradicted"])
    again = np.sort(np.concatenate([np.arange(len(channel)), twice]))
    second = np.append(False, again[1:] == again[:-1])
    written = dataclasses.replace(wrong, item=item).select(again)
    return _contradict(written, second & flaw["contradicted"][again]), error[again], flaw["homeless"][again]


def _flaws(rng: np.random.Generator, rows: int) -> dict[str, Bools]:
    """Give each row one flaw at most."""
    luck = rng.random(rows)
    bounds = np.cumsum([0.0, *_SHARES.values()])
    return {name: (luck >= bounds[k]) & (luck < bounds[k + 1]) for k, name in enumerate(_SHARES)}


def _wrong_values(rng: np.random.Generator, rows: Rows, channel: Ints, flaw: dict[str, Bools], error: Bools) -> Rows:
    table = value_texts()
    value = rows.value.copy()
    value[flaw["impossible"]] = impossible(rng, CHANNELS, channel[flaw["impossible"]])
    value[error] = Texts.encode(rng.uniform(1.0, 400.0, int(error.sum())), 0)
    number = value.copy()
    words = np.array([table.index(text) for text in UNREADABLE])
    value[flaw["unreadable"]] = words[rng.integers(0, len(words), int(flaw["unreadable"].sum()))]
    value[flaw["empty"]] = table.null
    number[flaw["unreadable"] | flaw["empty"]] = table.null
    return dataclasses.replace(rows, value=value, number=number)


def _contradict(rows: Rows, second: Bools) -> Rows:
    lower = np.where(second & (rows.value > 40), -_DIFFERENCE, 0)
    return dataclasses.replace(rows, value=rows.value + lower, number=rows.number + lower)
