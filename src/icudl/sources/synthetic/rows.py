"""Parts that CHARTEVENTS and LABEVENTS of the synthetic hospital share: moments, values, rows, wrong entries."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from icudl.sources.synthetic.course import Bools, Ints, Reals, Times, stream
from icudl.sources.synthetic.items import NoiseItem, Response
from icudl.sources.synthetic.patients import Block
from icudl.sources.synthetic.texts import Texts, value_texts

_NOISE_POOL = 128


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Moments at which something is charted or drawn: (E,) arrays.

    Attributes:
        stay: Index into the stays of the block.
        time: When, to the minute.
        severity: Severity of the stay at that time.
    """

    stay: Ints
    time: Times
    severity: Reals

    def __len__(self) -> int:
        return len(self.stay)

    def select(self, kept: Bools | Ints) -> Moments:
        """Keep some moments, by mask or by index."""
        return Moments(self.stay[kept], self.time[kept], self.severity[kept])


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Rows about to be written: (N,) arrays.

    Attributes:
        moment: Index into the moments.
        item: ITEMID.
        value: VALUE, as an index into ``Texts``.
        number: VALUENUM, likewise.
    """

    moment: Ints
    item: Ints
    value: Ints
    number: Ints

    def select(self, kept: Bools | Ints) -> Rows:
        """Keep some rows, by mask or by index, in that order."""
        return Rows(self.moment[kept], self.item[kept], self.value[kept], self.number[kept])


def joined(*parts: Rows) -> Rows:
    """Put rows of the same moments one behind the other."""
    return Rows(
        np.concatenate([part.moment for part in parts]),
        np.concatenate([part.item for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.number for part in parts]),
    )


def minutes(times: Times) -> Times:
    """Cut times to the minute."""
    return times.astype("datetime64[m]")


def cells(lengths: Ints) -> tuple[Ints, Ints]:
    """Return (row, position) of every cell of a ragged table with these row lengths."""
    row = np.repeat(np.arange(len(lengths)), lengths)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def organ_weights(block: Block, seed: int) -> Reals:
    """How strongly each organ of each stay follows the severity: (S, 4), mean 1; the same for vital signs and labs."""
    return stream(seed, block.number, "organs").gamma(8.0, 0.125, (len(block.stays), 4))


def respond(rng: np.random.Generator, response: Response, weights: Reals, moments: Moments) -> Reals:
    """Return the value of a quantity at each moment; ``weights`` are those of ``organ_weights``."""
    baseline = rng.normal(response.mean, response.spread, len(weights))
    pull = response.slope * weights[:, response.organ]
    value = baseline[moments.stay] + pull[moments.stay] * moments.severity
    value += rng.normal(0.0, response.noise, len(moments))
    if response.logarithmic:
        np.exp(value, out=value)
    return np.clip(value, response.low, response.high)


def impossible(rng: np.random.Generator, responses: tuple[Response, ...], channel: Ints) -> Ints:
    """Return texts of wrong entries for rows of ``responses[channel]``."""
    table = value_texts()
    most = max(len(response.impossible) for response in responses)
    choices = np.array([[table.index(r.impossible[k % len(r.impossible)]) for k in range(most)] for r in responses])
    return choices[channel, rng.integers(0, most, len(channel))]


def _pools(rng: np.random.Generator, noise: tuple[NoiseItem, ...]) -> Ints:
    """Return (items, pool) indices of texts that each item may read."""
    table = value_texts()
    pools = np.empty((len(noise), _NOISE_POOL), dtype=np.int64)
    for position, item in enumerate(noise):
        if item.texts:
            words = np.array([table.index(text) for text in item.texts])
            pools[position] = words[rng.integers(0, len(words), _NOISE_POOL)]
        else:
            decimals = 0 if item.high > 60 else 2 if item.high <= 1 else 1
            pools[position] = Texts.encode(rng.uniform(item.low, item.high, _NOISE_POOL), decimals)
    return pools


def noise_entries(
    rng: np.random.Generator, noise: tuple[NoiseItem, ...], moment: Ints, position: Ints, ids: Ints
) -> Rows:
    """Return one row of ``noise[position]``, whose item ids are ``ids``, at each moment."""
    table = value_texts()
    value = _pools(rng, noise)[position, rng.integers(0, _NOISE_POOL, len(position))]
    return Rows(moment, ids[position], value, np.where(table.is_text[value], table.null, value))


def units_by_item(entries: list[tuple[int, str]]) -> tuple[Ints, pl.Series]:
    """Return the item ids in order, and their units at the same places."""
    entries = sorted(set(entries))
    return np.array([item for item, _ in entries]), pl.Series([unit or None for _, unit in entries], dtype=pl.String)
