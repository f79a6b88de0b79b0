"""ICU stays of MEDS data: admissions paired with discharges, deaths told by discharge codes and times of death."""

from __future__ import annotations

import dataclasses

import polars as pl

from icudl.artifacts import STAYS_SCHEMA
from icudl.errors import SourceError
from icudl.sources.meds.codes import SEPARATOR, CodeTable, is_one_of
from icudl.sources.meds.ready import Ready
from icudl.sources.mimic.stays import HIDDEN_AGE_YEARS
from icudl.sources.table import ids
from icudl.sources.table.reading import Notes, several
from icudl.sources.table.stays import DEATHS, FEMALE, MALE

DEATH_TEXTS: frozenset[str] = DEATHS | {"dead/expired"}
"""Texts in a code of hospital discharge that mean death, in small letters."""

NO_OUTCOME = "no hospital discharge and no death: the stay is left out"
NO_STATUS = "no status at hospital discharge: the stay is left out"
UNIT_DEATH = "expired in the unit, not at hospital discharge: a death"
NO_END = "no end of the ICU stay: its length is unknown"
NO_START = "end of an ICU stay without a start: left out"
DEATH_BY_TIME = "death time before hospital discharge without a code of death: a death"
UNREADABLE_SEX = "unreadable code"

_OLDEST_VISIBLE_AGE_YEARS = 89
_SECONDS_PER_HOUR = 3600
_SECONDS_PER_DAY = 86_400
_SECONDS_PER_YEAR = 365.25 * _SECONDS_PER_DAY


@dataclasses.dataclass(frozen=True, eq=False)
class Stays:
    """The ICU stays.

    Attributes:
        table: ``STAYS_SCHEMA``, sorted by stay_id.
        spans: stay_id, owner (the subject), intime and outtime in whole seconds since 1970, sorted by stay_id.
    """

    table: pl.DataFrame
    spans: pl.DataFrame


def stays_of(events: pl.DataFrame, codes: CodeTable, ready: Ready | None, notes: Notes) -> Stays:
    """Make the ICU stays.

    * An ICU stay runs from an ICU admission to the ICU discharge of the same stay id, or, without ids, to the next
      one of the subject unless another ICU admission comes first.
    * Its hospital admission is that of the same admission id, or, without ids, the one that overlaps most with it.
    * The patient died if the code of hospital discharge says so, or if a time of death with a time of day lies between
      ICU admission and hospital discharge. A death that has a date only (midnight) may have come after discharge.
    * The time of death is MEDS_DEATH if it has a time of day, else that of hospital discharge.
    * Age is whole years at ICU admission; a birth on the first of January tells the year alone.

    Args:
        events: What ``folder.Shard.events`` gives for all ``codes.events``.
        codes: Which codes they are.
        ready: The ready table of the ETL; None for none.
        notes: Takes counts and warnings.

    Raises:
        SourceError: No ICU admission was found, an id occurs twice, or no stay has an outcome.
    """
    of = {name: events.filter(is_one_of(patterns)) for name, patterns in codes.events.items()}
    if of["icu_admission"]["moment"].drop_nulls().is_empty():
        raise SourceError(
            f"No event is an ICU admission ({', '.join(codes.events['icu_admission'])}). Name its codes in "
            "source.events.icu_admission, and those of ICU discharge."
        )
    icu = _numbered(_paired(of["icu_admission"], of["icu_discharge"], "icustay_id", notes))
    admission_id = ready.admission_column if ready is not None else ""
    hospital = _paired(of["hospital_admission"], of["hospital_discharge"], admission_id, Notes())
    joined = _with_outcome(_with_hospital(icu, hospital, admission_id), of["death"], ready)
    joined = _with_person(joined, of["birth"], of["sex"], notes)
    return _finished(joined, ready, notes)


def _paired(starts: pl.DataFrame, ends: pl.DataFrame, column: str, notes: Notes) -> pl.DataFrame:
    """Return spans: subject_id, start, end (null where unknown), code, end_code, hadm_id, and id (null without one)."""
    starts, ends = starts.filter(pl.col("moment").is_not_null()), ends.filter(pl.col("moment").is_not_null())
    if column and starts[column].null_count() == 0 and len(starts):
        twice = starts.filter(pl.col(column).is_duplicated())[column]
        if len(twice):
            raise SourceError(
                f"{column} {twice[0]} has more than one event of admission ({twice.n_unique()} ids are repeated). "
                "Expected one each: make the data again from the database."
            )
        last = ends.sort("moment").unique([column], keep="last").select(column, end="moment", end_code="code")
        spans = starts.join(last, on=column, how="left", maintain_order="left")
        spans = spans.with_columns(id=pl.col(column))
    else:
        both = pl.concat([starts.with_columns(is_start=True), ends.with_columns(is_start=False)])
        # At one moment, what ends goes before what begins.
        both = both.sort("subject_id", "moment", "is_start")
        following = {name: pl.col(name).shift(-1).over("subject_id") for name in ("is_start", "moment", "code")}
        ended = ~following["is_start"].fill_null(value=True)
        before = pl.col("is_start").shift(1).over("subject_id")
        orphans = both.filter(~pl.col("is_start") & ~before.fill_null(value=False))
        notes.count("(stays)", NO_START, len(orphans))
        spans = both.with_columns(
            end=pl.when(ended).then(following["moment"]),
            end_code=pl.when(ended).then(following["code"]),
            id=pl.lit(None, pl.Int64),
        ).filter("is_start")
    backwards = spans.filter(pl.col("end") < pl.col("moment"))
    if len(backwards):
        raise SourceError(
            f"A stay of subject {backwards['subject_id'][0]} ends before it begins ({backwards['code'][0]}). Make the "
            "data again from the database."
        )
    return spans.select("subject_id", "code", "end", "end_code", "hadm_id", "id", start="moment")


def _numbered(icu: pl.DataFrame) -> pl.DataFrame:
    """Return the stays with stay_id and stay_number; without ids in the data, a subject's first stay has its number."""
    ordered = icu.sort("subject_id", "start", "id", "end", nulls_last=True).with_columns(
        stay_number=pl.int_range(1, pl.len() + 1).over("subject_id")
    )
    return ordered.with_columns(stay_id=pl.coalesce("id", _ordinal_ids(ordered, "stay_number", "stays")))


def _ordinal_ids(frame: pl.DataFrame, ordinal: str, what: str) -> pl.Series:
    subject = pl.col("subject_id").cast(pl.String)
    text = pl.when(pl.col(ordinal) == 1).then(subject).otherwise(subject + "/" + pl.col(ordinal).cast(pl.String))
    return ids.numbered(frame.select(text.alias("text")).to_series(), what)


def _with_hospital(icu: pl.DataFrame, hospital: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the stays with admission_id and with end and code of their hospital admission (null where it has none)."""
    ordered = hospital.sort("subject_id", "start", "id", nulls_last=True).with_columns(
        number=pl.int_range(1, pl.len() + 1).over("subject_id")
    )
    ordered = ordered.with_columns(admission_id=pl.coalesce("id", _ordinal_ids(ordered, "number", "admissions")))
    hospitals = ordered.select(
        "subject_id",
        "admission_id",
        hospital_start="start",
        hospital_end="end",
        discharge="end_code",
        has_hospital=True,
    )
    with_id = bool(column) and hospital["id"].null_count() == 0 and icu["hadm_id"].null_count() == 0
    if with_id:
        return icu.join(
            hospitals, left_on=["subject_id", "hadm_id"], right_on=["subject_id", "admission_id"], how="left"
        ).with_columns(admission_id="hadm_id")
    pairs = icu.select("stay_id", "subject_id", "start", "end").join(hospitals, on="subject_id")
    last = pl.min_horizontal(pl.col("end").fill_null(pl.col("start")), pl.col("hospital_end"))
    pairs = pairs.with_columns(overlap=last - pl.max_horizontal("start", "hospital_start")).filter(
        pl.col("overlap") >= 0
    )
    best = pairs.sort("stay_id", "overlap", "hospital_start", descending=[False, True, False]).unique(
        ["stay_id"], keep="first", maintain_order=True
    )
    chosen = best.select("stay_id", "admission_id", "hospital_start", "hospital_end", "discharge", "has_hospital")
    return icu.join(chosen, on="stay_id", how="left").with_columns(pl.col("admission_id").fill_null(pl.col("stay_id")))


def _says(code: str, texts: frozenset[str]) -> pl.Expr:
    """Return whether a part of a code, after its first, is one of some texts."""
    parts = pl.col(code).str.to_lowercase().str.split(SEPARATOR).list.slice(1)
    said: pl.Expr = parts.list.eval(pl.element().str.strip_chars().is_in(sorted(texts))).list.any()
    return said.fill_null(value=False)


def _with_outcome(stays: pl.DataFrame, deaths: pl.DataFrame, ready: Ready | None) -> pl.DataFrame:
    """Return the stays with died (null where unknown), death (seconds, null where unknown) and what decided."""
    known = deaths.filter(pl.col("moment").is_not_null()).sort("moment").unique(["subject_id"], keep="first")
    frame = stays.join(
        known.select("subject_id", death_moment="moment", death_is_date="is_date"), on="subject_id", how="left"
    )
    by_code = _says("discharge", DEATH_TEXTS)
    in_unit = pl.lit(value=False)
    if ready is not None and ready.counts_unit_deaths:
        in_unit = _says("end_code", DEATH_TEXTS)
    exact = pl.col("death_moment").is_not_null() & ~pl.col("death_is_date").fill_null(value=True)
    last = pl.coalesce("hospital_end", "end")
    by_time = (exact & (pl.col("death_moment") >= pl.col("start")) & (pl.col("death_moment") <= last)).fill_null(
        value=False
    )
    survived = pl.col("has_hospital").fill_null(value=False) & pl.col("discharge").is_not_null()
    if ready is not None and ready.survivals is not None:
        survived &= _says("discharge", ready.survivals)
    died = pl.when(by_code | in_unit | by_time).then(True).when(survived).then(False)
    frame = frame.with_columns(
        died=died, by_code=by_code, in_unit=in_unit & ~by_code, by_time=by_time & ~by_code & ~in_unit
    )
    discharge = pl.when("by_code").then("hospital_end")
    time = pl.when("in_unit").then("end").when(exact).then("death_moment").otherwise(discharge)
    if ready is not None and ready.counts_unit_deaths:
        time = pl.when(in_unit).then("end").otherwise(pl.coalesce("hospital_end", "death_moment"))
    return frame.with_columns(death=pl.when("died").then(time))


def _with_person(stays: pl.DataFrame, births: pl.DataFrame, sexes: pl.DataFrame, notes: Notes) -> pl.DataFrame:
    born = births.filter(pl.col("moment").is_not_null()).unique(["subject_id"], keep="first", maintain_order=True)
    written = pl.col("code").str.to_lowercase().str.split(SEPARATOR).list.get(1, null_on_oob=True).str.strip_chars()
    coded = sexes.select(
        "subject_id",
        sex=pl.when(written.is_in(sorted(FEMALE)))
        .then(pl.lit("F"))
        .when(written.is_in(sorted(MALE)))
        .then(pl.lit("M")),
    ).unique(["subject_id"], keep="first", maintain_order=True)
    frame = stays.join(born.select("subject_id", birth="moment"), on="subject_id", how="left").join(
        coded.with_columns(has_sex=True), on="subject_id", how="left"
    )
    notes.count("sex", UNREADABLE_SEX, int((frame["has_sex"].fill_null(value=False) & frame["sex"].is_null()).sum()))
    date, start = pl.from_epoch(pl.col("birth"), time_unit="s"), pl.from_epoch(pl.col("start"), time_unit="s")
    is_year = (date.dt.ordinal_day() == 1) & (pl.col("birth") % _SECONDS_PER_DAY == 0)
    years = pl.when(is_year).then(start.dt.year() - date.dt.year())
    age = years.otherwise(((pl.col("start") - pl.col("birth")) / _SECONDS_PER_YEAR).floor()).cast(pl.Float64)
    return frame.with_columns(age_years=pl.when(age > _OLDEST_VISIBLE_AGE_YEARS).then(HIDDEN_AGE_YEARS).otherwise(age))


def _finished(stays: pl.DataFrame, ready: Ready | None, notes: Notes) -> Stays:
    """Leave out stays without an outcome, count what was unclear, and bring the columns into order."""
    unknown = stays.filter(pl.col("died").is_null())
    status = int(unknown["discharge"].is_not_null().sum())
    notes.count("died", NO_STATUS, status)
    notes.count("died", NO_OUTCOME, len(unknown) - status)
    notes.count("died", UNIT_DEATH, int(stays["in_unit"].sum()))
    notes.count("died", DEATH_BY_TIME, int(stays["by_time"].sum()))
    if len(unknown):
        notes.say(
            f"{several(len(unknown), 'ICU stay')} of {len(stays):,} have no outcome and are left out: whether these "
            "patients died in hospital is not known."
        )
    known = stays.filter(pl.col("died").is_not_null())
    if known.is_empty():
        raise SourceError(
            "No ICU stay has an outcome. Name the codes of hospital discharge in source.events.hospital_discharge, or "
            "those of death in source.events.death."
        )
    notes.count("stay_hours", NO_END, int(known["end"].null_count()))
    twice = known.filter(pl.col("stay_id").is_duplicated())["stay_id"]
    if len(twice):
        raise SourceError(f"The ICU stay {twice[0]} occurs more than once. Make the data again from the database.")
    unit = pl.lit(None, pl.String)
    if ready is None or ready.names_unit:
        unit = pl.col("code").str.split(SEPARATOR).list.get(1, null_on_oob=True).replace(["UNK", ""], [None, None])
    hospital = pl.lit("")
    if ready is not None and ready.hospital_column:
        hospital = pl.col(ready.hospital_column).cast(pl.String).fill_null("")
    columns = {
        "stay_id": pl.col("stay_id"),
        "patient_id": pl.col("subject_id"),
        "admission_id": pl.col("admission_id"),
        "age_years": pl.col("age_years"),
        "sex": pl.col("sex"),
        "icu_type": unit,
        "height_cm": pl.lit(None),
        "weight_kg": pl.lit(None),
        "source_set": hospital,
        "stay_number": pl.col("stay_number"),
        "stay_hours": (pl.col("end") - pl.col("start")) / _SECONDS_PER_HOUR,
        "death_hours": (pl.col("death") - pl.col("start")) / _SECONDS_PER_HOUR,
        "died": pl.col("died"),
    }
    ordered = known.sort("stay_id")
    return Stays(
        ordered.select(expression.cast(STAYS_SCHEMA[name]).alias(name) for name, expression in columns.items()),
        ordered.select("stay_id", owner="subject_id", intime="start", outtime="end"),
    )
