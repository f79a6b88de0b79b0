"""The hours and variables that predictions depend on: all tables of a ``SusceptibilityResult``.

Everywhere ``condition`` is ``"survival_to_death"`` or ``"death_to_survival"``, and ``example`` is ``"first"`` (found
first) or ``"best"``. Magnitudes are in unit coordinates, where 0 and 1 are a variable's winsor limits; columns that end
in ``_clinical`` are in the variable's unit. Shares lie between 0 and 1. Columns ``x_low`` and ``x_high`` bound the 95 %
interval of ``x``. A value that is undefined (no stays, no changes) is null. Formulas: ``measures``.

``cells`` (one row per condition, example, hour and variable; all T * F of them)
    ``stays`` N; ``changed`` how many of them have a change there; ``raised`` share of these changes that are increases;
    ``gmp, gap, gpp, s, ganzp, sensitivity``; ``gmp_clinical, gap_clinical, s_clinical, ganzp_clinical,
    sensitivity_clinical``.
``variables`` (one row per condition, example and variable)
    ``unit, stays``; ``touched`` share of stays with a change of the variable at any hour; ``raised``; ``s`` and
    ``sensitivity`` are sums over hours, ``gmp, gap, gpp, ganzp`` are those of the pooled hours; all with bootstrap
    intervals but ``raised`` and ``gmp``; the clinical ones as in ``cells``.
``hours`` (one row per condition, example and hour)
    As ``variables``, summed or pooled over variables; without clinical columns, because units differ.
``summary`` (one row per condition and example, and ``condition = "both"``)
    ``attacked, flipped, success`` (Wilson's interval); ``stays`` N after the filters; mean and median of ``l0, l1, l2,
    linf`` (``l0_mean``, ``l0_median``, ...), median ``iteration`` of discovery; ``gap, gpp, ganzp`` of all cells.
``statuses``
    ``label, status, stays, share`` of the label's stays: the status of every considered stay, before any filter.
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

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from icudl.analysis import examples as of_examples
from icudl.analysis.conditions import CONDITIONS, EXAMPLES, ExampleSet, attacked_stays, example_sets
from icudl.analysis.intervals import around
from icudl.analysis.measures import MEASURES, CellStatistics, Doubles, along, ganzp, gap, gpp
from icudl.analysis.options import AnalysisOptions
from icudl.analysis.set_statistics import WITH_INTERVAL, SetStatistics, Streams, read_statistics
from icudl.artifacts import AttackResult, SusceptibilityResult
from icudl.variables import Variable

CLINICAL = ("gmp", "gap", "s", "ganzp", "sensitivity")
SHARES = ("touched", "gpp")


def analyse_attack(
    attack: AttackResult,
    options: AnalysisOptions,
    streams: Streams,
    thresholds: Mapping[str, float] | None = None,
    advance: Callable[[int], None] = lambda _units: None,
) -> SusceptibilityResult:
    """Compute all tables of the module's documentation.

    Args:
        attack: The examples that the attack found; it may have found none.
        options: Filters and number of resamples.
        streams: Returns the random stream for the bootstrap of a condition and example.
        thresholds: Decision threshold by member; see ``conditions.attacked_stays``.
        advance: Called with the number of changes read; see ``set_statistics.units_of_reading``.
    """
    attacked = attacked_stays(attack, options, thresholds)
    sets = example_sets(attacked, attack, options)
    statistics = read_statistics(sets, attack, options.bootstrap_samples, streams, advance)
    tables = {
        "cells": pl.concat(cell_table(each, attack.variables) for each in statistics),
        "variables": pl.concat(variable_table(each, attack.variables) for each in statistics),
        "hours": pl.concat(hour_table(each) for each in statistics),
        "summary": summary_table(attacked, statistics),
        "statuses": of_examples.statuses(attack),
        "discovery": of_examples.discovery(attacked),
        "perturbation_properties": pl.concat(each.properties for each in statistics),
        "smallest_change": of_examples.smallest_change(attacked),
        "budget": of_examples.success_against_budget(attacked),
        "fragility": of_examples.fragility(attacked),
    }
    return SusceptibilityResult(tables=tables)


def cell_table(statistics: SetStatistics, variables: Sequence[Variable]) -> pl.DataFrame:
    """Return the ``cells`` rows of one example set."""
    examples = statistics.examples
    hours, n_variables = examples.shape
    columns: dict[str, Any] = {
        "hour": np.repeat(np.arange(hours, dtype=np.int16), n_variables),
        "variable": [variable.name for variable in variables] * hours,
        "stays": np.full(hours * n_variables, examples.n),
        "changed": statistics.unit.changed.ravel().astype(np.int64),
        "raised": _share(statistics.increases, statistics.unit.changed).ravel(),
    }
    columns |= {name: of_cells(statistics.unit).ravel() for name, of_cells in MEASURES.items()}
    columns |= {f"{name}_clinical": MEASURES[name](statistics.clinical).ravel() for name in CLINICAL}
    return _labelled(examples, columns)


def variable_table(statistics: SetStatistics, variables: Sequence[Variable]) -> pl.DataFrame:
    """Return the ``variables`` rows of one example set, with bootstrap intervals over stays."""
    names = {"variable": [each.name for each in variables], "unit": [each.unit for each in variables]}
    clinical = along(statistics.clinical, axis=0)
    columns = names | _marginal_columns(statistics, axis=0)
    columns |= {f"{name}_clinical": clinical[name] for name in CLINICAL}
    return _labelled(statistics.examples, columns)


def hour_table(statistics: SetStatistics) -> pl.DataFrame:
    """Return the ``hours`` rows of one example set, with bootstrap intervals over stays."""
    hours = {"hour": np.arange(statistics.examples.shape[0], dtype=np.int16)}
    return _labelled(statistics.examples, hours | _marginal_columns(statistics, axis=1))


def summary_table(attacked: pl.DataFrame, statistics: Sequence[SetStatistics]) -> pl.DataFrame:
    """Return the ``summary`` table."""
    rows: list[dict[str, Any]] = []
    for condition in (*CONDITIONS, "both"):
        stays = attacked if condition == "both" else attacked.filter(pl.col("condition") == condition)
        for example in EXAMPLES:
            chosen = [
                each
                for each in statistics
                if each.examples.example == example and condition in {each.examples.condition, "both"}
            ]
            rows.append(
                {"condition": condition, "example": example} | of_examples.success(stays) | _described(chosen, example)
            )
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col(pl.Null).cast(pl.Float64))


def _described(statistics: Sequence[SetStatistics], example: str) -> dict[str, Any]:
    wanted = [*(f"{example}_{norm}" for norm in of_examples.NORMS), f"{example}_iteration"]
    stays = pl.concat(each.examples.stays.select(wanted) for each in statistics)
    described: dict[str, Any] = {"stays": stays.height}
    for norm in of_examples.NORMS:
        sizes = stays[f"{example}_{norm}"].cast(pl.Float64).drop_nulls()
        # Exact sums: the last bits of other sums depend on how threads divide the column.
        described[f"{norm}_mean"] = math.fsum(sizes) / len(sizes) if len(sizes) else None
        described[f"{norm}_median"] = sizes.median()
    described["iteration"] = stays[f"{example}_iteration"].cast(pl.Float64).median()
    parts = [each.unit.pooled() for each in statistics]
    pooled = CellStatistics(
        n=sum(part.n for part in parts),
        changed=np.sum([part.changed for part in parts], axis=0),
        total=np.sum([part.total for part in parts], axis=0),
        largest=np.max([part.largest for part in parts], axis=0),
    )
    for name, of_cells in {"gap": gap, "gpp": gpp, "ganzp": ganzp}.items():
        value = float(of_cells(pooled))
        described[name] = None if np.isnan(value) else value
    return described


def _marginal_columns(statistics: SetStatistics, axis: int) -> dict[str, Any]:
    touched = statistics.touched[axis]
    raised = _share(statistics.increases.sum(axis), statistics.unit.changed.sum(axis))
    marginal = {
        "stays": np.full(len(raised), statistics.examples.n),
        "raised": raised,
        "touched": _share(touched, np.full(len(raised), float(statistics.examples.n))),
    } | along(statistics.unit, axis)
    return marginal | _bounds(marginal, statistics.draws[axis])


def _bounds(marginal: Mapping[str, Any], draws: Doubles) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for row, name in enumerate(WITH_INTERVAL):
        ceiling = 1.0 if name in SHARES else np.inf
        low, high = around(marginal[name], draws[:, row], floor=0.0, ceiling=ceiling)
        columns |= {f"{name}_low": low, f"{name}_high": high}
    return columns


def _share(part: Doubles, whole: Doubles) -> Doubles:
    share = np.full(part.shape, np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _labelled(examples: ExampleSet, columns: Mapping[str, Any]) -> pl.DataFrame:
    frame = pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))
    labels = (pl.lit(examples.condition).alias("condition"), pl.lit(examples.example).alias("example"))
    return frame.select(*labels, *frame.columns)
