"""ICU stays of MIMIC-III, whose patients have a date of birth."""

from __future__ import annotations

import polars as pl

from icudl.sources.mimic.stays import Stays, joined_stays
from icudl.sources.mimic3.layout import LAYOUT

_SECONDS_PER_YEAR = 365.2425 * 24 * 3600


def stays_of(patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame) -> Stays:
    """Join the three tables of a release to its ICU stays; ``mimic.stays`` has the rules.

    Dates of birth of patients above 89 lie 300 years back, so their ages are hidden.

    Args:
        patients: subject_id, gender, dob, dod.
        admissions: subject_id, hadm_id, dischtime, deathtime, hospital_expire_flag.
        icustays: subject_id, hadm_id, icustay_id, first_careunit, intime, outtime.
            All times in whole seconds since 1970.

    Raises:
        SourceError: An id occurs twice, a stay lacks its admission, patient, outcome or time of admission, or an id
            is beyond what the reader can hold.
    """
    age_years = (pl.col("intime") - pl.col("dob")) / _SECONDS_PER_YEAR
    return joined_stays(patients, admissions, icustays, LAYOUT, age_years)
