"""What is measured in the synthetic hospital: rows of CHARTEVENTS and LABEVENTS, with the flaws of real ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from icudl.sources import synthetic_items as items
from icudl.sources.synthetic_items import Lab, NoiseItem, Response, Texts
from icudl.sources.synthetic_patients import Block, Bools, Ints, Reals, Stays, Times, severity_at, stream

# Shares of charted rows with each flaw; cumulative, so that one random number decides (see ``_chart_flaws``).
IMPOSSIBLE, UNREADABLE, EMPTY, ERRONEOUS, REPEATED, CONTRADICTED, HOMELESS, MISFILED = (
    0.0025, 0.0045, 0.0060, 0.0100, 0.0150, 0.0165, 0.0180, 0.0380,
)  # fmt: skip
_NOISE_POOL = 128
_HR, _ART_SYS, _ART_DIA, _CUFF_SYS, _CUFF_DIA, _TEMP, _TEMP_CALC, _RESP, _RESP_TOTAL, _SPO2 = range(10)
_CHANNELS: tuple[Response, ...] = (
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
_VITALS = (items.HEART_RATE, items.SYSTOLIC, items.DIASTOLIC, items.TEMPERATURE, items.RESPIRATION, items.SATURATION)
_CAREVUE_ITEMS = np.array([211, 51, 8368, 455, 8441, 676, 677, 618, 615, 646])
_METAVISION_ITEMS = np.array([220045, 220050, 220051, 220179, 220180, 223762, 0, 220210, 224690, 220277])
_CELSIUS = np.array([676, 223762])
_FAHRENHEIT = np.array([678, 223761])


@dataclasses.dataclass(frozen=True, eq=False)
class _Moments:
    """Moments at which something is charted or drawn: (E,) arrays, ordered by stay and time."""

    stay: Ints
    time: Times
    severity: Reals

    def __len__(self) -> int:
        return len(self.stay)

    def select(self, kept: Bools | Ints) -> _Moments:
        return _Moments(self.stay[kept], self.time[kept], self.severity[kept])


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """Rows about to be written: (N,) arrays."""

    moment: Ints
    item: Ints
    value: Ints
    number: Ints

    def select(self, kept: Bools | Ints) -> _Rows:
        return _Rows(self.moment[kept], self.item[kept], self.value[kept], self.number[kept])


def chart_events(block: Block, seed: int, noise_rows: float, *, texts_only: bool) -> pl.DataFrame:
    """Return the rows of CHARTEVENTS of a block, without ROW_ID.

    Args:
        block: The people.
        seed: Of the hospital.
        noise_rows: Rows of items that the study does not read, for each row of one that it reads.
        texts_only: Show VALUENUM as text, the way a CSV file reads, instead of as floating point.
    """
    rng = stream(seed, block.number, "charting")
    stays = block.stays
    moments = _charting_moments(rng, stays)
    rows, channel = _vital_rows(rng, stays, moments)
    rows, error, homeless = _chart_flaws(rng, stays, moments, rows, channel)
    noise = _chart_noise(rng, stays, moments, round(noise_rows * len(rows.moment)))
    quiet = np.zeros(len(noise.moment), dtype=bool)
    order = np.argsort(np.concatenate([rows.moment, noise.moment]), kind="stable")
    error, homeless = np.concatenate([error, quiet])[order], np.concatenate([homeless, quiet])[order]
    merged = _joined(rows, noise).select(order)
    return _chart_frame(rng, block, moments, merged, error, homeless, texts_only=texts_only)


def _joined(*parts: _Rows) -> _Rows:
    return _Rows(
        np.concatenate([part.moment for part in parts]),
        np.concatenate([part.item for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.number for part in parts]),
    )


def _minutes(times: Times) -> Times:
    return times.astype("datetime64[m]")


def _cells(lengths: Ints) -> tuple[Ints, Ints]:
    """Return (row, position) of every cell of a ragged table with these row lengths."""
    row = np.repeat(np.arange(len(lengths)), lengths)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _charting_moments(rng: np.random.Generator, stays: Stays) -> _Moments:
    """Chart about hourly, mostly on the hour, and more often the more severe the state."""
    lengths = np.where(stays.silent, 0, np.ceil(stays.hours)).astype(np.int64)
    stay, hour = _cells(lengths)
    severity = severity_at(stays, stay, hour)
    regular = rng.random(len(stay)) < 0.94
    extra = rng.poisson(np.minimum(0.06 * np.exp(0.5 * severity), 1.2))
    cell = np.repeat(np.arange(len(stay)), regular + extra)
    first = np.append(True, cell[1:] != cell[:-1])[: len(cell)]
    start = _minutes(stays.intime + np.timedelta64(59, "s"))
    to_hour = -start.astype(np.int64)[stay[cell]] % 60
    clock = first & (rng.random(len(cell)) < 0.75)
    minute = np.where(clock, to_hour, rng.integers(0, 60, len(cell)))
    time = start[stay[cell]] + (hour[cell] * 60 + minute).astype("timedelta64[m]")
    moments = _Moments(stay[cell], time, severity[cell])
    moments = moments.select(time < stays.outtime[moments.stay])
    order = np.lexsort((moments.time, moments.stay))
    return moments.select(order)


def _weights(rng: np.random.Generator, stays: int) -> Reals:
    """How strongly each organ of each stay follows the severity: (S, 4), mean 1."""
    return rng.gamma(8.0, 0.125, (stays, 4))


def _respond(rng: np.random.Generator, response: Response, weights: Reals, stays: int, moments: _Moments) -> Reals:
    baseline = rng.normal(response.mean, response.spread, stays)
    pull = response.slope * weights[:, response.organ]
    value = baseline[moments.stay] + pull[moments.stay] * moments.severity
    value += rng.normal(0.0, response.noise, len(moments))
    if response.logarithmic:
        np.exp(value, out=value)
    return np.clip(value, response.low, response.high)


def _vital_rows(rng: np.random.Generator, stays: Stays, moments: _Moments) -> tuple[_Rows, Ints]:
    count, events = len(stays), len(moments)
    weights = _weights(rng, count)
    values = {vital.name: _respond(rng, vital, weights, count, moments) for vital in _VITALS}
    metavision = stays.metavision[moments.stay]
    fahrenheit = (rng.random(count) < np.where(stays.metavision, 0.96, 0.55))[moments.stay]
    line = stays.arterial_line[moments.stay]
    chance = rng.random((events, 10))
    there = chance < np.array([0.97, 0.95, 0.0, 0.0, 0.0, 0.27, 0.5, 0.95, 0.02, 0.95])
    there[:, _ART_SYS] &= line
    there[:, _CUFF_SYS] = chance[:, _CUFF_SYS] < np.where(line, 0.2, 0.94)
    there[:, _ART_DIA], there[:, _CUFF_DIA] = there[:, _ART_SYS], there[:, _CUFF_SYS]
    there[:, _TEMP_CALC] &= there[:, _TEMP] & ~metavision
    item = np.where(metavision[:, None], _METAVISION_ITEMS, _CAREVUE_ITEMS)
    item[:, _TEMP] = np.where(fahrenheit, _FAHRENHEIT[metavision * 1], _CELSIUS[metavision * 1])
    item[:, _TEMP_CALC] = np.where(fahrenheit, 677, 679)
    second_line = ~metavision & (rng.random(count) < 0.03)[moments.stay]
    item[second_line, _ART_SYS], item[second_line, _ART_DIA] = 6701, 8555
    manual = ~metavision & (rng.random(events) < 0.02)
    item[manual, _CUFF_SYS], item[manual, _CUFF_DIA] = 442, 8440
    celsius, degrees = values["tempc"], values["tempc"] * 1.8 + 32.0
    grid = np.empty((events, 10))
    grid[:, _HR], grid[:, _SPO2] = values["heartrate"], values["spo2"]
    grid[:, _RESP] = values["resprate"]
    grid[:, _RESP_TOTAL] = values["resprate"] + 1.0
    grid[:, _ART_SYS], grid[:, _ART_DIA] = values["sysbp"] + 3.0, values["diasbp"] - 1.0
    grid[:, _CUFF_SYS] = values["sysbp"] + rng.normal(0.0, 5.0, events)
    grid[:, _CUFF_DIA] = values["diasbp"] + rng.normal(0.0, 4.0, events)
    grid[:, _TEMP] = np.where(fahrenheit, degrees, celsius)
    grid[:, _TEMP_CALC] = np.where(fahrenheit, celsius, degrees)
    moment, channel = np.nonzero(there)
    value = _encode_vitals(grid[moment, channel], channel, metavision[moment])
    return _Rows(moment, item[moment, channel], value, value), channel


def _encode_vitals(value: Reals, channel: Ints, metavision: Bools) -> Ints:
    texts = Texts.encode(value, 0)
    warm = (channel == _TEMP) | (channel == _TEMP_CALC)
    modern, old = warm & metavision, warm & ~metavision
    texts[modern] = Texts.encode(value[modern], 1)
    texts[old] = Texts.encode(value[old], 1, single=True)
    return texts


def _chart_flaws(
    rng: np.random.Generator, stays: Stays, moments: _Moments, rows: _Rows, channel: Ints
) -> tuple[_Rows, Bools, Bools]:
    """Spoil a few rows; return them with the ERROR flag and whether ICUSTAY_ID is missing."""
    table = items.value_texts()
    size = len(rows.moment)
    luck = rng.random(size)
    metavision = stays.metavision[moments.stay[rows.moment]]
    value, number, item = rows.value.copy(), rows.number.copy(), rows.item.copy()
    spoiled = np.flatnonzero(luck < IMPOSSIBLE)
    value[spoiled] = _impossible(rng, tuple(_CHANNELS), channel[spoiled])
    number[spoiled] = value[spoiled]
    unreadable = (luck >= IMPOSSIBLE) & (luck < UNREADABLE)
    words = np.array([table.index(text) for text in items.UNREADABLE])
    value[unreadable] = words[rng.integers(0, len(words), int(unreadable.sum()))]
    empty = (luck >= UNREADABLE) & (luck < EMPTY)
    value[empty] = table.null
    number[unreadable | empty] = table.null
    error = (luck >= EMPTY) & (luck < ERRONEOUS) & metavision
    wild = np.flatnonzero(error)
    value[wild] = Texts.encode(rng.uniform(1.0, 400.0, len(wild)), 0)
    number[wild] = value[wild]
    repeated = (luck >= ERRONEOUS) & (luck < REPEATED)
    contradicted = (luck >= REPEATED) & (luck < CONTRADICTED)
    homeless = (luck >= CONTRADICTED) & (luck < HOMELESS)
    misfiled = (luck >= HOMELESS) & (luck < MISFILED) & (channel == _TEMP)
    item[misfiled] = _CELSIUS[metavision[misfiled] * 1]
    spoiled_rows = _Rows(rows.moment, item, value, number)
    again = np.sort(np.concatenate([np.arange(size), np.flatnonzero(repeated | contradicted)]))
    spoiled_rows = spoiled_rows.select(again)
    second = np.append(False, again[1:] == again[:-1]) & contradicted[again]
    differs = np.where(second & ~table.is_text[spoiled_rows.value] & (spoiled_rows.value > 40), -7, 0)
    shifted = dataclasses.replace(
        spoiled_rows, value=spoiled_rows.value + differs, number=spoiled_rows.number + differs
    )
    return shifted, error[again], homeless[again]


def _impossible(rng: np.random.Generator, responses: tuple[Response, ...], channel: Ints) -> Ints:
    table = items.value_texts()
    most = max(len(response.impossible) for response in responses)
    choices = np.array([[table.index(r.impossible[k % len(r.impossible)]) for k in range(most)] for r in responses])
    return choices[channel, rng.integers(0, most, len(channel))]


def _pools(rng: np.random.Generator, noise: tuple[NoiseItem, ...]) -> Ints:
    """Return (items, pool) indices of texts that each item may read."""
    table = items.value_texts()
    pools = np.empty((len(noise), _NOISE_POOL), dtype=np.int64)
    for position, item in enumerate(noise):
        if item.texts:
            words = np.array([table.index(text) for text in item.texts])
            pools[position] = words[rng.integers(0, len(words), _NOISE_POOL)]
        else:
            decimals = 0 if item.high > 60 else 2 if item.high <= 1 else 1
            pools[position] = Texts.encode(rng.uniform(item.low, item.high, _NOISE_POOL), decimals)
    return pools


def _chart_noise(rng: np.random.Generator, stays: Stays, moments: _Moments, size: int) -> _Rows:
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
    return _noise_rows(rng, items.NOISE_ITEMS, moment, position, ids)


def _noise_rows(
    rng: np.random.Generator, noise: tuple[NoiseItem, ...], moment: Ints, position: Ints, ids: Ints
) -> _Rows:
    table = items.value_texts()
    value = _pools(rng, noise)[position, rng.integers(0, _NOISE_POOL, len(position))]
    return _Rows(moment, ids[position], value, np.where(table.is_text[value], table.null, value))


def _units(entries: list[tuple[int, str]]) -> tuple[Ints, pl.Series]:
    """Return the item ids in order, and their units at the same places."""
    entries = sorted(dict(entries).items())
    return np.array([item for item, _ in entries]), pl.Series([unit or None for _, unit in entries], dtype=pl.String)


def _chart_frame(
    rng: np.random.Generator,
    block: Block,
    moments: _Moments,
    rows: _Rows,
    error: Bools,
    homeless: Bools,
    *,
    texts_only: bool,
) -> pl.DataFrame:
    table, stays, size = items.value_texts(), block.stays, len(rows.moment)
    stay = moments.stay[rows.moment]
    time = moments.time.astype("datetime64[us]")
    stored = time + rng.integers(2, 90, len(moments)).astype("timedelta64[m]")
    caregiver = (14000 + rng.integers(0, 7000, len(moments))).astype(np.int32)
    known = [(entry.item, entry.unit) for entry in items.CHART_ITEMS]
    ids, units = _units(known + [(entry.item, entry.unit) for entry in items.NOISE_ITEMS])
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


def lab_events(block: Block, seed: int, noise_rows: float, *, texts_only: bool) -> pl.DataFrame:
    """Return the rows of LABEVENTS of a block, without ROW_ID; arguments as for ``chart_events``."""
    rng = stream(seed, block.number, "laboratory")
    stays = block.stays
    weights = _weights(rng, len(stays))
    stay, hour = _lab_cells(stays)
    severity = severity_at(stays, stay, hour)
    inside = (hour >= 0) & (hour < stays.hours[stay])
    fresh = 0.85 * ((hour == 0) | (hour == 1))
    gas = np.minimum(np.where(stays.arterial_line[stay], 0.09, 0.02) * np.exp(0.7 * severity), 0.45)
    chances = (
        np.where(inside, np.maximum(gas, fresh * 0.3), 0.15 * gas),
        np.where(inside, np.maximum(np.minimum(0.07 * np.exp(0.25 * severity), 0.3), fresh * 0.6), 0.05),
        np.where(inside, np.maximum(np.minimum(0.06 * np.exp(0.2 * severity), 0.3), fresh * 0.6), 0.04),
    )
    start = _minutes(stays.intime)[stay] + (hour * 60).astype("timedelta64[m]")
    parts: list[tuple[_Moments, _Rows]] = []
    for chance, labs in zip(chances, (items.GAS_LABS, items.CHEMISTRY_LABS, items.COUNT_LABS), strict=True):
        drawn = np.flatnonzero(rng.random(len(stay)) < chance)
        time = start[drawn] + rng.integers(0, 60, len(drawn)).astype("timedelta64[m]")
        moments = _Moments(stay[drawn], time, severity[drawn])
        within = (time >= stays.admitted[moments.stay]) & (time <= stays.discharged[moments.stay])
        moments = moments.select(within)
        parts.append((moments, _lab_rows(rng, stays, weights, moments, labs)))
    noise = _lab_noise(rng, parts[1][0], round(noise_rows * sum(len(rows.moment) for _, rows in parts)))
    parts.append((parts[1][0], noise))
    frames = [_lab_frame(rng, block, moments, rows, texts_only=texts_only) for moments, rows in parts]
    frames.append(_outpatient(rng, block, weights, texts_only=texts_only))
    return pl.concat(frames).sort("SUBJECT_ID", "CHARTTIME", "ITEMID", maintain_order=True)


def _lab_cells(stays: Stays) -> tuple[Ints, Ints]:
    lengths = (stays.before + np.ceil(stays.hours) + stays.after).astype(np.int64)
    stay, position = _cells(lengths)
    return stay, position - stays.before[stay]


def _lab_rows(
    rng: np.random.Generator, stays: Stays, weights: Reals, moments: _Moments, labs: tuple[Lab, ...]
) -> _Rows:
    table = items.value_texts()
    shares = np.array([lab.share for lab in labs])
    # What is ordered on suspicion is ordered the more, the sicker the patient.
    pull = np.where(shares < 0.7, np.exp(0.35 * moments.severity)[:, None], 1.0)
    there = rng.random((len(moments), len(labs))) < shares * pull
    values = np.empty((len(moments), len(labs)), dtype=np.int64)
    for position, lab in enumerate(labs):
        value = _respond(rng, lab.response, weights, len(stays), moments)
        values[:, position] = Texts.encode(value, lab.response.decimals)
    moment, column = np.nonzero(there)
    value = values[moment, column]
    luck = rng.random(len(moment))
    spoiled = np.flatnonzero(luck < 0.003)
    value[spoiled] = _impossible(rng, tuple(lab.response for lab in labs), column[spoiled])
    number = value.copy()
    unreadable = (luck >= 0.003) & (luck < 0.006)
    words = np.array([table.index(text) for text in items.UNREADABLE])
    value[unreadable] = words[rng.integers(0, len(words), int(unreadable.sum()))]
    number[unreadable] = table.null
    rows = _Rows(moment, np.array([lab.item for lab in labs])[column], value, number)
    rows = rows.select(np.sort(np.concatenate([np.arange(len(luck)), np.flatnonzero(luck > 0.997)])))
    return _joined(rows, _specimens(rng, len(moments))) if labs is items.GAS_LABS else rows


def _specimens(rng: np.random.Generator, draws: int) -> _Rows:
    """Say of each blood gas where it was drawn; about one in a hundred moments has two specimens."""
    table = items.value_texts()
    words = np.array([table.index(text) for text in items.SPECIMEN_KINDS])
    moment = np.sort(np.concatenate([np.arange(draws), np.flatnonzero(rng.random(draws) < 0.01)]))
    kind = words[rng.choice(3, len(moment), p=[0.8, 0.17, 0.03])]
    return _Rows(moment, np.full(len(moment), items.SPECIMEN), kind, np.full(len(moment), table.null))


def _lab_noise(rng: np.random.Generator, moments: _Moments, size: int) -> _Rows:
    ids = np.array([item.item for item in items.NOISE_LABS])
    size = size if len(moments) else 0
    moment = np.sort(rng.integers(0, max(len(moments), 1), size))
    return _noise_rows(rng, items.NOISE_LABS, moment, rng.integers(0, len(ids), size), ids)


def _outpatient(rng: np.random.Generator, block: Block, weights: Reals, *, texts_only: bool) -> pl.DataFrame:
    """Draw labs outside any admission, long before the first one: they have no HADM_ID and belong to no stay."""
    stays = block.stays
    visits = rng.poisson(0.4, len(stays)) * (stays.first & (np.append(-1, stays.patient[:-1]) != stays.patient))
    stay = np.repeat(np.arange(len(stays)), visits)
    ago = rng.integers(4 * 1440, 300 * 1440, len(stay)).astype("timedelta64[m]")
    moments = _Moments(stay, _minutes(stays.admitted)[stay] - ago, np.full(len(stay), -1.0))
    rows = _lab_rows(rng, stays, weights, moments, items.CHEMISTRY_LABS)
    frame = _lab_frame(rng, block, moments, rows, texts_only=texts_only)
    return frame.with_columns(HADM_ID=pl.lit(None, dtype=pl.Int32))


def _lab_frame(
    rng: np.random.Generator, block: Block, moments: _Moments, rows: _Rows, *, texts_only: bool
) -> pl.DataFrame:
    table, stays = items.value_texts(), block.stays
    stay = moments.stay[rows.moment]
    known = [(lab.item, lab.unit) for lab in items.LABS] + [(entry.item, entry.unit) for entry in items.NOISE_LABS]
    ids, units = _units([*known, (items.SPECIMEN, "")])
    low, high = np.full(len(ids), -np.inf), np.full(len(ids), np.inf)
    for lab in items.LABS:
        low[np.searchsorted(ids, lab.item)], high[np.searchsorted(ids, lab.item)] = lab.normal
    place = np.searchsorted(ids, rows.item)
    numbers = table.numbers.to_numpy()[rows.number]
    abnormal = (numbers < low[place]) | (numbers > high[place])
    gas = np.isin(rows.item, [items.SPECIMEN, *(lab.item for lab in items.GAS_LABS)])
    lost = (rng.random(len(moments))[rows.moment]) < np.where(gas, 0.01, 0.08)
    delta = rng.random(len(stay)) < 0.003
    return (
        pl.DataFrame(
            {
                "SUBJECT_ID": block.patients.ids[stays.patient].astype(np.int32)[stay],
                "HADM_ID": stays.hadm_id.astype(np.int32)[stay],
                "ITEMID": rows.item.astype(np.int32),
                "CHARTTIME": moments.time[rows.moment].astype("datetime64[us]"),
                "VALUE": table.texts.gather(rows.value),
                "VALUENUM": (table.shown if texts_only else table.numbers).gather(rows.number),
                "VALUEUOM": units.gather(place),
                "FLAG": pl.Series(["abnormal", "delta", None], dtype=pl.String).gather(
                    np.where(abnormal, 0, np.where(delta, 1, 2))
                ),
                "_lost": lost,
            }
        )
        .with_columns(HADM_ID=pl.when(~pl.col("_lost")).then("HADM_ID"))
        .drop("_lost")
    )
