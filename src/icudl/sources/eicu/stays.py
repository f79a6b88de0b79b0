"""ICU stays of eICU: ids, age, outcome and length from PATIENT, each by a stated rule."""

from __future__ import annotations

import dataclasses

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA, STAYS_SCHEMA
from icudl.errors import SourceError

POPULATION = "eicu"
CITATIONS: tuple[str, ...] = ("eicu", "physionet")

HIDDEN_AGE_YEARS = 91.4
"""Age of those above 89, whose age eICU hides as "> 89": the same as in MIMIC-III."""

NO_OUTCOME = "no status at hospital discharge: the stay is left out"
UNIT_DEATH = "expired in the unit, not at hospital discharge: a death"
UNREADABLE_SEX = "neither Female nor Male: unknown"
IMPLAUSIBLE = "implausible: unknown"
HEIGHTS, WEIGHTS = (100.0, 250.0), (20.0, 500.0)
"""Plausible heights in cm and weights in kg, both ends included, as in PhysioNet 2012."""

_PATIENT = r"^(\d{1,3})-([1-9]\d{0,8})$"
_PATIENT_STEP = 10**9


@dataclasses.dataclass(frozen=True, eq=False)
class Stays:
    """The ICU stays.

    Attributes:
        table: ``STAYS_SCHEMA``, sorted by stay_id.
        ends: stay_id and end (length in minutes), sorted by stay_id.
        cleaning: What was unclear, by rule (``CLEANING_SCHEMA``).
        warnings: What a reader of the results has to know.
        outcomes: stay_id and icu_death, sorted by stay_id.
    """

    table: pl.DataFrame
    ends: pl.DataFrame
    cleaning: pl.DataFrame
    warnings: tuple[str, ...]
    outcomes: pl.DataFrame


def stays_of(patients: pl.DataFrame) -> Stays:
    """Read the stays.

    * Outcome: HOSPITALDISCHARGESTATUS, Expired or Alive. A patient who expired in the unit died, whatever the status at
      hospital discharge. A stay without either is left out and counted.
    * Death in the ICU: UNITDISCHARGESTATUS is Expired.
    * Time of death: discharge from the unit if the patient expired there, else from the hospital. eICU has no other.
    * Patient: UNIQUEPID ("002-1039") as one number, hospital system before patient.
    * Order of a patient's stays: year of discharge, hospital stay, unit visit. Hospital stays of one year have no order
      in eICU; that of their ids is taken.
    * source_set is HOSPITALID, so that ``split.test_sets`` holds out whole hospitals.

    Args:
        patients: PATIENT (``folder.COLUMNS``).

    Raises:
        SourceError: An id is missing, repeated or of another form, a stay has no length, or a status is unknown.
    """
    _check(patients)
    status, unit_status = _text("hospitaldischargestatus"), _text("unitdischargestatus")
    parts = pl.col("uniquepid").str.strip_chars().str.extract_groups(_PATIENT)
    gender = _text("gender")
    age = pl.col("age").str.strip_chars()
    height, weight = pl.col("admissionheight"), pl.col("admissionweight")
    unit_death = unit_status == "expired"
    frame = patients.with_columns(
        died=pl.when(unit_death.fill_null(value=False) | (status == "expired"))
        .then(True)
        .when(status == "alive")
        .then(False),
        death=pl.when(unit_death.fill_null(value=False))
        .then("unitdischargeoffset")
        .when(status == "expired")
        .then("hospitaldischargeoffset"),
        patient=parts.struct.field("1").cast(pl.Int64) * _PATIENT_STEP + parts.struct.field("2").cast(pl.Int64),
        sex=pl.when(gender == "female").then(pl.lit("F")).when(gender == "male").then(pl.lit("M")),
        years=pl.when(age.str.contains(r"^>\s*89$"))
        .then(HIDDEN_AGE_YEARS)
        .otherwise(age.cast(pl.Float64, strict=False)),
        contradicted=unit_death & (status != "expired").fill_null(value=True),
        height=pl.when(height.is_between(*HEIGHTS)).then(height),
        weight=pl.when(weight.is_between(*WEIGHTS)).then(weight),
    )
    counted = frame.select(
        pl.col("died").is_null().sum().alias("no_outcome"),
        pl.col("contradicted").sum(),
        (pl.col("sex").is_null() & gender.is_not_null()).sum().alias("strange"),
        age.str.contains(r"^>\s*89$").sum().alias("hidden"),
        (pl.col("years").is_null() & (age.str.len_bytes() > 0)).sum().alias("ageless"),
        (height.is_not_null() & pl.col("height").is_null()).sum().alias("heights"),
        (weight.is_not_null() & pl.col("weight").is_null()).sum().alias("weights"),
    ).row(0)
    subjects = (
        ("died", NO_OUTCOME), ("died", UNIT_DEATH), ("sex", UNREADABLE_SEX),
        ("age_years", f"hidden: {HIDDEN_AGE_YEARS}"), ("age_years", "no number: unknown"), ("height_cm", IMPLAUSIBLE),
        ("weight_kg", IMPLAUSIBLE),
    )  # fmt: skip
    rows = [(*subject, count) for subject, count in zip(subjects, counted, strict=True) if count]
    known = frame.filter(pl.col("died").is_not_null()).sort(
        "patient", "hospitaldischargeyear", "patienthealthsystemstayid", "unitvisitnumber", "patientunitstayid"
    )
    columns = {
        "stay_id": pl.col("patientunitstayid"),
        "patient_id": pl.col("patient"),
        "admission_id": pl.col("patienthealthsystemstayid"),
        "age_years": pl.col("years"),
        "sex": pl.col("sex"),
        "icu_type": pl.col("unittype"),
        "height_cm": pl.col("height"),
        "weight_kg": pl.col("weight"),
        "source_set": pl.col("hospitalid").cast(pl.String).fill_null(""),
        "stay_number": pl.int_range(1, pl.len() + 1).over("patient"),
        "stay_hours": pl.col("unitdischargeoffset") / 60,
        "death_hours": pl.col("death") / 60,
        "died": pl.col("died"),
    }
    table = known.select(expression.cast(STAYS_SCHEMA[name]).alias(name) for name, expression in columns.items())
    warnings = []
    if counted[0]:
        warnings.append(
            f"{counted[0]:,} of {len(patients):,} stays have no status at hospital discharge and are left out: whether "
            "these patients died is not known."
        )
    return Stays(
        table.sort("stay_id"),
        known.select(stay_id="patientunitstayid", end="unitdischargeoffset").sort("stay_id"),
        pl.DataFrame(rows, schema=dict(CLEANING_SCHEMA), orient="row"),
        tuple(warnings),
        known.select(
            stay_id="patientunitstayid", icu_death=(_text("unitdischargestatus") == "expired").fill_null(value=False)
        ),
    )


def _text(column: str) -> pl.Expr:
    """Return a text in lower case without blanks, null where nothing is left."""
    text = pl.col(column).str.strip_chars().str.to_lowercase()
    return pl.when(text.str.len_bytes() > 0).then(text)


def _check(patients: pl.DataFrame) -> None:
    if patients.is_empty():
        raise SourceError("PATIENT has no rows. Expected one row for each unit stay: download the table again.")
    for column in ("patientunitstayid", "patienthealthsystemstayid", "uniquepid", "unitdischargeoffset"):
        lost = patients[column].null_count()
        if lost:
            raise SourceError(f"{lost:,} rows of PATIENT have no {column}. Give the table as eICU 2.0 ships it.")
    twice = patients.filter(pl.col("patientunitstayid").is_duplicated())["patientunitstayid"]
    if len(twice):
        raise SourceError(f"PATIENT has patientunitstayid {twice[0]} more than once. Expected one row a stay.")
    odd = patients.filter(~pl.col("uniquepid").str.strip_chars().str.contains(_PATIENT))["uniquepid"]
    if len(odd):
        raise SourceError(f"PATIENT has uniquepid {odd[0]!r}. Expected a form as 002-1039: give the table as shipped.")
    backwards = patients.filter(pl.col("unitdischargeoffset") < 0)["patientunitstayid"]
    if len(backwards):
        raise SourceError(f"Stay {backwards[0]} ends before it begins. Correct its unitdischargeoffset in PATIENT.")
    for column in ("hospitaldischargestatus", "unitdischargestatus"):
        unknown = patients.filter(~_text(column).is_in(["alive", "expired"]))[column]
        if len(unknown):
            raise SourceError(
                f"PATIENT has {column} = {unknown[0]!r} in {len(unknown):,} rows. Expected Alive, Expired or nothing."
            )
