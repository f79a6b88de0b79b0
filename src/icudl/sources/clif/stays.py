"""ICU stays of CLIF: rows of ADT in an ICU that follow each other, with the outcome of the hospitalization."""

from __future__ import annotations

import dataclasses

import polars as pl

from icudl.artifacts import STAYS_SCHEMA
from icudl.errors import SourceError
from icudl.sources.clif.clock import Clock
from icudl.sources.mimic.stays import HIDDEN_AGE_YEARS
from icudl.sources.table import ids
from icudl.sources.table.reading import Notes, several

DEAD = "expired"
UNDECIDED = ("still admitted",)
UNKNOWN = ("missing", "", "unknown")
NO_OUTCOME = "no outcome: the stay is left out"
MISSING_SURVIVED = "no category of discharge, no death by discharge: a survival"
MISSING_DIED = "no category of discharge, death by discharge: a death"
DEATH_UNUSED = "time of death more than a day from discharge: that of discharge is taken"
NO_END = "no end of the ICU stay: its length is unknown"
UNREADABLE_SEX = "neither Female nor Male: unknown"

_OLDEST_VISIBLE_AGE_YEARS = 89
_SECONDS_PER_HOUR = 3600
_SECONDS_PER_DAY = 86_400


@dataclasses.dataclass(frozen=True, eq=False)
class Stays:
    """The ICU stays.

    Attributes:
        table: ``STAYS_SCHEMA``, sorted by stay_id.
        spans: stay_id, owner (the hospitalization as it is written), intime and outtime in whole seconds since 1970,
            sorted by stay_id.
        hospitals: Names of the hospitals.
    """

    table: pl.DataFrame
    spans: pl.DataFrame
    hospitals: frozenset[str]


def stays_of(
    patients: pl.DataFrame,
    hospitalizations: pl.DataFrame,
    adt: pl.DataFrame,
    clock: Clock,
    gap_hours: float,
    notes: Notes,
) -> Stays:
    """Make the ICU stays.

    * Rows of ADT whose location is an ICU are one stay if no more than ``gap_hours`` lie between them.
    * The patient died if the category of discharge is Expired. Where it is missing, a time of death up to discharge
      decides, and its absence counts as survival; both are counted. A patient who is still admitted has no outcome.
    * The time of death is the later of death_dttm and discharge if a day or less lies between them: one of the two is
      a date alone in some tables. Else it is that of discharge.
    * Age is age_at_admission; above 89 it is ``HIDDEN_AGE_YEARS``.
    * source_set is hospital_id, so that ``split.test_sets`` holds out whole hospitals.

    Args:
        patients: PATIENT.
        hospitalizations: HOSPITALIZATION.
        adt: ADT.
        clock: Reads times.
        gap_hours: ``source.gap_hours``.
        notes: Takes counts and warnings.

    Raises:
        SourceError: An id is missing or repeated, a stay lacks its hospitalization or patient, or there is none.
    """
    _require_ids(patients, "patient", "patient_id")
    _require_ids(hospitalizations, "hospitalization", "hospitalization_id")
    spans = _spans(adt, clock, gap_hours)
    patients = patients.with_columns(clock.seconds(patients, "patient", "death_dttm"))
    hospitalizations = hospitalizations.with_columns(
        clock.seconds(hospitalizations, "hospitalization", "discharge_dttm")
    )
    for frame, others, column, table in (
        (spans, hospitalizations, "hospitalization_id", "hospitalization"),
        (spans.join(hospitalizations, on="hospitalization_id"), patients, "patient_id", "patient"),
    ):
        lost = frame.join(others, on=column, how="anti")
        if len(lost):
            raise SourceError(
                f"{several(len(lost), 'ICU stay')} of adt, the first of {column} {lost[column][0]}, "
                f"{'has' if len(lost) == 1 else 'have'} no row in {table}. Give all tables of one data set."
            )
    joined = spans.join(hospitalizations, on="hospitalization_id").join(patients, on="patient_id")
    return _finished(_numbered(_with_outcome(joined, notes)), notes)


def _require_ids(frame: pl.DataFrame, table: str, column: str) -> None:
    if frame[column].null_count():
        raise SourceError(f"{several(frame[column].null_count(), 'row')} of {table} without {column}. Each needs one.")
    twice = frame.filter(pl.col(column).is_duplicated())[column]
    if len(twice):
        raise SourceError(
            f"{table} has {column} {twice[0]} more than once ({twice.n_unique()} ids are repeated). Expected one row "
            "each: remove the repeated rows."
        )


def _spans(adt: pl.DataFrame, clock: Clock, gap_hours: float) -> pl.DataFrame:
    """Return hospitalization_id, intime, outtime, icu_type and hospital_id of each ICU stay."""
    icu = adt.filter(pl.col("location_category").str.strip_chars().str.to_lowercase() == "icu")
    if icu.is_empty():
        raise SourceError("No row of adt has the location_category icu. Expected ICU stays: check the categories.")
    if icu["hospitalization_id"].null_count():
        raise SourceError("A row of adt in an ICU has no hospitalization_id. Each needs one.")
    timed = icu.with_columns(clock.seconds(icu, "adt", "in_dttm"), clock.seconds(icu, "adt", "out_dttm"))
    timeless = timed.filter(pl.col("in_dttm").is_null())
    if len(timeless):
        raise SourceError(
            f"adt has no in_dttm for an ICU row of hospitalization {timeless['hospitalization_id'][0]}. Each needs one."
        )
    backwards = timed.filter(pl.col("out_dttm") < pl.col("in_dttm"))
    if len(backwards):
        raise SourceError(
            f"An ICU row of hospitalization {backwards['hospitalization_id'][0]} ends before it begins. Correct adt."
        )
    ordered = timed.sort("hospitalization_id", "in_dttm", "out_dttm", nulls_last=True)
    until = pl.col("out_dttm").cum_max().shift(1).over("hospitalization_id")
    begins = (pl.col("in_dttm") - until > gap_hours * _SECONDS_PER_HOUR).fill_null(value=True)
    numbered = ordered.with_columns(part=begins.cum_sum().over("hospitalization_id"))
    is_open = pl.col("out_dttm").is_null().any()
    return numbered.group_by("hospitalization_id", "part", maintain_order=True).agg(
        intime=pl.col("in_dttm").first(),
        outtime=pl.when(~is_open).then(pl.col("out_dttm").max()),
        icu_type=pl.coalesce("location_type", "location_name").first(),
        hospital_id=pl.col("hospital_id").first(),
    )


def _with_outcome(stays: pl.DataFrame, notes: Notes) -> pl.DataFrame:
    category = pl.col("discharge_category").str.strip_chars().str.to_lowercase().fill_null("")
    death, discharge = pl.col("death_dttm"), pl.col("discharge_dttm")
    by_time = (death <= discharge).fill_null(value=False)
    missing = category.is_in(UNKNOWN) & discharge.is_not_null()
    died = (
        pl.when(category == DEAD)
        .then(True)
        .when(category.is_in(UNDECIDED))
        .then(None)
        .when(missing)
        .then(by_time)
        .when(~category.is_in(UNKNOWN))
        .then(False)
    )
    near = ((death - discharge).abs() <= _SECONDS_PER_DAY).fill_null(value=False)
    frame = stays.with_columns(
        died=died,
        is_missing=missing,
        death=pl.when(died).then(pl.when(near).then(pl.max_horizontal(death, discharge)).otherwise(discharge)),
        is_elsewhere=(died & death.is_not_null() & ~near).fill_null(value=False),
    )
    unknown = int(frame["died"].null_count())
    notes.count(
        "died",
        NO_OUTCOME,
        unknown,
        f"{several(unknown, 'ICU stay')} of {len(frame):,} have no outcome (still admitted, or neither a category "
        "nor a time of discharge) and are left out.",
    )
    survived = int((frame["is_missing"] & ~frame["died"]).sum())
    notes.count(
        "died",
        MISSING_SURVIVED,
        survived,
        f"{several(survived, 'ICU stay')} of {len(frame):,} have no category of discharge and no time of death up to "
        "discharge; they count as survivals.",
    )
    notes.count("died", MISSING_DIED, int((frame["is_missing"] & frame["died"]).sum()))
    notes.count("death_hours", DEATH_UNUSED, int(frame["is_elsewhere"].sum()))
    return frame


def _numbered(stays: pl.DataFrame) -> pl.DataFrame:
    """Return the stays with ids as whole numbers; the first ICU stay of a hospitalization has its number."""
    later = pl.col("hospitalization_id") + "/" + pl.col("part").cast(pl.String)
    text = pl.when(pl.col("part") == 1).then("hospitalization_id").otherwise(later)
    numbered = stays.with_columns(
        stay_id=ids.numbered(stays.select(text.alias("text")).to_series(), "stays"),
        patient=ids.numbered(stays["patient_id"], "patients"),
        admission=ids.numbered(stays["hospitalization_id"], "admissions"),
    )
    twice = numbered.filter(pl.col("stay_id").is_duplicated())["stay_id"]
    if len(twice):
        raise SourceError(f"Two ICU stays get the id {twice[0]}. Give hospitalization_id without a / in it.")
    return numbered.sort("patient", "intime", "stay_id").with_columns(
        stay_number=pl.int_range(1, pl.len() + 1).over("patient")
    )


def _finished(stays: pl.DataFrame, notes: Notes) -> Stays:
    known = stays.filter(pl.col("died").is_not_null()).sort("stay_id")
    if known.is_empty():
        raise SourceError("No ICU stay has an outcome. Fill discharge_category in hospitalization.")
    sex = pl.col("sex_category").str.strip_chars().str.to_lowercase()
    notes.count("sex", UNREADABLE_SEX, int((~known.select(sex.is_in(["female", "male"])).to_series()).sum()))
    notes.count("stay_hours", NO_END, int(known["outtime"].null_count()))
    age = pl.col("age_at_admission")
    columns = {
        "stay_id": pl.col("stay_id"),
        "patient_id": pl.col("patient"),
        "admission_id": pl.col("admission"),
        "age_years": pl.when(age > _OLDEST_VISIBLE_AGE_YEARS).then(HIDDEN_AGE_YEARS).otherwise(age),
        "sex": pl.when(sex == "female").then(pl.lit("F")).when(sex == "male").then(pl.lit("M")),
        "icu_type": pl.col("icu_type"),
        "height_cm": pl.lit(None),
        "weight_kg": pl.lit(None),
        "source_set": pl.col("hospital_id").fill_null(""),
        "stay_number": pl.col("stay_number"),
        "stay_hours": (pl.col("outtime") - pl.col("intime")) / _SECONDS_PER_HOUR,
        "death_hours": (pl.col("death") - pl.col("intime")) / _SECONDS_PER_HOUR,
        "died": pl.col("died"),
    }
    return Stays(
        known.select(expression.cast(STAYS_SCHEMA[name]).alias(name) for name, expression in columns.items()),
        known.select("stay_id", "intime", "outtime", owner="hospitalization_id"),
        frozenset(stays["hospital_id"].drop_nulls()),
    )
