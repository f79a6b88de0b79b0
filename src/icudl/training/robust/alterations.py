"""Records altered at random, in clinical units and before imputation: entries left out, entries that read wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Floats
from icudl.preprocessing.imputation import last_charted
from icudl.preprocessing.mistakes import NEIGHBOURS, Charting, wrong_values
from icudl.training.robust.options import RobustOptions
from icudl.variables import Variable

Bools = npt.NDArray[np.bool_]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


def altered(
    values: Floats,
    counts: npt.NDArray[np.integer],
    variables: Sequence[Variable],
    options: RobustOptions,
    rng: np.random.Generator,
) -> Floats:
    """Return (B, T, F) records of which some values are left out and others are entered wrongly.

    Args:
        values: (B, T, F) clinical hourly means, NaN where nothing was charted.
        counts: (B, T, F) values behind each mean.
        variables: F variables.
        options: Chances.
        rng: Stream; every chance that is not 0 draws from it.
    """
    kept = values
    if options.variable_dropout > 0:
        left_out = rng.random((len(values), 1, values.shape[2])) < options.variable_dropout
        kept = np.where(left_out, np.float32(np.nan), kept)
    if options.value_dropout > 0:
        kept = np.where(rng.random(values.shape) < options.value_dropout, np.float32(np.nan), kept)
    if options.error_rate > 0:
        kept = with_mistakes(kept, counts, variables, options.error_rate, rng)
    return kept


def with_mistakes(
    values: Floats,
    counts: npt.NDArray[np.integer],
    variables: Sequence[Variable],
    rate: float,
    rng: np.random.Generator,
) -> Floats:
    """Return records in which entries read wrong, as people enter them (``preprocessing.mistakes``).

    A value with k entries is wrong with the chance 1 - (1 - rate)^k. What is read instead is drawn, with equal chances,
    from the mistakes that apply to it and stay plausible; the hour's mean moves by 1/k of the error. A value to which
    none applies stays: the cleaning of the data drops what is implausible.

    Args:
        values: (B, T, F) clinical hourly means, NaN where nothing was charted.
        counts: (B, T, F) values behind each mean.
        variables: F variables.
        rate: Chance that an entry is wrong.
        rng: Stream.
    """
    entries = np.maximum(counts, 1)
    wrong = ~np.isnan(values) & (rng.random(values.shape) < 1.0 - (1.0 - rate) ** entries.astype(np.float64))
    rows, hours, columns = np.nonzero(wrong)
    if not len(rows):
        return values
    charting = Charting.of(variables)
    means = values[rows, hours, columns].astype(np.float64)
    candidates = [candidate for _, candidate in wrong_values(means, charting.at(columns))]
    candidates.append(_before(values, rows, hours, columns))
    n_alone = len(candidates)
    partners = _partners(variables)
    candidates += [_beside(values, rows, hours, partners[:, columns][k]) for k in range(len(partners))]
    reads = np.stack(candidates)
    legal = np.isfinite(reads) & charting.at(columns).plausible(reads) & ~np.isclose(reads, means)
    for k, partner in enumerate(partners):
        # Both of two exchanged values have to be plausible where they land.
        legal[n_alone + k] &= charting.at(partner[columns]).plausible(means)
    chosen = _drawn(legal, rng)
    applies = legal.any(axis=0)
    changed: Floats = values.copy()
    for index in np.flatnonzero(applies).tolist():
        row, hour, column, which = rows[index], hours[index], columns[index], chosen[index]
        _move(changed, values, entries, (row, hour, column), reads[which, index])
        if which >= n_alone:
            _move(changed, values, entries, (row, hour, partners[which - n_alone, column]), means[index])
    return changed


def _move(
    changed: Floats, values: Floats, entries: npt.NDArray[np.integer], cell: tuple[int, ...], reads: float
) -> None:
    """Let one of the entries behind a mean read another number."""
    mean = float(values[cell])
    changed[cell] = mean + (float(reads) - mean) / int(entries[cell])


def _before(values: Floats, rows: Int64s, hours: Int64s, columns: Int64s) -> Float64s:
    """Return the last value charted before each of these cells; NaN where it is the first."""
    last = last_charted(~np.isnan(values))
    previous = np.where(hours > 0, last[rows, np.maximum(hours - 1, 0), columns], -1)
    before: Float64s = np.where(previous >= 0, values[rows, np.maximum(previous, 0), columns], np.nan)
    return before


def _beside(values: Floats, rows: Int64s, hours: Int64s, partners: Int64s) -> Float64s:
    """Return what was charted in the same hour in the field beside; NaN where there is none."""
    beside: Float64s = np.where(partners >= 0, values[rows, hours, partners], np.nan)
    return beside


def _partners(variables: Sequence[Variable]) -> Int64s:
    """Return (K, F) the variables in whose field a value may land, -1 for none."""
    position = {variable.name: index for index, variable in enumerate(variables)}
    found: list[list[int]] = [[] for _ in variables]
    for one, other in NEIGHBOURS:
        if one in position and other in position:
            found[position[one]].append(position[other])
            found[position[other]].append(position[one])
    most = max(map(len, found), default=0)
    return np.array([[own[k] if k < len(own) else -1 for own in found] for k in range(most)], np.int64).reshape(
        most, len(variables)
    )


def _drawn(legal: Bools, rng: np.random.Generator) -> Int64s:
    """Return (n,) one of the legal candidates (K, n) of each value, with equal chances."""
    place = np.floor(rng.random(legal.shape[1]) * legal.sum(axis=0)).astype(np.int64)
    chosen: Int64s = (legal.cumsum(axis=0) > place).argmax(axis=0)
    return chosen
