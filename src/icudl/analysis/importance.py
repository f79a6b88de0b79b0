"""Important or susceptible? The cells that the model relies on, beside the cells that an attack uses.

The importance of a cell is its mean absolute integrated gradient (``attribution``) over attacked stays; that of a
variable or an hour is the sum over its cells. Where both rankings agree, an attack moves cells that the model relies
on. Where they differ, the attack uses cells that hardly matter on unchanged records.

Tables:

``importance`` (one row per condition and variable)
    ``stays`` explained, ``importance`` in logits with its bootstrap interval (``low, high``), ``towards_death``: mean
    of the signed attribution (positive where the variable speaks for death), ``quadrature_error``: mean absolute error
    of the attributions' sum, as a share of the mean absolute rise it should equal.
``importance_cells`` (one row per condition, hour and variable)
    ``importance`` and ``towards_death``.
``agreement`` (one row per condition, level and measure)
    Spearman's rank correlation of importance and a measure of the best examples over all ``points``: the variables, the
    hours or the cells (``level``); ``low, high`` from resampling the attacked stays, with whatever belongs to them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.attribution import Attributions
from icudl.analysis.changes import read_changes
from icudl.analysis.conditions import CONDITIONS, ExampleSet
from icudl.analysis.intervals import around
from icudl.analysis.measures import MEASURES, CellStatistics, CellTally, Doubles, along
from icudl.analysis.options import AnalysisOptions
from icudl.analysis.resampled import MOST_SAMPLES, ResampledTally
from icudl.analysis.set_statistics import Streams
from icudl.artifacts import AttackResult, Schema
from icudl.variables import Variable

COMPARED = ("s", "sensitivity", "gpp", "gmp")
LEVELS = ("variable", "hour", "cell")

IMPORTANCE_SCHEMA: Schema = {
    "condition": pl.String,
    "variable": pl.String,
    "stays": pl.Int64,
    "importance": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "towards_death": pl.Float64,
    "quadrature_error": pl.Float64,
}
IMPORTANCE_CELLS_SCHEMA: Schema = {
    "condition": pl.String,
    "hour": pl.Int16,
    "variable": pl.String,
    "stays": pl.Int64,
    "importance": pl.Float64,
    "towards_death": pl.Float64,
}
AGREEMENT_SCHEMA: Schema = {
    "condition": pl.String,
    "level": pl.String,
    "measure": pl.String,
    "points": pl.Int64,
    "spearman": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """Attributions of some of the M attacked stays of one condition, and the best examples of those that have one.

    Attributes:
        attacked: The M rows of ``attacked_stays``, sorted by stay_id.
        rows: (N,) positions of the explained stays.
        attributions: Attributions of these N stays.
        examples: Best examples of the condition.
    """

    attacked: pl.DataFrame
    rows: npt.NDArray[np.int64]
    attributions: Attributions
    examples: ExampleSet

    @property
    def size(self) -> Doubles:
        """(N, T, F) absolute attributions."""
        return np.abs(self.attributions.cells)


def choose_explained(attacked: pl.DataFrame, most: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return at most ``most`` attacked stays drawn at random, half of each condition if both have enough stays."""
    shuffled = attacked.sort("stay_id")[rng.permutation(attacked.height)]
    by_condition = [shuffled.filter(pl.col("condition") == condition) for condition in CONDITIONS]
    fewest = min(part.height for part in by_condition)
    small = min(fewest, most // 2)
    return pl.concat(part.head(small if part.height == fewest else most - small) for part in by_condition).sort(
        "stay_id"
    )


def importance_tables(
    explained: Mapping[str, Explained], attack: AttackResult, options: AnalysisOptions, streams: Streams
) -> dict[str, pl.DataFrame]:
    """Return ``importance``, ``importance_cells`` and ``agreement``; see the module.

    Args:
        explained: Explained stays by condition.
        attack: The attack that found the examples.
        options: Number of resamples.
        streams: Random stream of a condition and ``"importance"``.
    """
    tables: dict[str, list[pl.DataFrame]] = {
        "importance": [pl.DataFrame(schema=IMPORTANCE_SCHEMA)],
        "importance_cells": [pl.DataFrame(schema=IMPORTANCE_CELLS_SCHEMA)],
        "agreement": [pl.DataFrame(schema=AGREEMENT_SCHEMA)],
    }
    parts = {condition: part for condition, part in explained.items() if len(part.rows)}
    tallies, draws = _resampled(parts, attack, options.bootstrap_samples, streams)
    for condition, part in parts.items():
        tables["importance"].append(
            _variable_rows(condition, part, attack.variables, np.array(draws[condition]["importance"]))
        )
        tables["importance_cells"].append(_cell_rows(condition, part, attack.variables))
        if part.examples.n:
            cells = tallies[condition].statistics(part.examples.n)
            tables["agreement"].append(_agreement_rows(condition, part, cells, draws[condition]))
    return {name: pl.concat(frames) for name, frames in tables.items()}


def spearman(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Return Spearman's rank correlation, ties at their mean rank; NaN where one side is constant or below 3 points."""
    return _correlation(_centred_ranks(np.asarray(one, float)), _centred_ranks(np.asarray(other, float)))


def _correlation(x: Doubles, y: Doubles) -> float:
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if len(x) > 2 and norm > 0 else float("nan")


def _centred_ranks(values: Doubles) -> Doubles:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])
    return np.asarray(ranks - ranks.mean())


def _levels(size: Doubles) -> dict[str, Doubles]:
    """Return the importance of variables, hours and cells from that of the cells (T, F)."""
    return {"variable": size.sum(axis=0), "hour": size.sum(axis=1), "cell": size.ravel()}


def _measures(cells: CellStatistics) -> dict[str, dict[str, Doubles]]:
    of_cells = {name: MEASURES[name](cells).ravel() for name in COMPARED}
    return {"variable": along(cells, 0), "hour": along(cells, 1), "cell": of_cells}


Draws = dict[str, list[Any]]
"""Of the resamples, the variables' importance and, by ``level|measure``, each correlation."""


def _resampled(
    parts: Mapping[str, Explained], attack: AttackResult, samples: int, streams: Streams
) -> tuple[dict[str, CellTally], dict[str, Draws]]:
    """Return, by condition, the statistics of the best examples and the draws behind every interval."""
    rngs = {condition: streams(condition, "importance") for condition in parts}
    points = {condition: CellTally(part.examples.shape) for condition, part in parts.items()}
    draws: dict[str, Draws] = {condition: {"importance": []} for condition in parts}
    for start in range(0, samples, MOST_SAMPLES):
        size = min(MOST_SAMPLES, samples - start)
        tallies = {
            condition: _tally_of(part, size, rngs[condition])
            for condition, part in parts.items()
            if part.attacked.height > 1
        }
        for _, blocks in read_changes(attack, [part.examples for part in parts.values()]):
            for condition, changes in zip(parts, blocks, strict=True):
                if start == 0:
                    points[condition].add(changes.hour, changes.variable, np.abs(changes.change))
                if condition in tallies:
                    tallies[condition].add(changes)
        for condition, tally in tallies.items():
            tally.finish()
            for sample in range(size):
                _draw(parts[condition], tally.watched(sample), tally.statistics(sample), draws[condition])
    return points, draws


def _tally_of(part: Explained, samples: int, rng: np.random.Generator) -> ResampledTally:
    with_example = np.searchsorted(part.attacked["stay_id"].to_numpy(), part.examples.stays["stay_id"].to_numpy())
    return ResampledTally(with_example, part.attacked.height, part.examples.shape, samples, rng, watched=part.rows)


def _draw(part: Explained, drawn: npt.NDArray[np.uint16], cells: CellStatistics, draws: Draws) -> None:
    weight, size = drawn.astype(np.float64), part.size
    if weight.sum() == 0:
        return
    importance = (weight @ size.reshape(len(size), -1) / weight.sum()).reshape(size.shape[1:])
    draws["importance"].append(importance.sum(axis=0))
    if part.examples.n:
        levels = _levels(importance)
        for level, values in _measures(cells).items():
            ranks = _centred_ranks(levels[level])
            for name in COMPARED:
                draws.setdefault(f"{level}|{name}", []).append(_correlation(ranks, _centred_ranks(values[name])))


def _variable_rows(condition: str, part: Explained, variables: tuple[Variable, ...], draws: Doubles) -> pl.DataFrame:
    cells, rise = part.attributions.cells, np.abs(part.attributions.rise).mean()
    importance = np.abs(cells).mean(axis=0).sum(axis=0)
    low, high = around(importance, draws.reshape(len(draws), len(variables)), floor=0.0)
    columns = {
        "condition": [condition] * len(variables),
        "variable": [variable.name for variable in variables],
        "stays": np.full(len(variables), len(cells)),
        "importance": importance,
        "low": low,
        "high": high,
        "towards_death": cells.mean(axis=0).sum(axis=0),
        "quadrature_error": np.full(len(variables), np.abs(part.attributions.error).mean() / max(rise, 1e-12)),
    }
    return pl.DataFrame(columns, schema=IMPORTANCE_SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None))


def _cell_rows(condition: str, part: Explained, variables: tuple[Variable, ...]) -> pl.DataFrame:
    n_stays, n_hours, n_variables = part.attributions.cells.shape
    columns = {
        "condition": [condition] * (n_hours * n_variables),
        "hour": np.repeat(np.arange(n_hours, dtype=np.int16), n_variables),
        "variable": [variable.name for variable in variables] * n_hours,
        "stays": np.full(n_hours * n_variables, n_stays),
        "importance": np.abs(part.attributions.cells).mean(axis=0).ravel(),
        "towards_death": part.attributions.cells.mean(axis=0).ravel(),
    }
    return pl.DataFrame(columns, schema=IMPORTANCE_CELLS_SCHEMA)


def _agreement_rows(condition: str, part: Explained, cells: CellStatistics, draws: Draws) -> pl.DataFrame:
    levels, measures = _levels(part.size.mean(axis=0)), _measures(cells)
    rows: list[tuple[Any, ...]] = []
    for level in LEVELS:
        for name in COMPARED:
            value = spearman(levels[level], measures[level][name])
            low, high = _correlation_interval(value, np.array(draws.get(f"{level}|{name}", [])))
            rows.append((condition, level, name, len(levels[level]), value, low, high))
    frame = pl.DataFrame(rows, schema=AGREEMENT_SCHEMA, orient="row")
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def _correlation_interval(value: float, draws: Doubles) -> tuple[float, float]:
    """Return the bounds on Fisher's scale (arctanh), so that they stay within -1 and 1."""
    inside = 1 - 1e-9
    centre = np.arctanh(np.clip(np.array([value]), -inside, inside))
    low, high = around(centre, np.arctanh(np.clip(draws, -inside, inside))[:, None])
    return float(np.tanh(low[0])), float(np.tanh(high[0]))
