"""LABEVENTS of the synthetic hospital: blood gases, chemistry and counts, inside and outside the ICU."""

from __future__ import annotations

import numpy as np
import polars as pl

from icudl.sources.synthetic import items
from icudl.sources.synthetic.course import Ints, Reals, stream
from icudl.sources.synthetic.items import Lab, Response
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

_PANELS = (items.GAS_LABS, items.CHEMISTRY_LABS, items.COUNT_LABS)


def lab_events(block: Block, seed: int, noise_rows: float, *, texts_only: bool) -> pl.DataFrame:
    """Return the rows of LABEVENTS of a block, without ROW_ID; arguments as for ``chart_events``."""
    rng = stream(seed, block.number, "laboratory")
    weights = organ_weights(block, seed)
    parts = [
        (moments, _lab_rows(rng, weights, moments, labs))
        for moments, labs in zip(_draws(rng, block.stays), _PANELS, strict=True)
    ]
    read = sum(len(rows.moment) for _, rows in parts)
    chemistry = parts[_PANELS.index(items.CHEMISTRY_LABS)][0]
    parts.append((chemistry, _lab_noise(rng, chemistry, round(noise_rows * read))))
    frames = [_lab_frame(rng, block, moments, rows, texts_only=texts_only) for moments, rows in parts]
    frames.append(_outpatient(rng, block, weights, texts_only=texts_only))
    return pl.concat(frames).sort("SUBJECT_ID", "CHARTTIME", "ITEMID", maintain_order=True)


def _draws(rng: np.random.Generator, stays: Stays) -> list[Moments]:
    """Return when each panel is drawn: on arrival, and the more often the more severe the state; less on the ward."""
    stay, hour = _lab_cells(stays)
    severity = severity_at(stays, stay, hour)
    inside = (hour >= 0) & (hour < stays.hours[stay])
    arrival = (hour == 0) | (hour == 1)
    gas = np.minimum(np.where(stays.arterial_line[stay], 0.09, 0.02) * np.exp(0.7 * severity), 0.45)
    chemistry = np.minimum(0.07 * np.exp(0.25 * severity), 0.3)
    counts = np.minimum(0.06 * np.exp(0.2 * severity), 0.3)
    chances = (
        np.where(inside, np.maximum(gas, 0.25 * arrival), 0.15 * gas),
        np.where(inside, np.maximum(chemistry, 0.5 * arrival), 0.05),
        np.where(inside, np.maximum(counts, 0.5 * arrival), 0.04),
    )
    start = minutes(stays.intime)[stay] + (hour * 60).astype("timedelta64[m]")
    draws = []
    for chance in chances:
        drawn = np.flatnonzero(rng.random(len(stay)) < chance)
        time = start[drawn] + rng.integers(0, 60, len(drawn)).astype("timedelta64[m]")
        within = (time >= stays.admitted[stay[drawn]]) & (time <= stays.discharged[stay[drawn]])
        draws.append(Moments(stay[drawn], time, severity[drawn]).select(within))
    return draws


def _lab_cells(stays: Stays) -> tuple[Ints, Ints]:
    """Return (stay, hour after ICU admission) of every hour in which labs may be drawn."""
    lengths = (stays.before + np.ceil(stays.hours) + stays.after).astype(np.int64)
    stay, position = cells(lengths)
    return stay, position - stays.before[stay]


def _lab_rows(rng: np.random.Generator, weights: Reals, moments: Moments, labs: tuple[Lab, ...]) -> Rows:
    shares = np.array([lab.share for lab in labs])
    # Labs that are ordered on suspicion are ordered more often for sicker patients.
    suspicion = np.where(shares < 0.7, np.exp(0.35 * moments.severity)[:, None], 1.0)
    there = rng.random((len(moments), len(labs))) < shares * suspicion
    values = np.empty((len(moments), len(labs)), dtype=np.int64)
    for position, lab in enumerate(labs):
        measured = respond(rng, lab.response, weights, moments)
        values[:, position] = Texts.encode(measured, lab.response.decimals)
    moment, column = np.nonzero(there)
    ids = np.array([lab.item for lab in labs])
    responses = tuple(lab.response for lab in labs)
    rows = _spoil(rng, Rows(moment, ids[column], values[moment, column], values[moment, column]), responses, column)
    return joined(rows, _specimens(rng, len(moments))) if labs is items.GAS_LABS else rows


def _spoil(rng: np.random.Generator, rows: Rows, responses: tuple[Response, ...], column: Ints) -> Rows:
    """Make three rows in a thousand impossible, three unreadable, and repeat three."""
    table, luck, value = value_texts(), rng.random(len(column)), rows.value.copy()
    wrong, unreadable, repeated = luck < 0.003, (luck >= 0.003) & (luck < 0.006), np.flatnonzero(luck > 0.997)
    value[wrong] = impossible(rng, responses, column[wrong])
    number = np.where(unreadable, table.null, value)
    words = np.array([table.index(text) for text in items.UNREADABLE])
    value[unreadable] = words[rng.integers(0, len(words), int(unreadable.sum()))]
    spoiled = Rows(rows.moment, rows.item, value, number)
    return spoiled.select(np.sort(np.concatenate([np.arange(len(column)), repeated])))


def _specimens(rng: np.random.Generator, draws: int) -> Rows:
    """Say of each blood gas where it was drawn; about one in a hundred moments has two specimens."""
    table = value_texts()
    words = np.array([table.index(text) for text in items.SPECIMEN_KINDS])
    moment = np.sort(np.concatenate([np.arange(draws), np.flatnonzero(rng.random(draws) < 0.01)]))
    kind = words[rng.choice(3, len(moment), p=[0.8, 0.17, 0.03])]
    return Rows(moment, np.full(len(moment), items.SPECIMEN), kind, np.full(len(moment), table.null))


def _lab_noise(rng: np.random.Generator, moments: Moments, size: int) -> Rows:
    ids = np.array([item.item for item in items.NOISE_LABS])
    size = size if len(moments) else 0
    moment = np.sort(rng.integers(0, max(len(moments), 1), size))
    return noise_entries(rng, items.NOISE_LABS, moment, rng.integers(0, len(ids), size), ids)


def _outpatient(rng: np.random.Generator, block: Block, weights: Reals, *, texts_only: bool) -> pl.DataFrame:
    """Draw labs outside any admission, long before the first one: they have no HADM_ID and belong to no stay."""
    stays = block.stays
    visits = rng.poisson(0.4, len(stays)) * (stays.first & (np.append(-1, stays.patient[:-1]) != stays.patient))
    stay = np.repeat(np.arange(len(stays)), visits)
    ago = rng.integers(4 * 1440, 300 * 1440, len(stay)).astype("timedelta64[m]")
    moments = Moments(stay, minutes(stays.admitted)[stay] - ago, np.full(len(stay), -1.0))
    rows = _lab_rows(rng, weights, moments, items.CHEMISTRY_LABS)
    frame = _lab_frame(rng, block, moments, rows, texts_only=texts_only)
    return frame.with_columns(HADM_ID=pl.lit(None, dtype=pl.Int32))


def _lab_frame(
    rng: np.random.Generator, block: Block, moments: Moments, rows: Rows, *, texts_only: bool
) -> pl.DataFrame:
    table, stays = value_texts(), block.stays
    stay = moments.stay[rows.moment]
    known = [(lab.item, lab.unit) for lab in items.LABS] + [(entry.item, entry.unit) for entry in items.NOISE_LABS]
    ids, units = units_by_item([*known, (items.SPECIMEN, "")])
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
