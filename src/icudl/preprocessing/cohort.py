"""Which stays are studied, and how many each criterion removed."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import polars as pl

from icudl.artifacts import FLOW_SCHEMA, SourceTables
from icudl.artifacts.data.outcome import HOSPITAL_DEATH_EVENT
from icudl.errors import SourceError
from icudl.options import Options, option
from icudl.preprocessing.grid import window_lengths
from icudl.preprocessing.outcome import OutcomeOptions, start_of_outcome, unknown_criterion, with_labels


@dataclasses.dataclass(frozen=True, kw_only=True)
class CohortOptions(Options):
    """Criteria of the cohort, applied in this order and counted in the attrition table."""

    table: ClassVar[str] = "cohort"

    min_age_years: float = option(
        18.0,
        "Youngest age at ICU admission, in years. Above 0, stays of unknown age are left out.",
        low=0,
        high=120,
    )
    min_stay_hours: float = option(
        -1.0,
        "Shortest ICU stay in hours; -1 means the length of the window and of outcome.gap_hours. A shorter one gives "
        "shorter sequences.",
        low=-1,
        high=8760,
    )
    alive_at_window_end: bool = option(
        True,
        "Leave out patients who died inside the window: the model predicts at its end, for patients who are alive.",
    )
    first_stay_only: bool = option(False, "Keep only the first ICU stay of each patient.")
    min_measured_values: int = option(1, "Fewest hourly values charted inside the window.", low=0, high=100_000)


def select_cohort(
    tables: SourceTables, options: CohortOptions, outcome: OutcomeOptions | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Apply the criteria one after the other.

    1. age at ICU admission at least ``min_age_years``; an unknown age does not meet a criterion above 0;
    2. ICU stay of at least ``min_stay_hours``, by the clock; a stay of unknown length is left out;
    3. ``alive_at_window_end``: death at exactly the end of the window (and of ``outcome.gap_hours``) is death inside
       it. Where the source does not tell the time of death nobody is left out;
    4. an outcome of the hospital's own whose hour is told comes about later than that;
    5. ``first_stay_only``: the patient's first ICU stay in the source, whether or not it met the other criteria;
    6. the outcome is known, unless it is death in hospital, which must be known of every stay, or the length of the
       stay;
    7. at least ``min_measured_values`` cells (stay, hour, variable) with a value, inside the window and the stay.

    Args:
        tables: Stays and hourly means from a source.
        options: The criteria.
        outcome: What is predicted; death in hospital unless another is asked for.

    Returns:
        The stays left (``STAYS_SCHEMA`` and the column label, sorted by stay_id) and the attrition table
        (``FLOW_SCHEMA``), whose first row is "all ICU stays"; a criterion that is off has no row.

    Raises:
        SourceError: No stay is left, a stay id occurs twice, or an outcome is unknown.
    """
    outcome = outcome or OutcomeOptions()
    stays = with_labels(tables, outcome)
    _check_stays(stays, outcome)
    flow = [_count("all ICU stays", stays, stays)]
    for criterion, condition in _criteria(tables, options, outcome):
        left = stays.filter(condition)
        flow.append(_count(criterion, stays, left))
        stays = left
    table = pl.DataFrame(flow, schema=dict(FLOW_SCHEMA), orient="row")
    if stays.is_empty():
        raise SourceError(
            f"The cohort is empty. Stays left after each criterion: {_describe(table)}. "
            "Expected at least one; relax the [cohort] criteria or check source.path."
        )
    return stays.drop("dead_hours", "known_hours"), table


def _criteria(tables: SourceTables, options: CohortOptions, outcome: OutcomeOptions) -> list[tuple[str, pl.Expr]]:
    begin = start_of_outcome(tables.window_hours, outcome)
    shortest = begin if options.min_stay_hours < 0 else options.min_stay_hours
    criteria = [(f"ICU stay of at least {shortest:g} h", pl.col("stay_hours") >= shortest)]
    if options.min_age_years > 0:
        criteria.insert(0, (f"age at least {options.min_age_years:g}", pl.col("age_years") >= options.min_age_years))
    if options.alive_at_window_end:
        alive = pl.col("dead_hours").is_null() | (pl.col("dead_hours") > begin)
        criteria.append((f"alive at hour {begin:g}", alive))
    if "column_hours" in tables.outcomes.columns and outcome.event == "column":
        late = pl.col("known_hours").is_null() | (pl.col("known_hours") > begin)
        criteria.append((f"without the outcome at hour {begin:g}", late))
    if options.first_stay_only:
        criteria.append(("first ICU stay of the patient", pl.col("stay_number") == 1))
    if unknown := unknown_criterion(outcome):
        criteria.append((unknown, pl.col("label").is_not_null()))
    if options.min_measured_values > 0:
        enough = pl.col("stay_id").is_in(_measured_stays(tables, options.min_measured_values).implode())
        noun = "value" if options.min_measured_values == 1 else "values"
        criteria.append((f"at least {options.min_measured_values} hourly {noun} charted in the window", enough))
    return criteria


def _measured_stays(tables: SourceTables, fewest: int) -> pl.Series:
    ends = tables.stays.select(
        "stay_id", end=pl.Series(window_lengths(tables.stays, tables.window_hours), dtype=pl.Int16)
    )
    cells = tables.hours.select("stay_id", "hour").join(ends, on="stay_id")
    counts = cells.filter(pl.col("hour") < pl.col("end")).group_by("stay_id").len()
    return counts.filter(pl.col("len") >= fewest)["stay_id"]


def _check_stays(stays: pl.DataFrame, outcome: OutcomeOptions) -> None:
    repeated = stays.filter(stays["stay_id"].is_duplicated())["stay_id"]
    if not repeated.is_empty():
        raise SourceError(f"Stay {repeated[0]} occurs more than once. Expected one row per ICU stay; check the source.")
    unknown = stays.filter(pl.col("label").is_null())["stay_id"]
    if outcome.event == HOSPITAL_DEATH_EVENT and len(unknown):
        raise SourceError(f"Stay {unknown[0]} has no outcome. Expected died to be true or false; check the source.")


def _count(criterion: str, before: pl.DataFrame, after: pl.DataFrame) -> tuple[Any, ...]:
    removed = before.height - after.height
    return criterion, removed, after.height, after["patient_id"].n_unique(), int(after["label"].sum())


def _describe(flow: pl.DataFrame) -> str:
    return "; ".join(f"{row['criterion']}: {row['stays']}" for row in flow.iter_rows(named=True))
