"""Section of the page: who was studied, who was left out, what was cleaned."""

from __future__ import annotations

import numpy as np
import polars as pl

from icudl.analysis.numbers.cohorts.coverage import how_often_measured
from icudl.artifacts import GridDataset, SourceTables
from icudl.report.charts.descriptions import Axis, Dot, Dots
from icudl.report.elements import Block, Entry, Figure, Note, Section, Table
from icudl.report.study import MAIN, DataResults
from icudl.report.wording import columns, count, entry, number, numeric, percent, row

SPLITS = (("Training folds", False), ("Held-out test", True))
EXTERNAL = (("External stays", True),)


def cohort_section(data: DataResults) -> Section:
    """Tell who was studied in one data set."""
    tables, grid = data.tables, data.grid
    external = data.role != MAIN
    source_stays = tables.stays.height
    lead = (
        (
            f"The source holds {source_stays:,} ICU stays of {tables.stays['patient_id'].n_unique():,} patients "
            f"(population: {grid.population}). "
            f"After the criteria below, {len(grid.labels):,} stays remain. The window is the first "
            f"{tables.window_hours} hours after ICU admission; nothing charted later is seen by the model. "
            f"The outcome is {grid.outcome.phrase}."
        ),
        (
            "This data set is external: nothing was fitted on it. The final model of each training was scored and "
            "attacked on all of its stays."
            if external
            else "All stays of a patient are on the same side of every split, so that no patient is known to the model "
            "that is judged on them."
        ),
    )
    blocks: list[Block] = [*(Note(text, "warning") for text in grid.cautions), _flow(grid)]
    folded: list[Block] = [_splits(grid, external=external), _measured(grid)]
    if tables.cleaning.height:
        folded.append(_cleaning(tables))
    section = Section("cohort", "Who was studied", "Cohort", lead, tuple(blocks), tuple(folded))
    return section.based_on(f"{data.name}: {count(len(grid.labels), 'stay')} of the cohort.")


def _flow(grid: GridDataset) -> Table:
    rows = tuple(
        row(
            line["criterion"],
            line["removed"],
            line["stays"],
            line["patients"],
            line["deaths"],
            Entry(percent(line["deaths"] / line["stays"]), line["deaths"] / line["stays"])
            if line["stays"]
            else Entry("–", None),
        )
        for line in grid.flow.iter_rows(named=True)
    )
    return Table(
        "attrition",
        "Attrition: how the cohort came about",
        columns(
            "Criterion",
            numeric("Stays removed"),
            numeric("Stays left"),
            numeric("Patients"),
            numeric("Deaths"),
            numeric("Mortality"),
        ),
        rows,
        "Each line applies one criterion to the stays that the line above left.",
    )


def _splits(grid: GridDataset, *, external: bool) -> Table:
    rows = []
    for name, test in EXTERNAL if external else SPLITS:
        chosen = grid.is_test == test
        if not chosen.any():
            continue
        deaths, stays = int(grid.labels[chosen].sum()), int(chosen.sum())
        ages = grid.stays["age_years"].to_numpy()[chosen].astype(np.float64)
        known = ages[~np.isnan(ages)]
        female = (grid.stays["sex"].filter(pl.Series(chosen)) == "F").mean()
        rows.append(
            row(
                name,
                stays,
                len(np.unique(grid.patient_ids[chosen])),
                deaths,
                Entry(percent(deaths / stays), deaths / stays),
                entry(float(np.median(known)) if len(known) else None),
                Entry(percent(float(female)), float(female)) if isinstance(female, float) else Entry("–", None),
            )
        )
    return Table(
        "splits",
        "External stays" if external else "Training and held-out stays",
        columns(
            "Part",
            numeric("Stays"),
            numeric("Patients"),
            numeric("Deaths"),
            numeric("Mortality"),
            numeric("Median age"),
            numeric("Women"),
        ),
        tuple(rows),
        f"The {'external' if external else 'test'} stays take no part in anything that is fitted: neither weights, nor "
        "limits, nor thresholds.",
    )


def _measured(grid: GridDataset) -> Figure:
    measured = how_often_measured(grid)
    notes = [
        "never charted" if median is None else f"Median: {number(median)} {variable.unit}".strip()
        for median, variable in zip(measured.medians, grid.variables, strict=True)
    ]
    return Figure(
        "measured",
        "How often each variable was measured",
        "Labs are drawn a few times a day and vital signs every hour. What was not measured is filled in before the "
        "model sees it, so a change of one charted lab value can carry over many hours.",
        Dots(
            x=Axis(label="Share", percent=True, min=0, max=1),
            rows=tuple(variable.label for variable in grid.variables),
            series=(
                Dot(
                    name="Stays with at least one value",
                    x=[round(float(value), 4) for value in measured.some],
                    notes=tuple(notes),
                ),
                Dot(name="Hours with a value", x=[round(float(value), 4) for value in measured.filled]),
            ),
            bars=True,
            sortable=True,
        ),
        size="full",
    )


def _cleaning(tables: SourceTables) -> Table:
    counts = tables.cleaning.filter(pl.col("rows") > 0)
    rules = counts["rule"].unique().sort().to_list()
    rules.sort(key=lambda rule: {"read": 0, "kept": 2}.get(rule, 1))
    touched = {(line["variable"], line["rule"]): line["rows"] for line in counts.iter_rows(named=True)}
    known = {variable.name: variable.label for variable in tables.variables}
    names = [*known, *sorted(set(counts["variable"].to_list()) - set(known))]
    rows = tuple(
        row(known.get(name, name), *(touched.get((name, rule)) for rule in rules))
        for name in names
        if any((name, rule) in touched for rule in rules)
    )
    return Table(
        "cleaning",
        "What the cleaning rules touched",
        columns("Variable", *(numeric(_words(rule)) for rule in rules)),
        rows,
        "Rows of the source by variable: how many were read, converted, repaired, left out by each rule, and kept. "
        "Rules that touched nothing are not listed.",
        filtered=True,
    )


def _words(rule: str) -> str:
    words = rule.replace("_", " ")
    return words[:1].upper() + words[1:]
