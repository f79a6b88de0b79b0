"""Where predictions hang: all tables of a ``SusceptibilityResult``.

Everywhere ``condition`` is ``"survival_to_death"`` or ``"death_to_survival"`` and ``example`` is ``"first"`` (the first
one met) or ``"best"``. Magnitudes are in unit coordinates, where 0 and 1 are a variable's winsor limits; columns that
end in ``_clinical`` are in the variable's unit. Shares lie between 0 and 1. Columns ``x_low`` and ``x_high`` bound the
95 % interval of ``x``. Where nothing can be said (no stays, nothing changed) a value is null. Formulas: ``measures``.

``cells`` (one row per condition, example, hour and variable; all T * F of them)
    ``stays`` N; ``changed`` how many of them have a change there; ``raised`` share of these changes that are increases;
    ``gmp, gap, gpp, s, ganzp, sensitivity``; ``gmp_clinical, gap_clinical, s_clinical, ganzp_clinical,
    sensitivity_clinical``.
``variables`` (one row per condition, example and variable)
    ``unit, stays``; ``touched`` share of stays with a change of the variable at any hour; ``raised``; ``s`` and
    ``sensitivity`` are sums over hours, ``gmp, gap, gpp, ganzp`` are those of the pooled hours; all with bootstrap
    intervals but ``raised`` and ``gmp``; the clinical ones as in ``cells``.
``hours`` (one row per condition, example and hour)
    As ``variables``, summed or pooled over variables; nothing clinical, for units differ.
``summary`` (one row per condition and example, and ``condition = "both"``)
    ``attacked, flipped, success`` (Wilson's interval); ``stays`` N after the filters; mean and median of ``l0, l1, l2,
    linf`` (``l0_mean``, ``l0_median``, ...), median ``iteration`` of discovery; ``gap, gpp, ganzp`` of all cells.
``statuses``
    ``label, status, stays, share`` of the label's stays: what became of every stay considered, before any filter.
``discovery``
    ``condition, example, iteration, found, attacked, share``: examples found up to and including that iteration.
``perturbation_properties`` (one row per stay and example)
    ``stay_id, number`` of changed cells, their ``share`` of the stay's length * F cells; ``sum, mean, largest,
    smallest`` magnitude of the changed cells; ``positive`` share of them that are increases.
``smallest_change``
    ``condition, changed, stays, attacked, share, cumulative``: stays whose sparser example changes so many values.
``budget``
    ``condition, example, norm, budget, flipped, attacked, share, low, high``: success against the size allowed.
``fragility`` (one row per attacked stay, most fragile first)
    ``rank, stay_id, condition, status, label, member, split, length, probability_before, probability_after, changed,
    l1, linf, best_iteration``.

The filter on length applies to all tables but ``statuses``; those on the number of changed cells apply to ``cells``,
``variables``, ``hours``, ``perturbation_properties`` and the examples described in ``summary``.
``importance`` and ``agreement`` are added by ``icudl.analysis.importance``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis import examples as of_examples
from icudl.analysis.conditions import CONDITIONS, EXAMPLES, ExampleSet, attacked_stays, example_sets
from icudl.analysis.intervals import around, resamples
from icudl.analysis.measures import MEASURES, CellStatistics, along, cell_statistics, ganzp, gap, gpp
from icudl.analysis.options import AnalysisOptions
from icudl.artifacts import AttackResult, SusceptibilityResult
from icudl.variables import Variable

CLINICAL = ("gmp", "gap", "s", "ganzp", "sensitivity")
SHARES = ("touched", "gpp")
WITH_INTERVAL = ("touched", "gap", "gpp", "s", "ganzp", "sensitivity")

Streams = Callable[[str, str], np.random.Generator]
"""Gives the random stream of a condition and example."""


def analyse_attack(
    attack: AttackResult,
    options: AnalysisOptions,
    streams: Streams,
    thresholds: Mapping[str, float] | None = None,
    advance: Callable[[int], None] = lambda _units: None,
) -> SusceptibilityResult:
    """Compute all tables of the module's documentation.

    Args:
        attack: Examples found; none is a legal number of examples.
        options: Filters and number of resamples.
        streams: Random stream for the bootstrap of a condition and example.
        thresholds: Decision threshold by member; see ``conditions.attacked_stays``.
        advance: Called four times with 1, once per condition and example.
    """
    attacked = attacked_stays(attack, options, thresholds)
    sets = list(example_sets(attacked, attack, options))
    parts: dict[str, list[pl.DataFrame]] = {"cells": [], "variables": [], "hours": []}
    for each in sets:
        parts["cells"].append(cell_table(each, attack.variables))
        rng = streams(each.condition, each.example)
        variables, hours = marginal_tables(each, attack.variables, options.bootstrap_samples, rng)
        parts["variables"].append(variables)
        parts["hours"].append(hours)
        advance(1)
    tables = {name: pl.concat(frames) for name, frames in parts.items()} | {
        "summary": summary_table(attacked, sets),
        "statuses": of_examples.statuses(attack.stays),
        "discovery": of_examples.discovery(attacked),
        "perturbation_properties": of_examples.perturbation_properties(sets),
        "smallest_change": of_examples.smallest_change(attacked),
        "budget": of_examples.success_against_budget(attacked),
        "fragility": of_examples.fragility(attacked),
    }
    return SusceptibilityResult(tables=tables)


def statistics_of(
    examples: ExampleSet, *, clinical: bool = False, drawn: npt.NDArray[np.int64] | None = None
) -> CellStatistics:
    """Return the cell statistics of an example set, in unit coordinates or clinical units, or of a resample of it.

    Args:
        examples: The examples of N stays.
        clinical: Take magnitudes in the variables' units.
        drawn: (N,) how often each stay is drawn.
    """
    return cell_statistics(
        examples.hour,
        examples.variable,
        np.abs(examples.clinical if clinical else examples.change),
        n_stays=examples.n,
        shape=examples.shape,
        weight=None if drawn is None else drawn[examples.row],
    )


def cell_table(examples: ExampleSet, variables: Sequence[Variable]) -> pl.DataFrame:
    """Return the ``cells`` rows of one example set."""
    hours, n_variables = examples.shape
    unit, clinical = statistics_of(examples), statistics_of(examples, clinical=True)
    columns: dict[str, Any] = {
        "hour": np.repeat(np.arange(hours, dtype=np.int16), n_variables),
        "variable": [variable.name for variable in variables] * hours,
        "stays": np.full(hours * n_variables, examples.n),
        "changed": unit.changed.ravel().astype(np.int64),
        "raised": _share(_increases(examples), unit.changed).ravel(),
    }
    columns |= {name: measure(unit).ravel() for name, measure in MEASURES.items()}
    columns |= {f"{name}_clinical": MEASURES[name](clinical).ravel() for name in CLINICAL}
    return _labelled(examples, columns)


def marginal_tables(
    examples: ExampleSet, variables: Sequence[Variable], samples: int, rng: np.random.Generator
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the ``variables`` and ``hours`` rows of one example set, with bootstrap intervals over stays."""
    names = {"variable": [each.name for each in variables], "unit": [each.unit for each in variables]}
    hours = {"hour": np.arange(examples.shape[0], dtype=np.int16)}
    clinical = along(statistics_of(examples, clinical=True), axis=0)
    marginals = [_marginal_columns(examples, axis) for axis in (0, 1)]
    draws = _bootstrap(examples, samples, rng)
    of_variables = names | marginals[0] | _bounds(marginals[0], draws[0])
    of_variables |= {f"{name}_clinical": clinical[name] for name in CLINICAL}
    of_hours = hours | marginals[1] | _bounds(marginals[1], draws[1])
    return _labelled(examples, of_variables), _labelled(examples, of_hours)


def summary_table(attacked: pl.DataFrame, sets: Sequence[ExampleSet]) -> pl.DataFrame:
    """Return the ``summary`` table."""
    rows: list[dict[str, Any]] = []
    for condition in (*CONDITIONS, "both"):
        stays = attacked if condition == "both" else attacked.filter(pl.col("condition") == condition)
        for example in EXAMPLES:
            chosen = [each for each in sets if each.example == example and condition in {each.condition, "both"}]
            rows.append(
                {"condition": condition, "example": example} | of_examples.success(stays) | _described(chosen, example)
            )
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col(pl.Null).cast(pl.Float64))


def _described(sets: Sequence[ExampleSet], example: str) -> dict[str, Any]:
    stays = pl.concat([each.stays for each in sets])
    described: dict[str, Any] = {"stays": stays.height}
    for norm in of_examples.NORMS:
        sizes = stays[f"{example}_{norm}"].cast(pl.Float64)
        described[f"{norm}_mean"], described[f"{norm}_median"] = sizes.mean(), sizes.median()
    described["iteration"] = stays[f"{example}_iteration"].cast(pl.Float64).median()
    parts = [statistics_of(each).pooled() for each in sets]
    pooled = CellStatistics(
        n=sum(part.n for part in parts),
        changed=np.sum([part.changed for part in parts], axis=0),
        total=np.sum([part.total for part in parts], axis=0),
        largest=np.max([part.largest for part in parts], axis=0),
    )
    for name, measure in {"gap": gap, "gpp": gpp, "ganzp": ganzp}.items():
        value = float(measure(pooled))
        described[name] = None if np.isnan(value) else value
    return described


def _marginal_columns(examples: ExampleSet, axis: int) -> dict[str, Any]:
    cells = statistics_of(examples)
    raised = _share(_increases(examples).sum(axis), cells.changed.sum(axis))
    touched = np.bincount(_touches(examples, axis)[1], minlength=len(raised)).astype(np.float64)
    return {
        "stays": np.full(len(raised), examples.n),
        "raised": raised,
        "touched": _share(touched, np.full(len(raised), float(examples.n))),
    } | along(cells, axis)


def _touches(examples: ExampleSet, axis: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return each pair of a stay's row and a variable (``axis`` 0) or hour (1) that it has changed, once."""
    index, size = (examples.variable, examples.shape[1]) if axis == 0 else (examples.hour, examples.shape[0])
    pairs = np.unique(examples.row * size + index)
    return pairs // size, pairs % size


def _bootstrap(
    examples: ExampleSet, samples: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return draws of ``WITH_INTERVAL`` for variables and for hours: each (samples, measures, variables or hours)."""
    draws: tuple[list[npt.NDArray[np.float64]], ...] = ([], [])
    touches = [_touches(examples, axis) for axis in (0, 1)]
    for drawn in resamples(examples.n, samples, rng) if examples.n > 1 else ():
        cells = statistics_of(examples, drawn=drawn)
        for axis in (0, 1):
            rows, index = touches[axis]
            touched = np.bincount(index, drawn[rows], examples.shape[1 - axis])
            values = {"touched": touched / examples.n} | along(cells, axis)
            draws[axis].append(np.stack([values[name] for name in WITH_INTERVAL]))
    of_variables, of_hours = (
        np.stack(draws[axis]) if draws[axis] else np.empty((0, len(WITH_INTERVAL), examples.shape[1 - axis]))
        for axis in (0, 1)
    )
    return of_variables, of_hours


def _bounds(marginal: Mapping[str, Any], draws: npt.NDArray[np.float64]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for row, name in enumerate(WITH_INTERVAL):
        ceiling = 1.0 if name in SHARES else np.inf
        low, high = around(marginal[name], draws[:, row], floor=0.0, ceiling=ceiling)
        columns |= {f"{name}_low": low, f"{name}_high": high}
    return columns


def _increases(examples: ExampleSet) -> npt.NDArray[np.float64]:
    cell = (examples.hour * examples.shape[1] + examples.variable)[examples.change > 0]
    counted = np.bincount(cell, minlength=examples.shape[0] * examples.shape[1])
    return counted.reshape(examples.shape).astype(np.float64)


def _share(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    share = np.full(part.shape, np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _labelled(examples: ExampleSet, columns: Mapping[str, Any]) -> pl.DataFrame:
    frame = pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))
    labels = (pl.lit(examples.condition).alias("condition"), pl.lit(examples.example).alias("example"))
    return frame.select(*labels, *frame.columns)
