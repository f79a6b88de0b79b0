"""The hospital as eICU: minutes since admission to the unit, labels instead of items, no error flag.

What nurses chart once is NURSECHARTING; breaths that the ventilator counts are VITALPERIODIC. eICU has one potassium,
so whole blood and serum are one lab.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from icudl.sources.eicu.items import SERIES
from icudl.sources.synthetic.items import LABS
from icudl.sources.synthetic.layouts.base import (
    OLDEST_VISIBLE_AGE_YEARS,
    Frames,
    Layout,
    charted,
    variables,
    whole_age,
    with_stay,
)

CHARTED: Mapping[int, tuple[str, str]] = {
    **dict.fromkeys((211, 220045), ("Heart Rate", "Heart Rate")),
    **dict.fromkeys((51, 6701, 220050), ("Invasive BP", "Invasive BP Systolic")),
    **dict.fromkeys((8368, 8555, 220051), ("Invasive BP", "Invasive BP Diastolic")),
    **dict.fromkeys((442, 455, 220179), ("Non-Invasive BP", "Non-Invasive BP Systolic")),
    **dict.fromkeys((8440, 8441, 220180), ("Non-Invasive BP", "Non-Invasive BP Diastolic")),
    **dict.fromkeys((676, 678, 223761, 223762), ("Temperature", "Temperature (C)")),
    **dict.fromkeys((618, 220210), ("Respiratory Rate", "Respiratory Rate")),
    **dict.fromkeys((646, 220277), ("O2 Saturation", "O2 Saturation")),
}
"""Labels of NURSECHARTING; Fahrenheit stays Fahrenheit under the Celsius label, which the reader repairs."""

MONITORED = (615, 224690)
"""Items that become the column respiration of VITALPERIODIC."""

_MONITOR_COLUMNS = (
    "temperature", "sao2", "heartrate", "respiration", "systemicsystolic", "systemicdiastolic", "systemicmean",
)  # fmt: skip


def frames(tables: Frames) -> Frames:
    """Return eICU's tables of one block."""
    stays, charts = tables["ICUSTAYS"], _placed(charted(tables), tables["ICUSTAYS"])
    labs = _placed(tables["LABEVENTS"], stays)
    named = pl.col("ITEMID").replace_strict(dict(_lab_names()), default=None, return_dtype=pl.String)
    monitored = charts.filter(pl.col("ITEMID").is_in(list(MONITORED)))
    return {
        "patient": _patients(tables),
        "lab": labs.with_columns(labname=named)
        .filter(pl.col("labname").is_not_null())
        .select(
            patientunitstayid="ICUSTAY_ID",
            labresultoffset="offset",
            labname="labname",
            labresult="VALUENUM",
            labresulttext="VALUE",
            labmeasurenamesystem="VALUEUOM",
            labmeasurenameinterface="VALUEUOM",
            labresultrevisedoffset="offset",
        ),
        "nurseCharting": _nursing(charts),
        "vitalPeriodic": monitored.select(
            pl.col("ICUSTAY_ID").alias("patientunitstayid"),
            pl.col("offset").alias("observationoffset"),
            *(
                (pl.col("VALUENUM") if name == "respiration" else pl.lit(None, pl.Float64)).alias(name)
                for name in _MONITOR_COLUMNS
            ),
        ),
    }


def _lab_names() -> Mapping[int, str]:
    return {
        lab.item: SERIES[variables()[lab.item]][0][1]
        for lab in LABS
        if lab.item in variables() and variables()[lab.item] in SERIES
    }


def _placed(events: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    """Return events with their stay and minute; those within its last, unfinished minute but after it are left out."""
    placed = with_stay(events, stays)
    seconds = (pl.col("CHARTTIME") - pl.col("INTIME")).dt.total_seconds()
    length = (pl.col("OUTTIME") - pl.col("INTIME")).dt.total_seconds()
    return placed.filter((seconds < length) | (seconds // 60 > length // 60)).with_columns(
        offset=(seconds // 60).cast(pl.Int64)
    )


def _nursing(charts: pl.DataFrame) -> pl.DataFrame:
    items = list(CHARTED)
    labels = pl.DataFrame(
        {"ITEMID": items, "label": [CHARTED[item][0] for item in items], "name": [CHARTED[item][1] for item in items]},
        schema_overrides={"ITEMID": pl.Int32},
    )
    return charts.join(labels, on="ITEMID", maintain_order="left").select(
        patientunitstayid="ICUSTAY_ID",
        nursingchartoffset="offset",
        nursingchartentryoffset="offset",
        nursingchartcelltypecat=pl.lit("Vital Signs"),
        nursingchartcelltypevallabel="label",
        nursingchartcelltypevalname="name",
        nursingchartvalue="VALUE",
    )


def _patients(tables: Frames) -> pl.DataFrame:
    joined = (
        tables["ICUSTAYS"]
        .sort("SUBJECT_ID", "INTIME")
        .with_columns(visit=pl.int_range(1, pl.len() + 1).over("HADM_ID"))
        .join(tables["PATIENTS"].select("SUBJECT_ID", "GENDER", "DOB"), on="SUBJECT_ID", maintain_order="left")
        .join(tables["ADMISSIONS"].drop("SUBJECT_ID"), on="HADM_ID", maintain_order="left")
    )

    def minutes(column: str, *, up: bool = False) -> pl.Expr:
        seconds = (pl.col(column) - pl.col("INTIME")).dt.total_seconds()
        return ((seconds + 59) // 60 if up else seconds // 60).cast(pl.Int64)

    age, died = whole_age(), pl.col("HOSPITAL_EXPIRE_FLAG") == 1
    in_unit = died & (pl.col("DEATHTIME") <= pl.col("OUTTIME")).fill_null(value=False)
    status = {True: pl.lit("Expired"), False: pl.lit("Alive")}
    return joined.select(
        patientunitstayid="ICUSTAY_ID",
        patienthealthsystemstayid="HADM_ID",
        gender=pl.when(pl.col("GENDER") == "F").then(pl.lit("Female")).otherwise(pl.lit("Male")),
        age=pl.when(age > OLDEST_VISIBLE_AGE_YEARS).then(pl.lit("> 89")).otherwise(age.cast(pl.String)),
        ethnicity="ETHNICITY",
        hospitalid=(pl.col("SUBJECT_ID") % 7 + 100).cast(pl.Int64),
        wardid="FIRST_WARDID",
        apacheadmissiondx="DIAGNOSIS",
        admissionheight=pl.lit(None, pl.Float64),
        hospitaladmitoffset=minutes("ADMITTIME"),
        hospitaldischargeyear=pl.col("DISCHTIME").dt.year(),
        hospitaldischargeoffset=minutes("DISCHTIME"),
        hospitaldischargestatus=pl.when(died).then(status[True]).otherwise(status[False]),
        unittype="FIRST_CAREUNIT",
        unitvisitnumber="visit",
        admissionweight=pl.lit(None, pl.Float64),
        unitdischargeoffset=minutes("OUTTIME", up=True),
        unitdischargestatus=pl.when(in_unit).then(status[True]).otherwise(status[False]),
        uniquepid=pl.format("001-{}", "SUBJECT_ID"),
    )


def finish(folder: Path, file_format: str) -> None:
    """Write nothing: eICU has no dictionaries."""


EICU = Layout(
    name="eicu",
    formats=("csv.gz", "csv", "parquet"),
    tables=("patient", "lab", "nurseCharting", "vitalPeriodic"),
    frames=frames,
    finish=finish,
)
