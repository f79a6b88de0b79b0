"""Preprocess: cohort, dense arrays, statics, test split and folds. Nothing is imputed or scaled here."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from icudl.artifacts import Floats, GridDataset, SourceTables
from icudl.execution.context import RunContext
from icudl.preprocessing.cohort import CohortOptions, select_cohort
from icudl.preprocessing.grid import densify, window_lengths
from icudl.preprocessing.leaks import cautions
from icudl.preprocessing.outcome import OutcomeOptions, described
from icudl.preprocessing.splits import Role, SplitOptions, hold_out_all, split_patients


def preprocess(
    tables: SourceTables,
    cohort: CohortOptions,
    split: SplitOptions,
    context: RunContext,
    role: Role | str = Role.MAIN,
    outcome: OutcomeOptions | None = None,
) -> GridDataset:
    """Select the cohort, lay its hours out as arrays, divide it by patient.

    An external data set is not divided: all its stays are test stays, no stay belongs to a fold, and the options of
    the split are ignored.

    Args:
        tables: Stays and hourly means from a source.
        cohort: Criteria.
        split: Test split and folds of a main data set.
        context: Provides the random stream of the split.
        role: What the data set is for.
        outcome: What is predicted; death in hospital unless another is asked for.

    Raises:
        SourceError: The cohort is empty, or the outcome of a stay is unknown.
        StageError: The cohort cannot be divided as asked, or the hours are not as declared.
        ValueError: ``role`` is unknown.
        ConfigError: ``split.test_sets`` names an unknown set.
    """
    role, outcome = Role(role), outcome or OutcomeOptions()
    with context.progress.task("Preparing the grid", total=3, unit="steps") as bar:
        labelled, flow = select_cohort(tables, cohort, outcome)
        stays = labelled.drop("label")
        bar.advance()
        values, counts = densify(tables, stays)
        bar.advance()
        labels = labelled["label"].to_numpy().astype(np.int8)
        if role is Role.EXTERNAL:
            is_test, folds = hold_out_all(stays.height)
        else:
            is_test, folds = split_patients(
                stays["patient_id"].to_numpy(),
                labels,
                tuple(stays["source_set"].to_list()),
                split,
                context.rng("split"),
            )
        statics, static_names = static_descriptors(stays)
        bar.advance()
    grid = GridDataset(
        values=values,
        counts=counts,
        lengths=window_lengths(stays, tables.window_hours),
        labels=labels,
        statics=statics,
        static_names=static_names,
        stays=stays,
        is_test=is_test,
        folds=folds,
        flow=flow,
        variables=tables.variables,
        population=tables.population,
        outcome=described(outcome),
    )
    return dataclasses.replace(grid, cautions=cautions(grid))


def static_descriptors(stays: pl.DataFrame) -> tuple[Floats, tuple[str, ...]]:
    """Return (N, S) float32 descriptors known at ICU admission and their names; NaN where unknown.

    age_years, sex_male (1 or 0), height_cm, weight_kg, then one column ``icu_type=NAME`` per type of ICU, sorted.
    """
    levels = stays["icu_type"].drop_nulls().unique().sort().to_list()
    columns = [
        pl.col("age_years"),
        (pl.col("sex") == "M").alias("sex_male"),
        pl.col("height_cm"),
        pl.col("weight_kg"),
        *[(pl.col("icu_type") == level).alias(f"icu_type={level}") for level in levels],
    ]
    table = stays.select(columns).cast(pl.Float32).fill_null(float("nan"))
    return np.ascontiguousarray(table.to_numpy()), tuple(table.columns)
