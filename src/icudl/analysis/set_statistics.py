"""Statistics, resamples and properties of each example set, from one pass over an attack's changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from icudl.analysis.changes import Changes, count_changes, read_changes
from icudl.analysis.conditions import ExampleSet
from icudl.analysis.examples import PROPERTIES_SCHEMA, properties
from icudl.analysis.measures import CellStatistics, CellTally, Doubles, along
from icudl.analysis.resampled import MOST_SAMPLES, ResampledTally
from icudl.artifacts import AttackResult

Streams = Callable[[str, str], np.random.Generator]
"""Returns the random stream of a condition and example."""

WITH_INTERVAL = ("touched", "gap", "gpp", "s", "ganzp", "sensitivity")


@dataclasses.dataclass(frozen=True, eq=False)
class SetStatistics:
    """The statistics behind the tables of an example set.

    Attributes:
        examples: The set.
        unit: Statistics of its cells, in unit coordinates.
        clinical: The same in the variables' units.
        increases: (T, F) changes that are increases.
        touched: Stays with a change of each variable (F,) and in each hour (T,).
        draws: ``WITH_INTERVAL`` of the resamples, by variable and by hour: (samples, measures, F) and (..., T).
        properties: Rows of ``PROPERTIES_SCHEMA``.
    """

    examples: ExampleSet
    unit: CellStatistics
    clinical: CellStatistics
    increases: Doubles
    touched: tuple[Doubles, Doubles]
    draws: tuple[Doubles, Doubles]
    properties: pl.DataFrame


def read_statistics(
    sets: Sequence[ExampleSet],
    attack: AttackResult,
    samples: int,
    streams: Streams,
    advance: Callable[[int], None] = lambda _units: None,
) -> list[SetStatistics]:
    """Collect the statistics of example sets of one attack; memory grows with their stays, not with their changes.

    Args:
        sets: Example sets.
        attack: Holds the changes, which are read once for each ``MOST_SAMPLES`` resamples.
        samples: Number of resamples.
        streams: Random stream of a condition and example.
        advance: Called with the number of changes read.
    """
    rngs = [streams(each.condition, each.example) if each.n > 1 else None for each in sets]
    points = [_Points(each) for each in sets]
    draws: list[list[tuple[Doubles, Doubles]]] = [[] for _ in sets]
    for start in range(0, samples, MOST_SAMPLES):
        size = min(MOST_SAMPLES, samples - start)
        tallies = [
            None if rng is None else ResampledTally(np.arange(each.n), each.n, each.shape, size, rng)
            for each, rng in zip(sets, rngs, strict=True)
        ]
        for read, blocks in read_changes(attack, sets):
            for point, tally, changes in zip(points, tallies, blocks, strict=True):
                if start == 0:
                    point.add(changes)
                if tally is not None:
                    tally.add(changes)
            advance(read)
        for found, tally in zip(draws, tallies, strict=True):
            if tally is not None:
                tally.finish()
                found.append(_measures_of(tally, size))
    return [point.statistics(found) for point, found in zip(points, draws, strict=True)]


def units_of_reading(attack: AttackResult, samples: int) -> int:
    """Return the sum of all arguments of ``advance``."""
    return count_changes(attack) * -(-samples // MOST_SAMPLES)


class _Points:
    """Collects the statistics of an example set itself."""

    def __init__(self, examples: ExampleSet) -> None:
        self._examples = examples
        self._unit, self._clinical = CellTally(examples.shape), CellTally(examples.shape)
        self._increases = np.zeros(examples.shape)
        self._touched = (np.zeros(examples.shape[1]), np.zeros(examples.shape[0]))
        self._properties = [pl.DataFrame(schema=PROPERTIES_SCHEMA)]

    def add(self, changes: Changes) -> None:
        if len(changes.row) == 0:
            return
        self._unit.add(changes.hour, changes.variable, np.abs(changes.change))
        self._clinical.add(changes.hour, changes.variable, np.abs(changes.clinical))
        up = changes.change > 0
        np.add.at(self._increases, (changes.hour[up], changes.variable[up]), 1)
        for touched, index in zip(self._touched, (changes.variable, changes.hour), strict=True):
            pairs = np.zeros((changes.row[-1] - changes.row[0] + 1, len(touched)), np.bool_)
            pairs[changes.row - changes.row[0], index] = True
            np.add(touched, pairs.sum(axis=0), out=touched)
        self._properties.append(properties(self._examples, changes))

    def statistics(self, draws: Sequence[tuple[Doubles, Doubles]]) -> SetStatistics:
        n, (hours, variables) = self._examples.n, self._examples.shape
        none = [(np.empty((0, len(WITH_INTERVAL), variables)), np.empty((0, len(WITH_INTERVAL), hours)))]
        return SetStatistics(
            examples=self._examples,
            unit=self._unit.statistics(n),
            clinical=self._clinical.statistics(n),
            increases=self._increases,
            touched=self._touched,
            draws=tuple(np.concatenate(parts) for parts in zip(*(draws or none), strict=True)),  # type: ignore[arg-type]
            properties=pl.concat(self._properties),
        )


def _measures_of(tally: ResampledTally, samples: int) -> tuple[Doubles, Doubles]:
    by_axis: tuple[list[Any], list[Any]] = ([], [])
    for sample in range(samples):
        cells = tally.statistics(sample)
        for axis in (0, 1):
            values = {"touched": tally.touched(axis, sample) / cells.n} | along(cells, axis)
            by_axis[axis].append([values[name] for name in WITH_INTERVAL])
    return np.array(by_axis[0]), np.array(by_axis[1])
