"""ICU stays of a MIMIC database, and the stay that a moment of a patient belongs to."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import CLEANING_SCHEMA, OUTCOMES_SCHEMA, STAYS_SCHEMA
from icudl.errors import SourceError
from icudl.sources.mimic.layout import Layout
from icudl.sources.rules import RuleBook

HIDDEN_AGE_YEARS = 91.4
"""MIMIC hides ages above 89; 91.4 is the median age that MIMIC-III gives for them."""

_OLDEST_VISIBLE_AGE_YEARS = 89.0
_SECONDS_PER_HOUR, _SECONDS_PER_DAY = 3600, 86_400
# A key is patient * _PATIENT_STEP + moment + _EPOCH_SHIFT: room for the years 1698 to 2242 and 2**28 patients.
_EPOCH_SHIFT = 2**33
_PATIENT_STEP = 2**34
_PATIENT_LIMIT = 2**28
_OFFSET_STEP = 2**32
NO_STAY = -1

TOLD: frozenset[str] = frozenset({"hospital_death", "icu_death", "death_within_days", "long_stay", "readmission"})
"""The outcomes that a MIMIC database tells."""

UNREADABLE_SEX = "unreadable code"
DEATH_BY_TIME = "death time without the flag: a death"
DEATH_BY_FLAG = "death flag without a time: a death at an unknown hour"
DEATH_AFTER_DISCHARGE = "death time after hospital discharge: a death in hospital"
DEATH_BEFORE_STAY = "death before the ICU stay: not alive in the window"
DEATH_IN_EARLIER_ADMISSION = "death in an earlier admission: not alive in the window"
DEATH_BY_DAY = "day of death within the admission, neither flag nor time: a survivor"
OVERLAP = "overlaps the patient's next stay: what was charted then belongs to the next"

_VERSION = 3
"""Of the rules below. 2: three rules about deaths that lie elsewhere than in the admission are counted. 3: days of
death within an admission that the patient survived, and stays that overlap, are counted."""


@dataclasses.dataclass(frozen=True, eq=False)
class Stays:
    """The ICU stays of the database.

    Attributes:
        table: One row per ICU stay (``STAYS_SCHEMA`` and the columns ``intime`` and ``outtime``), sorted by stay_id.
        cleaning: Stays whose sex or outcome is unclear in the tables, by rule (``CLEANING_SCHEMA``); rules that touched
            no stay are left out.
        outcomes: How the stays ended otherwise (``OUTCOMES_SCHEMA`` without column).
    """

    table: pl.DataFrame
    cleaning: pl.DataFrame
    outcomes: pl.DataFrame


def joined_stays(
    patients: pl.DataFrame,
    admissions: pl.DataFrame,
    icustays: pl.DataFrame,
    layout: Layout,
    age_years: pl.Expr,
) -> Stays:
    """Join the three tables of a release to its ICU stays.

    A patient died in hospital if the flag hospital_expire_flag is 1 or deathtime is filled in: MIMIC gives deathtime
    for deaths in hospital only. Stays for which the two disagree are counted. The column gender is read without blanks
    around it, in either case; a code other than F and M is unknown and counted.

    A death time after the discharge is a death in hospital, and counted. A patient who died before the stay, be it in
    an earlier admission (organ donors have a second one), was dead from then on: the stay is counted, and no cohort
    of patients who are alive in the window holds it.

    A patient died in the ICU if deathtime is not after outtime; that is not known of a death without a time. A death
    after discharge is that of dod, whose time of day is not told: it counts as the end of the day. Where dod is empty
    throughout, nobody was followed after discharge. A dod between admission to the ICU and discharge that neither flag
    nor deathtime knows of is no death in hospital; such stays are counted, and so are those that overlap the
    patient's next.

    Args:
        patients: subject_id, gender, dod, and what ``age_years`` needs.
        admissions: subject_id, hadm_id, dischtime, deathtime, hospital_expire_flag.
        icustays: subject_id, hadm_id, the id of the stay (``layout.stay``), first_careunit, intime, outtime.
            All times in whole seconds since 1970.
        layout: The database.
        age_years: Age at ICU admission over the columns of all three; ages above 89 become ``HIDDEN_AGE_YEARS``.

    Raises:
        SourceError: An id occurs twice, a stay lacks its admission, patient, outcome or time of admission, or an id
            is beyond what the reader can hold.
    """
    check = _Check(layout)
    check.unique(patients, "patients", "subject_id")
    check.unique(admissions, "admissions", "hadm_id")
    check.unique(icustays, "icustays", layout.stay)
    check.stays(patients, admissions, icustays)
    deaths = admissions.group_by("subject_id").agg(first_death=pl.col("deathtime").min())
    joined = icustays.join(patients, on="subject_id").join(admissions, on=["subject_id", "hadm_id"])
    order = ["subject_id", "intime", layout.stay]
    joined = joined.join(deaths, on="subject_id", how="left", maintain_order="left").sort(order)
    check.outcomes(joined)
    sex = pl.col("gender").str.strip_chars().str.to_uppercase().replace("", None)
    flagged, timed = (pl.col("hospital_expire_flag") == 1).fill_null(value=False), pl.col("deathtime").is_not_null()
    counts = joined.select(
        (sex.is_not_null() & ~sex.is_in(["F", "M"])).sum().alias("sex"),
        (timed & ~flagged).sum().alias("timed"),
        (flagged & ~timed).sum().alias("flagged"),
        (pl.col("deathtime") > pl.col("dischtime")).sum().alias("discharged"),
        (_own_death() < pl.col("intime")).sum().alias("before"),
        (pl.col("first_death") < pl.min_horizontal("intime", _own_death())).sum().alias("earlier"),
        (~timed & ~flagged & _own_death().is_between("intime", "dischtime")).sum().alias("by day"),
        (_following() < pl.col("outtime")).sum().alias("overlap"),
    ).row(0)
    table = (
        joined.select(
            stay_id=layout.stay,
            patient_id="subject_id",
            admission_id="hadm_id",
            age_years=pl.when(age_years > _OLDEST_VISIBLE_AGE_YEARS).then(HIDDEN_AGE_YEARS).otherwise(age_years),
            sex=pl.when(sex.is_in(["F", "M"])).then(sex),
            icu_type="first_careunit",
            height_cm=pl.lit(None),
            weight_kg=pl.lit(None),
            source_set=pl.lit(""),
            stay_number=pl.int_range(1, pl.len() + 1).over("subject_id"),
            stay_hours=(pl.col("outtime") - pl.col("intime")) / _SECONDS_PER_HOUR,
            death_hours=(pl.col("deathtime") - pl.col("intime")) / _SECONDS_PER_HOUR,
            died=flagged | timed,
            intime="intime",
            outtime="outtime",
        )
        .with_columns(pl.col(column).cast(dtype) for column, dtype in STAYS_SCHEMA.items())
        .sort("stay_id")
    )
    died = (
        DEATH_BY_TIME,
        DEATH_BY_FLAG,
        DEATH_AFTER_DISCHARGE,
        DEATH_BEFORE_STAY,
        DEATH_IN_EARLIER_ADMISSION,
        DEATH_BY_DAY,
    )
    rules = (("sex", UNREADABLE_SEX), *(("died", rule) for rule in died), ("(stays)", OVERLAP))
    rows = [(*rule, count) for rule, count in zip(rules, counts, strict=True) if count]
    cleaning = pl.DataFrame(rows, schema=dict(CLEANING_SCHEMA), orient="row")
    return Stays(table, cleaning, _outcomes(joined, admissions, layout))


def rules_of_stays(book: RuleBook) -> str:
    """Return the identity of a rule book together with the rules of stays, for the fingerprint of a source."""
    return hashlib.sha256(f"{book.digest}, stays {_VERSION}".encode()).hexdigest()


def _own_death() -> pl.Expr:
    """Return the death that admission and patient tell; a day counts as its end."""
    return pl.coalesce("deathtime", pl.col("dod") + _SECONDS_PER_DAY)


def _following() -> pl.Expr:
    """Return when the patient's next stay begins, of stays sorted by patient and time."""
    return pl.col("intime").shift(-1).over("subject_id")


def _outcomes(joined: pl.DataFrame, admissions: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Return how stays ended, from patients, admissions and stays joined and sorted by patient and time."""
    last = admissions.group_by("subject_id").agg(last_discharge=pl.col("dischtime").max())
    died = (pl.col("hospital_expire_flag") == 1).fill_null(value=False) | pl.col("deathtime").is_not_null()
    # MIMIC-IV 1.0 has the column dod without a single day in it: nobody was followed.
    days = layout.follow_up_days if joined["dod"].is_not_null().any() else 0
    followed = pl.col("last_discharge") + int(days * _SECONDS_PER_DAY)
    back = _following() - pl.col("outtime")
    columns = {
        "stay_id": pl.col(layout.stay),
        "icu_death": pl.when(died).then(pl.col("deathtime") <= pl.col("outtime")).otherwise(False),
        "any_death_hours": (pl.min_horizontal("first_death", _own_death()) - pl.col("intime")) / _SECONDS_PER_HOUR,
        "followed_hours": (followed - pl.col("intime")) / _SECONDS_PER_HOUR,
        # Stays that overlap by some minutes are one move after the other.
        "readmission_hours": back.clip(0) / _SECONDS_PER_HOUR,
    }
    table = joined.join(last, on="subject_id", how="left", maintain_order="left").select(
        expression.cast(OUTCOMES_SCHEMA[name]).alias(name) for name, expression in columns.items()
    )
    return table.sort("stay_id")


@dataclasses.dataclass(frozen=True)
class _Check:
    """Refuses tables that do not belong together; messages name tables and columns as the database does."""

    layout: Layout

    def outcomes(self, joined: pl.DataFrame) -> None:
        shown = self.layout.shown
        flag = pl.col("hospital_expire_flag")
        unknown = joined.filter(pl.col("deathtime").is_null() & ~flag.is_in([0, 1]).fill_null(value=False))
        if len(unknown):
            raise SourceError(
                f"{len(unknown)} ICU stays, the first {unknown[self.layout.stay][0]}, belong to an admission whose "
                f"{shown('hospital_expire_flag')} is {unknown['hospital_expire_flag'][0]} and that has no "
                f"{shown('deathtime')}. Expected 1 for a death in hospital and 0 otherwise: correct "
                f"{shown('admissions')}."
            )

    def unique(self, frame: pl.DataFrame, table: str, column: str) -> None:
        shown = self.layout.shown
        if frame[column].null_count():
            raise SourceError(
                f"{shown(table)} has {frame[column].null_count()} rows without {shown(column)}. Every row needs one."
            )
        twice = frame.filter(pl.col(column).is_duplicated())[column]
        if len(twice):
            raise SourceError(
                f"{shown(table)} has {shown(column)} {twice[0]} more than once ({twice.n_unique()} ids are repeated). "
                "Expected one row per id: remove the repeated rows."
            )

    def stays(self, patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame) -> None:
        shown, stay = self.layout.shown, self.layout.stay
        for other, table, columns in (
            (patients, "patients", ["subject_id"]),
            (admissions, "admissions", ["subject_id", "hadm_id"]),
        ):
            orphans = icustays.join(other, on=columns, how="anti")
            if len(orphans):
                raise SourceError(
                    f"{len(orphans)} ICU stays, the first {orphans[stay][0]}, have a {shown(columns[-1])} that "
                    f"{shown(table)} lacks. Give all tables of one release."
                )
        timeless = icustays.filter(pl.col("intime").is_null())
        if len(timeless):
            raise SourceError(f"ICU stay {timeless[stay][0]} has no {shown('intime')}. Expected a time of admission.")
        backwards = icustays.filter(pl.col("outtime") < pl.col("intime"))
        if len(backwards):
            raise SourceError(
                f"ICU stay {backwards[stay][0]} ends before it begins. Correct {shown('outtime')} or {shown('intime')}."
            )
        beyond = icustays.filter(~pl.col("subject_id").is_between(0, _PATIENT_LIMIT - 1))["subject_id"]
        if len(beyond):
            raise SourceError(
                f"{shown('icustays')} has {shown('subject_id')} {beyond[0]}; "
                f"expected ids from 0 to {_PATIENT_LIMIT - 1}."
            )


@dataclasses.dataclass(frozen=True, eq=False)
class StayIndex:
    """Finds the ICU stay of a patient at a moment.

    A moment belongs to the patient's last stay with intime <= moment, provided that moment < outtime of that stay.
    Patient and moment are packed into one integer key, so that one binary search answers both questions.

    Attributes:
        starts: (N,) keys of intime, ascending.
        ends: (N,) keys of outtime, or of the end of time where it is unknown.
        ranks: (N,) position of each of these stays in the stays table.
    """

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    ranks: npt.NDArray[np.int64]

    @classmethod
    def of(cls, stays: pl.DataFrame) -> StayIndex:
        """Index a table of stays (``Stays.table``)."""
        end = pl.when(pl.col("outtime").is_null()).then((pl.col("patient_id") + 1) * _PATIENT_STEP)
        keyed = (
            stays.with_row_index("rank")
            .sort("patient_id", "intime", "stay_id")
            .select(
                start=stay_key(pl.col("patient_id"), pl.col("intime")),
                end=end.otherwise(stay_key(pl.col("patient_id"), pl.col("outtime"))),
                rank=pl.col("rank").cast(pl.Int64),
            )
        )
        return cls(keyed["start"].to_numpy(), keyed["end"].to_numpy(), keyed["rank"].to_numpy())

    def locate(self, keys: pl.Series) -> pl.Series:
        """Return (rank of the stay, seconds since its intime) packed for ``rank_of`` and ``offset_of``, or NO_STAY."""
        key = keys.to_numpy()
        position = np.searchsorted(self.starts, key, side="right") - 1
        inside = (position >= 0) & (key < self.ends[position])
        offset = np.minimum(key - self.starts[position], _OFFSET_STEP - 1)
        return pl.Series(keys.name, np.where(inside, self.ranks[position] * _OFFSET_STEP + offset, NO_STAY))


def stay_key(patient: pl.Expr, moment: pl.Expr) -> pl.Expr:
    """Return the key of a patient and a moment (seconds since 1970); NO_STAY where either is null or out of reach."""
    known = patient.is_between(0, _PATIENT_LIMIT - 1) & moment.is_between(-_EPOCH_SHIFT, _EPOCH_SHIFT - 1)
    key = patient * _PATIENT_STEP + moment + _EPOCH_SHIFT
    return pl.when(known).then(key).otherwise(NO_STAY)


def rank_of(packed: pl.Expr) -> pl.Expr:
    """Return the position of the stay in the stays table."""
    return packed // _OFFSET_STEP


def offset_of(packed: pl.Expr) -> pl.Expr:
    """Return the seconds since the stay's intime."""
    return packed % _OFFSET_STEP
