"""CHARTEVENTS of the synthetic hospital: vital signs, their flaws, and rows that the study does not read."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from icudl.sources.synthetic import items
from icudl.sources.synthetic.course import Bools, Ints, Reals, stream
from icudl.sources.synthetic.patients import Block, Stays, severity_at
from icudl.sources.synthetic.rows import (
    Moments,
    Rows,
    cells,
    impossible,
    joined,
    minutes,
    noise_entries,
    organ_weights,
    respond,
    units_by_item,
)
from icudl.sources.synthetic.texts import Texts, value_texts

# The columns of what is charted at one moment, in the order of ``synthetic_flaws.CHANNELS``.
_CHANNELS: tuple[items.Response, ...] = (
    items.HEART_RATE,
    items.SYSTOLIC,
    items.DIASTOLIC,
    items.SYSTOLIC,
    items.DIASTOLIC,
    items.TEMPERATURE,
    items.TEMPERATURE,
    items.RESPIRATION,
    items.RESPIRATION,
    items.SATURATION,
)
"""What is charted at one moment: rate, arterial and cuff pressures, temperature twice, breaths twice, saturation."""

_CELSIUS, _FAHRENHEIT = np.array([676, 223762]), np.array([678, 223761])
"""Temperature items of CareVue and MetaVision."""

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

_HR, _ART_SYS, _ART_DIA, _CUFF_SYS, _CUFF_DIA, _TEMP, _TEMP_CALC, _RESP, _RESP_TOTAL, _SPO2 = range(10)
_CAREVUE_ITEMS = np.array([211, 51, 8368, 455, 8441, 676, 677, 618, 615, 646])
_METAVISION_ITEMS = np.array([220045, 220050, 220051, 220179, 220180, 223762, 0, 220210, 224690, 220277])


def chart_events(block: Block, seed: int, noise_rows: float, *, texts_only: bool) -> pl.DataFrame:
    """Return the rows of CHARTEVENTS of a block, without ROW_ID.

    Args:
        block: The people.
        seed: Seed of the hospital.
        noise_rows: Rows of items that the study does not read, for each row of one that it reads.
        texts_only: Show VALUENUM as text, the way a CSV file reads, instead of as floating point.
    """
    rng = stream(seed, block.number, "charting")
    stays = block.stays
    moments = _charting_moments(rng, stays)
    rows, channel = _vital_rows(rng, stays, moments, organ_weights(block, seed))
    rows, error, homeless = _spoil(rng, stays.metavision[moments.stay[rows.moment]], rows, channel)
    noise = _chart_noise(rng, stays, moments, round(noise_rows * len(rows.moment)))
    quiet = np.zeros(len(noise.moment), dtype=bool)
    order = np.argsort(np.concatenate([rows.moment, noise.moment]), kind="stable")
    error, homeless = np.concatenate([error, quiet])[order], np.concatenate([homeless, quiet])[order]
    merged = joined(rows, noise).select(order)
    return _chart_frame(rng, block, moments, merged, error, homeless, texts_only=texts_only)


def _charting_moments(rng: np.random.Generator, stays: Stays) -> Moments:
    """Chart about hourly, mostly on the hour, and more often the more severe the state."""
    lengths = np.where(stays.silent, 0, np.ceil(stays.hours)).astype(np.int64)
    stay, hour = cells(lengths)
    severity = severity_at(stays, stay, hour)
    regular = rng.random(len(stay)) < 0.94
    extra = rng.poisson(np.minimum(0.06 * np.exp(0.5 * severity), 1.2))
    cell = np.repeat(np.arange(len(stay)), regular + extra)
    first = np.append(True, cell[1:] != cell[:-1])[: len(cell)]
    start = minutes(stays.intime + np.timedelta64(59, "s"))
    to_hour = -start.astype(np.int64)[stay[cell]] % 60
    clock = first & (rng.random(len(cell)) < 0.75)
    minute = np.where(clock, to_hour, rng.integers(0, 60, len(cell)))
    time = start[stay[cell]] + (hour[cell] * 60 + minute).astype("timedelta64[m]")
    moments = Moments(stay[cell], time, severity[cell])
    moments = moments.select(time < stays.outtime[moments.stay])
    order = np.lexsort((moments.time, moments.stay))
    return moments.select(order)


def _vital_rows(rng: np.random.Generator, stays: Stays, moments: Moments, weights: Reals) -> tuple[Rows, Ints]:
    """Return the rows of the six vital signs and the channel of each."""
    metavision = stays.metavision[moments.stay]
    fahrenheit = (rng.random(len(stays)) < np.where(stays.metavision, 0.96, 0.55))[moments.stay]
    there = _charted(rng, stays.arterial_line[moments.stay], metavision)
    item = _channel_items(rng, stays, moments, fahrenheit)
    values = _channel_values(rng, moments, weights, fahrenheit)
    moment, channel = np.nonzero(there)
    value = _encode_vitals(values[moment, channel], channel, metavision[moment])
    return Rows(moment, item[moment, channel], value, value), channel


def _charted(rng: np.random.Generator, line: Bools, metavision: Bools) -> Bools:
    """Say which of the ten channels are charted at each moment: (E, 10)."""
    chance = rng.random((len(line), 10))
    there = chance < np.array([0.97, 0.95, 0.0, 0.0, 0.0, 0.27, 0.5, 0.95, 0.02, 0.95])
    there[:, _ART_SYS] &= line
    there[:, _CUFF_SYS] = chance[:, _CUFF_SYS] < np.where(line, 0.2, 0.94)
    there[:, _ART_DIA], there[:, _CUFF_DIA] = there[:, _ART_SYS], there[:, _CUFF_SYS]
    there[:, _TEMP_CALC] &= there[:, _TEMP] & ~metavision
    return np.asarray(there)


def _channel_items(rng: np.random.Generator, stays: Stays, moments: Moments, fahrenheit: Bools) -> Ints:
    """Return the item id of each channel at each moment: (E, 10)."""
    metavision = stays.metavision[moments.stay]
    item = np.where(metavision[:, None], _METAVISION_ITEMS, _CAREVUE_ITEMS)
    item[:, _TEMP] = np.where(fahrenheit, _FAHRENHEIT[metavision * 1], _CELSIUS[metavision * 1])
    item[:, _TEMP_CALC] = np.where(fahrenheit, 677, 679)
    second_line = ~metavision & (rng.random(len(stays)) < 0.03)[moments.stay]
    item[second_line, _ART_SYS], item[second_line, _ART_DIA] = 6701, 8555
    manual = ~metavision & (rng.random(len(moments)) < 0.02)
    item[manual, _CUFF_SYS], item[manual, _CUFF_DIA] = 442, 8440
    return item


def _channel_values(rng: np.random.Generator, moments: Moments, weights: Reals, fahrenheit: Bools) -> Reals:
    """Return the value of each channel at each moment, in its unit: (E, 10)."""
    heart, systolic, diastolic, celsius, breaths, saturation = (
        respond(rng, vital, weights, moments) for vital in items.VITALS
    )
    degrees = celsius * 1.8 + 32.0
    values = np.empty((len(moments), 10))
    values[:, _HR], values[:, _SPO2] = heart, saturation
    values[:, _RESP], values[:, _RESP_TOTAL] = breaths, breaths + 1.0
    values[:, _ART_SYS], values[:, _ART_DIA] = systolic + 3.0, diastolic - 1.0
    values[:, _CUFF_SYS] = systolic + rng.normal(0.0, 5.0, len(moments))
    values[:, _CUFF_DIA] = diastolic + rng.normal(0.0, 4.0, len(moments))
    values[:, _TEMP] = np.where(fahrenheit, degrees, celsius)
    values[:, _TEMP_CALC] = np.where(fahrenheit, celsius, degrees)
    return values


def _encode_vitals(value: Reals, channel: Ints, metavision: Bools) -> Ints:
    texts = Texts.encode(value, 0)
    warm = (channel == _TEMP) | (channel == _TEMP_CALC)
    modern, old = warm & metavision, warm & ~metavision
    texts[modern] = Texts.encode(value[modern], 1)
    texts[old] = Texts.encode(value[old], 1, single=True)
    return texts


def _spoil(rng: np.random.Generator, metavision: Bools, rows: Rows, channel: Ints) -> tuple[Rows, Bools, Bools]:
    """Spoil a few rows of the given channels; return them with the ERROR flag and whether ICUSTAY_ID is missing."""
    flaw = _flaws(rng, len(channel))
    error = flaw["erroneous"] & metavision
    wrong = _wrong_values(rng, rows, channel, flaw, error)
    misfiled = flaw["misfiled"] & (channel == _TEMP)
    item = np.where(misfiled, _CELSIUS[metavision * 1], rows.item)
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
    value[flaw["impossible"]] = impossible(rng, _CHANNELS, channel[flaw["impossible"]])
    value[error] = Texts.encode(rng.uniform(1.0, 400.0, int(error.sum())), 0)
    number = value.copy()
    words = np.array([table.index(text) for text in items.UNREADABLE])
    value[flaw["unreadable"]] = words[rng.integers(0, len(words), int(flaw["unreadable"].sum()))]
    value[flaw["empty"]] = table.null
    number[flaw["unreadable"] | flaw["empty"]] = table.null
    return dataclasses.replace(rows, value=value, number=number)


def _contradict(rows: Rows, second: Bools) -> Rows:
    lower = np.where(second & (rows.value > 40), -_DIFFERENCE, 0)
    return dataclasses.replace(rows, value=rows.value + lower, number=rows.number + lower)


def _chart_noise(rng: np.random.Generator, stays: Stays, moments: Moments, size: int) -> Rows:
    system = np.array([item.metavision for item in items.NOISE_ITEMS])
    ids = np.array([item.item for item in items.NOISE_ITEMS])
    carevue = int(np.sum(~system))
    if len(moments) == 0:
        size = 0
    share, rest = divmod(size, max(len(moments), 1))
    moment = np.repeat(np.arange(len(moments)), share + (rng.permutation(len(moments)) < rest))
    modern = stays.metavision[moments.stay[moment]]
    draw = rng.random(size)
    position = np.where(modern, carevue + draw * (len(ids) - carevue), draw * carevue).astype(np.int64)
    return noise_entries(rng, items.NOISE_ITEMS, moment, position, ids)


def _chart_frame(
    rng: np.random.Generator,
    block: Block,
    moments: Moments,
    rows: Rows,
    error: Bools,
    homeless: Bools,
    *,
    texts_only: bool,
) -> pl.DataFrame:
    table, stays, size = value_texts(), block.stays, len(rows.moment)
    stay = moments.stay[rows.moment]
    time = moments.time.astype("datetime64[us]")
    stored = time + rng.integers(2, 90, len(moments)).astype("timedelta64[m]")
    caregiver = (14000 + rng.integers(0, 7000, len(moments))).astype(np.int32)
    known = [(entry.item, entry.unit) for entry in items.CHART_ITEMS]
    ids, units = units_by_item(known + [(entry.item, entry.unit) for entry in items.NOISE_ITEMS])
    modern = pl.Series(stays.metavision[stay])
    frame = pl.DataFrame(
        {
            "SUBJECT_ID": block.patients.ids[stays.patient].astype(np.int32)[stay],
            "HADM_ID": stays.hadm_id.astype(np.int32)[stay],
            "ICUSTAY_ID": stays.icustay_id.astype(np.int32)[stay],
            "ITEMID": rows.item.astype(np.int32),
            "CHARTTIME": time[rows.moment],
            "STORETIME": stored[rows.moment],
            "CGID": caregiver[rows.moment],
            "VALUE": table.texts.gather(rows.value),
            "VALUENUM": (table.shown if texts_only else table.numbers).gather(rows.number),
            "VALUEUOM": units.gather(np.searchsorted(ids, rows.item)),
            "WARNING": (rng.random(size) < 0.01).astype(np.int32),
            "ERROR": error.astype(np.int32),
            "_homeless": homeless,
            "_modern": modern,
        }
    )
    flagged = pl.col("_modern")
    return frame.with_columns(
        ICUSTAY_ID=pl.when(~pl.col("_homeless")).then("ICUSTAY_ID"),
        WARNING=pl.when(flagged).then("WARNING"),
        ERROR=pl.when(flagged).then("ERROR"),
        RESULTSTATUS=pl.lit(None, dtype=pl.String),
        STOPPED=pl.when(~flagged).then(
            pl.when(pl.col("VALUE").is_null()).then(pl.lit("D/C'd")).otherwise(pl.lit("NotStopd"))
        ),
    ).drop("_homeless", "_modern")
