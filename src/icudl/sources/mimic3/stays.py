"""ICU stays of MIMIC-III, and the stay that a moment of a patient belongs to."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import STAYS_SCHEMA
from icudl.errors import SourceError

HIDDEN_AGE_YEARS = 91.4
"""Ages above 89 are hidden by MIMIC-III (dates of birth 300 years back); 91.4 is the median age it gives for them."""

_OLDEST_VISIBLE_AGE_YEARS = 89.0
_SECONDS_PER_HOUR = 3600
_SECONDS_PER_YEAR = 365.2425 * 24 * _SECONDS_PER_HOUR
# A key is patient * _PATIENT_STEP + moment + _EPOCH_SHIFT: room for the years 1698 to 2242 and 2**28 patients.
_EPOCH_SHIFT = 2**33
_PATIENT_STEP = 2**34
_PATIENT_LIMIT = 2**28
_OFFSET_STEP = 2**32
NO_STAY = -1


def stays_table(patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame) -> pl.DataFrame:
    """Return one row per ICU stay (``STAYS_SCHEMA`` and the columns ``intime`` and ``outtime``), sorted by stay_id.

    Args:
        patients: subject_id, gender, dob.
        admissions: subject_id, hadm_id, deathtime, hospital_expire_flag.
        icustays: subject_id, hadm_id, icustay_id, first_careunit, intime, outtime.
            All times in whole seconds since 1970.

    Raises:
        SourceError: An id occurs twice, a stay lacks its admission, patient or time of admission, or an id is
            beyond what the reader can hold.
    """
    _check_unique(patients, "subject_id", "PATIENTS")
    _check_unique(admissions, "hadm_id", "ADMISSIONS")
    _check_unique(icustays, "icustay_id", "ICUSTAYS")
    _check_stays(patients, admissions, icustays)
    joined = icustays.join(patients, on="subject_id").join(admissions, on=["subject_id", "hadm_id"])
    age = (pl.col("intime") - pl.col("dob")) / _SECONDS_PER_YEAR
    order = ["subject_id", "intime", "icustay_id"]
    return (
        joined.sort(order)
        .select(
            stay_id="icustay_id",
            patient_id="subject_id",
            admission_id="hadm_id",
            age_years=pl.when(age > _OLDEST_VISIBLE_AGE_YEARS).then(HIDDEN_AGE_YEARS).otherwise(age),
            sex=pl.when(pl.col("gender").is_in(["F", "M"])).then("gender"),
            icu_type="first_careunit",
            height_cm=pl.lit(None),
            weight_kg=pl.lit(None),
            source_set=pl.lit(""),
            stay_number=pl.int_range(1, pl.len() + 1).over("subject_id"),
            stay_hours=(pl.col("outtime") - pl.col("intime")) / _SECONDS_PER_HOUR,
            death_hours=(pl.col("deathtime") - pl.col("intime")) / _SECONDS_PER_HOUR,
            died=pl.col("hospital_expire_flag") == 1,
            intime="intime",
            outtime="outtime",
        )
        .with_columns(pl.col(column).cast(dtype) for column, dtype in STAYS_SCHEMA.items())
        .sort("stay_id")
    )


def _check_unique(frame: pl.DataFrame, column: str, table: str) -> None:
    if frame[column].null_count():
        raise SourceError(
            f"{table} has {frame[column].null_count()} rows without {column.upper()}. Every row needs one."
        )
    twice = frame.filter(pl.col(column).is_duplicated())[column]
    if len(twice):
        raise SourceError(
            f"{table} has {column.upper()} {twice[0]} more than once ({twice.n_unique()} ids are repeated). "
            "Expected one row per id: remove the repeated rows."
        )


def _check_stays(patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame) -> None:
    orphans = icustays.join(patients, on="subject_id", how="anti")
    if len(orphans):
        raise SourceError(
            f"{len(orphans)} ICU stays, the first {orphans['icustay_id'][0]}, have a SUBJECT_ID that PATIENTS lacks. "
            "Give all tables of one release."
        )
    orphans = icustays.join(admissions, on=["subject_id", "hadm_id"], how="anti")
    if len(orphans):
        raise SourceError(
            f"{len(orphans)} ICU stays, the first {orphans['icustay_id'][0]}, have a HADM_ID that ADMISSIONS lacks. "
            "Give all tables of one release."
        )
    timeless = icustays.filter(pl.col("intime").is_null())
    if len(timeless):
        raise SourceError(f"ICU stay {timeless['icustay_id'][0]} has no INTIME. Expected a time of admission.")
    backwards = icustays.filter(pl.col("outtime") < pl.col("intime"))
    if len(backwards):
        raise SourceError(f"ICU stay {backwards['icustay_id'][0]} ends before it begins. Correct OUTTIME or INTIME.")
    beyond = icustays.filter(~pl.col("subject_id").is_between(0, _PATIENT_LIMIT - 1))["subject_id"]
    if len(beyond):
        raise SourceError(f"ICUSTAYS has SUBJECT_ID {beyond[0]}; expected ids from 0 to {_PATIENT_LIMIT - 1}.")


@dataclasses.dataclass(frozen=True, eq=False)
class StayIndex:
    """Finds the ICU stay of a patient at a moment.

    A moment belongs to the patient's last stay with INTIME <= moment, provided that moment < OUTTIME of that stay.
    Patient and moment are packed into one integer key, so that one binary search answers both questions.

    Attributes:
        starts: (N,) keys of INTIME, ascending.
        ends: (N,) keys of OUTTIME, or of the end of time where it is unknown.
        ranks: (N,) position of each of these stays in the stays table.
    """

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    ranks: npt.NDArray[np.int64]

    @classmethod
    def of(cls, stays: pl.DataFrame) -> StayIndex:
        """Index what ``stays_table`` returned."""
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
        """Return (rank of the stay, seconds since its INTIME) packed for ``rank_of`` and ``offset_of``, or NO_STAY."""
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
    """Return the seconds since the stay's INTIME."""
    return packed % _OFFSET_STEP
