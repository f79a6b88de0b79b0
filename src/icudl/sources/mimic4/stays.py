"""ICU stays of MIMIC-IV, whose patients have an age in one year, the anchor year, instead of a date of birth."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA
from icudl.errors import SourceError
from icudl.sources.mimic.stays import Stays, joined_stays
from icudl.sources.mimic4.layout import LAYOUT

OTHER_YEARS = "stay of a patient of other year groups"
"""Rule of the cleaning table under which the stays that ``source.year_groups`` leaves out are counted."""


def stays_of(
    patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame, year_groups: Collection[str] = ()
) -> Stays:
    """Join the three tables of a release to its ICU stays; ``mimic.stays`` has the rules.

    The age at ICU admission is anchor_age plus the years from anchor_year to the year of ICU admission, a whole number;
    anchor_age is 91 for every patient above 89.

    Args:
        patients: subject_id, gender, anchor_age, anchor_year, anchor_year_group, dod.
        admissions: subject_id, hadm_id, dischtime, deathtime, hospital_expire_flag.
        icustays: subject_id, hadm_id, stay_id, first_careunit, intime, outtime.
            All times in whole seconds since 1970.
        year_groups: Groups of years whose patients are kept; empty for all. The stays that are left out are counted.

    Raises:
        SourceError: An id occurs twice, a stay lacks its admission, patient, outcome or time of admission, an id is
            beyond what the reader can hold, or no stay is of the year groups.
    """
    year = pl.from_epoch(pl.col("intime"), time_unit="s").dt.year()
    age_years = pl.col("anchor_age") + year - pl.col("anchor_year")
    # Checked whole first: a contradiction among the stays that are left out is one of the release.
    everyone = joined_stays(patients, admissions, icustays, LAYOUT, age_years)
    if not year_groups:
        return everyone
    group = pl.col("anchor_year_group").str.strip_chars()
    others = patients.filter(~group.is_in(list(year_groups)).fill_null(value=False))
    kept = joined_stays(patients, admissions, icustays.join(others, on="subject_id", how="anti"), LAYOUT, age_years)
    if kept.table.is_empty():
        found = ", ".join(patients["anchor_year_group"].drop_nulls().unique().sort().to_list()) or "none"
        raise SourceError(
            f"No ICU stay is of a patient of source.year_groups ({', '.join(year_groups)}). "
            f"The groups of these data are {found}: name some of them, or none for all patients."
        )
    row = ("anchor_year_group", OTHER_YEARS, len(everyone.table) - len(kept.table))
    counted = pl.DataFrame([row], schema=dict(CLEANING_SCHEMA), orient="row")
    return Stays(kept.table, pl.concat([kept.cleaning, counted]), kept.outcomes)
