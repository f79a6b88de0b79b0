"""The hospital as MIMIC-IV: items of MetaVision alone, ages instead of dates of birth, no flag of errors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import polars as pl

from icudl.files import write_atomically
from icudl.sources.synthetic.items import CHART_ITEMS, LABS, NOISE_ITEMS, NOISE_LABS
from icudl.sources.synthetic.layouts.base import (
    OLDEST_VISIBLE_AGE_YEARS,
    Frames,
    Layout,
    charted,
    whole_age,
)

METAVISION: Mapping[int, int | None] = {
    211: 220045, 51: 220050, 6701: 225309, 442: 220179, 455: 220179, 8368: 220051, 8555: 225310, 8440: 220180,
    8441: 220180, 676: 223762, 678: 223761, 618: 220210, 615: 224690, 646: 220277, 52: 220052, 456: 220181,
    113: 220074, 190: 223835, 212: 220048, 161: 224650, 425: 223986, 682: 224685, 807: 225664,
    # Converted copies of other entries, which no variable reads, and items that MetaVision has not.
    677: None, 679: None, 198: None, 128: None, 80: None,
}  # fmt: skip
"""Item of MIMIC-IV for each one of CareVue; None where the row is left out."""

_HIDDEN_AGE = 91
_SECOND_LINE = ((225309, "ART BP Systolic", "mmHg"), (225310, "ART BP Diastolic", "mmHg"))
_UNITS = {"?F": "°F", "?C": "°C"}


def frames(tables: Frames) -> Frames:
    """Return MIMIC-IV's tables of one block."""
    return {
        "hosp/patients": patients(tables),
        "hosp/admissions": admissions(tables["ADMISSIONS"]),
        "icu/icustays": tables["ICUSTAYS"].select(
            subject_id="SUBJECT_ID",
            hadm_id="HADM_ID",
            stay_id="ICUSTAY_ID",
            first_careunit="FIRST_CAREUNIT",
            last_careunit="LAST_CAREUNIT",
            intime="INTIME",
            outtime="OUTTIME",
            los="LOS",
        ),
        "icu/chartevents": chart_events(charted(tables)),
        "hosp/labevents": lab_events(tables["LABEVENTS"]),
    }


def patients(tables: Frames) -> pl.DataFrame:
    """Return patients: the anchor is the first ICU admission, so an age there is that of MIMIC-III in whole years."""
    first = tables["ICUSTAYS"].sort("INTIME").unique(["SUBJECT_ID"], keep="first", maintain_order=True)
    joined = tables["PATIENTS"].join(first.select("SUBJECT_ID", "INTIME"), on="SUBJECT_ID", maintain_order="left")
    age = whole_age()
    return joined.select(
        subject_id="SUBJECT_ID",
        gender="GENDER",
        anchor_age=pl.when(age > OLDEST_VISIBLE_AGE_YEARS).then(_HIDDEN_AGE).otherwise(age).cast(pl.Int32),
        anchor_year=pl.col("INTIME").dt.year(),
        anchor_year_group=pl.lit("2014 - 2016"),
        dod=pl.col("DOD").dt.date(),
    )


def admissions(table: pl.DataFrame) -> pl.DataFrame:
    """Return admissions."""
    return table.select(
        subject_id="SUBJECT_ID",
        hadm_id="HADM_ID",
        admittime="ADMITTIME",
        dischtime="DISCHTIME",
        deathtime="DEATHTIME",
        admission_type="ADMISSION_TYPE",
        admission_location="ADMISSION_LOCATION",
        discharge_location=pl.col("DISCHARGE_LOCATION").replace("DEAD/EXPIRED", "DIED"),
        insurance="INSURANCE",
        language="LANGUAGE",
        marital_status="MARITAL_STATUS",
        race="ETHNICITY",
        edregtime="EDREGTIME",
        edouttime="EDOUTTIME",
        hospital_expire_flag="HOSPITAL_EXPIRE_FLAG",
    )


def metavision() -> pl.Expr:
    """Return the item of MIMIC-IV, null where the row is left out."""
    old = pl.Series(list(METAVISION), dtype=pl.Int32)
    new = pl.Series(list(METAVISION.values()), dtype=pl.Int32)
    return pl.col("ITEMID").replace(old, new)


def chart_events(table: pl.DataFrame) -> pl.DataFrame:
    """Return chartevents of CHARTEVENTS without errors."""
    units = {item: _UNITS.get(unit, unit) or None for item, _, unit in chart_items()}
    return (
        table.with_columns(itemid=metavision())
        .filter(pl.col("itemid").is_not_null())
        .select(
            subject_id="SUBJECT_ID",
            hadm_id="HADM_ID",
            stay_id="ICUSTAY_ID",
            caregiver_id="CGID",
            charttime="CHARTTIME",
            storetime="STORETIME",
            itemid="itemid",
            value="VALUE",
            valuenum="VALUENUM",
            valueuom=pl.col("itemid").replace_strict(units, default=None, return_dtype=pl.String),
            warning=pl.col("WARNING").fill_null(0),
        )
    )


def lab_events(table: pl.DataFrame) -> pl.DataFrame:
    """Return labevents."""
    none = pl.lit(None, pl.String)
    return table.select(
        labevent_id="ROW_ID",
        subject_id="SUBJECT_ID",
        hadm_id="HADM_ID",
        specimen_id="ROW_ID",
        itemid="ITEMID",
        order_provider_id=none,
        charttime="CHARTTIME",
        storetime=pl.col("CHARTTIME") + pl.duration(minutes=45),
        value="VALUE",
        valuenum="VALUENUM",
        valueuom="VALUEUOM",
        ref_range_lower=pl.lit(None, pl.Float64),
        ref_range_upper=pl.lit(None, pl.Float64),
        flag=pl.col("FLAG").replace("delta", None),
        priority=pl.lit("ROUTINE"),
        comments=none,
    )


def chart_items() -> list[tuple[int, str, str]]:
    """Return item, label and unit of what chartevents may hold."""
    known = [(entry.item, entry.label, entry.unit) for entry in CHART_ITEMS if entry.metavision]
    return sorted({*known, *_SECOND_LINE, *((one.item, one.label, one.unit) for one in NOISE_ITEMS if one.metavision)})


def finish(folder: Path, file_format: str) -> None:
    """Write the dictionaries of items."""
    from icudl.sources.synthetic.files import write_frame

    rows = chart_items()
    charts = pl.DataFrame(
        {
            "itemid": [row[0] for row in rows],
            "label": [row[1] for row in rows],
            "linksto": "chartevents",
            "unitname": [_UNITS.get(row[2], row[2]) for row in rows],
        }
    )
    known = sorted({(lab.item, lab.label) for lab in LABS} | {(lab.item, lab.label) for lab in NOISE_LABS})
    labs = pl.DataFrame({"itemid": [row[0] for row in known], "label": [row[1] for row in known], "fluid": "Blood"})
    for name, frame in (("icu/d_items", charts), ("hosp/d_labitems", labs)):
        path = folder / f"{name}.{file_format}"
        write_atomically(path, partial(write_frame, frame=frame, file_format=file_format, header=True))


MIMIC4 = Layout(
    name="mimic4",
    formats=("csv.gz", "csv", "parquet"),
    tables=("hosp/patients", "hosp/admissions", "icu/icustays", "icu/chartevents", "hosp/labevents"),
    frames=frames,
    finish=finish,
)
