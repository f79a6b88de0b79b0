"""What the layouts share: what an item measures, and the ICU stay that a row belongs to."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import polars as pl

from icudl.sources.rules import mimic3_rules
from icudl.sources.synthetic.items import CHART_ITEMS, LABS

Frames = dict[str, pl.DataFrame]
"""Tables by name; a name may hold folders ("hosp/patients")."""

SECONDS_PER_YEAR = 365.2425 * 86_400
"""As the reader of MIMIC-III counts."""

OLDEST_VISIBLE_AGE_YEARS = 89


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How a hospital is written.

    Attributes:
        name: Its name on the command line.
        formats: File formats that it has, the usual one first.
        tables: Its tables with rows of patients.
        frames: Makes these tables of MIMIC-III's, for one block of patients.
        finish: Given the folder and the file format, writes what does not grow with the patients; all tables are there.
    """

    name: str
    formats: tuple[str, ...]
    tables: tuple[str, ...]
    frames: Callable[[Frames], Frames]
    finish: Callable[[Path, str], None]


@functools.cache
def variables() -> Mapping[int, str]:
    """Return the variable that each item of the hospital measures; items that no variable reads are left out."""
    ours = {entry.item for entry in CHART_ITEMS} | {lab.item for lab in LABS}
    return {item: rule.variable for rule in mimic3_rules().rules for item in rule.items if item in ours}


def labels() -> Mapping[int, str]:
    """Return the label of each item that is charted or drawn, those of unread items left out."""
    return {entry.item: entry.label for entry in CHART_ITEMS} | {lab.item: lab.label for lab in LABS}


def charted(frames: Frames) -> pl.DataFrame:
    """Return CHARTEVENTS without entries flagged as errors: no other layout has the flag."""
    return frames["CHARTEVENTS"].filter(pl.col("ERROR").ne_missing(1))


def with_stay(events: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    """Return events with the ICU stay that they belong to by time: the last one begun, or the patient's first.

    Args:
        events: SUBJECT_ID and CHARTTIME among others; HADM_ID and ICUSTAY_ID are replaced.
        stays: ICUSTAYS.

    Returns:
        The events in their order, with HADM_ID, ICUSTAY_ID, INTIME and OUTTIME of the stay.
    """
    spans = stays.select("SUBJECT_ID", "HADM_ID", "ICUSTAY_ID", "INTIME", "OUTTIME", BEGUN="INTIME").sort("BEGUN")
    bare = events.drop("HADM_ID", "ICUSTAY_ID", strict=False).with_row_index("row").sort("CHARTTIME")
    begun = _joined(bare, spans, "backward")
    early = _joined(begun.filter(pl.col("ICUSTAY_ID").is_null()).select(bare.columns), spans, "forward")
    return pl.concat([begun.filter(pl.col("ICUSTAY_ID").is_not_null()), early]).sort("row").drop("row")


def _joined(events: pl.DataFrame, spans: pl.DataFrame, strategy: Literal["backward", "forward"]) -> pl.DataFrame:
    return events.join_asof(
        spans, left_on="CHARTTIME", right_on="BEGUN", by="SUBJECT_ID", strategy=strategy, check_sortedness=False
    ).drop("BEGUN", strict=False)


def whole_age() -> pl.Expr:
    """Return the age at ICU admission in whole years, over columns INTIME and DOB."""
    seconds = (pl.col("INTIME") - pl.col("DOB")).dt.total_seconds()
    return (seconds / SECONDS_PER_YEAR).floor().cast(pl.Int64)
