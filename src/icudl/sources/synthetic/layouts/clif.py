"""The hospital as CLIF 2.1: categories instead of items, degrees Celsius, times in UTC, no error flag."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from icudl.sources.clif.items import CATEGORIES, LABS, VITALS
from icudl.sources.synthetic.layouts.base import Frames, Layout, charted, labels, variables, whole_age, with_stay
from icudl.sources.table import units

FAHRENHEIT = (678, 223761)
"""Items whose values are filed in degrees Celsius here; Fahrenheit numbers under other items stay as they are."""

_UNIT_TYPES: Mapping[str, str] = {
    "MICU": "medical_icu", "SICU": "surgical_icu", "CCU": "cardiac_icu", "CSRU": "cardiothoracic_surgical_icu",
    "TSICU": "surgical_icu", "NICU": "general_icu",
}  # fmt: skip
_WARD_AFTER_MINUTES = 1


def _categories(table: str) -> Mapping[int, str]:
    """Return the category of each item that the table holds."""
    first: dict[str, str] = {}
    for category in CATEGORIES:
        if category.table == table:
            first.setdefault(category.variable, category.name)
    return {item: first[variable] for item, variable in variables().items() if variable in first}


def frames(tables: Frames) -> Frames:
    """Return CLIF's tables of one block."""
    stays = tables["ICUSTAYS"]
    return {
        "clif_patient": _patients(tables),
        "clif_hospitalization": _hospitalizations(tables),
        "clif_adt": _adt(tables),
        "clif_vitals": _vitals(with_stay(charted(tables), stays)),
        "clif_labs": _labs(with_stay(tables["LABEVENTS"], stays)),
    }


def _utc(column: str) -> pl.Expr:
    return pl.col(column).dt.replace_time_zone("UTC")


def _text(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String)


def _patients(tables: Frames) -> pl.DataFrame:
    death = tables["ADMISSIONS"].group_by("SUBJECT_ID").agg(pl.col("DEATHTIME").min())
    joined = tables["PATIENTS"].join(death, on="SUBJECT_ID", maintain_order="left")
    return joined.select(
        patient_id=_text("SUBJECT_ID"),
        race_category=pl.lit("Unknown"),
        ethnicity_category=pl.lit("Unknown"),
        sex_category=pl.when(pl.col("GENDER") == "F").then(pl.lit("Female")).otherwise(pl.lit("Male")),
        birth_date=pl.lit(None, pl.Date),
        death_dttm=pl.coalesce("DEATHTIME", "DOD").dt.replace_time_zone("UTC"),
        language_category=pl.lit("Unknown or NA"),
    )


def _hospitalizations(tables: Frames) -> pl.DataFrame:
    first = tables["ICUSTAYS"].sort("INTIME").unique(["HADM_ID"], keep="first").select("HADM_ID", "INTIME")
    joined = (
        tables["ADMISSIONS"]
        .join(first, on="HADM_ID", maintain_order="left")
        .join(tables["PATIENTS"].select("SUBJECT_ID", "DOB"), on="SUBJECT_ID", maintain_order="left")
    )
    return joined.select(
        patient_id=_text("SUBJECT_ID"),
        hospitalization_id=_text("HADM_ID"),
        admission_dttm=_utc("ADMITTIME"),
        discharge_dttm=_utc("DISCHTIME"),
        age_at_admission=whole_age().clip(0, 120),
        admission_type_name="ADMISSION_TYPE",
        admission_type_category=pl.lit("ed"),
        discharge_name="DISCHARGE_LOCATION",
        discharge_category=pl.when(pl.col("HOSPITAL_EXPIRE_FLAG") == 1)
        .then(pl.lit("Expired"))
        .otherwise(pl.lit("Home")),
    )


def _adt(tables: Frames) -> pl.DataFrame:
    """Return a row for each ICU stay, and one of the ward behind each that does not end the admission."""
    joined = tables["ICUSTAYS"].join(
        tables["ADMISSIONS"].select("HADM_ID", "DISCHTIME"), on="HADM_ID", maintain_order="left"
    )
    places = {
        "hospitalization_id": _text("HADM_ID"),
        "hospital_id": pl.lit("synthetic"),
        "hospital_type": pl.lit("academic"),
    }
    icu = joined.select(
        **places,
        in_dttm=_utc("INTIME"),
        out_dttm=_utc("OUTTIME"),
        location_name="FIRST_CAREUNIT",
        location_category=pl.lit("icu"),
        location_type=pl.col("FIRST_CAREUNIT").replace_strict(_UNIT_TYPES, return_dtype=pl.String),
    )
    after = (pl.col("DISCHTIME") - pl.col("OUTTIME")).dt.total_minutes() > _WARD_AFTER_MINUTES
    ward = joined.filter(after).select(
        **places,
        in_dttm=_utc("OUTTIME"),
        out_dttm=_utc("DISCHTIME"),
        location_name=pl.lit("Ward"),
        location_category=pl.lit("ward"),
        location_type=pl.lit(None, pl.String),
    )
    return pl.concat([icu, ward]).sort("hospitalization_id", "in_dttm")


def _named(categories: Mapping[int, str]) -> tuple[pl.Expr, pl.Expr]:
    """Return category and label over ITEMID; the category is null where the format has none."""
    item = pl.col("ITEMID")
    return (
        item.replace_strict(dict(categories), default=None, return_dtype=pl.String),
        item.replace_strict(dict(labels()), default=None, return_dtype=pl.String),
    )


def _vitals(charts: pl.DataFrame) -> pl.DataFrame:
    category, label = _named(_categories(VITALS))
    celsius = (pl.col("VALUENUM") - 32.0) / 1.8
    return (
        charts.with_columns(category=category, label=label)
        .filter(pl.col("category").is_not_null())
        .select(
            hospitalization_id=_text("HADM_ID"),
            recorded_dttm=_utc("CHARTTIME"),
            vital_name="label",
            vital_category="category",
            vital_value=pl.when(pl.col("ITEMID").is_in(list(FAHRENHEIT))).then(celsius).otherwise("VALUENUM"),
            meas_site_name=pl.lit(None, pl.String),
        )
    )


def _labs(events: pl.DataFrame) -> pl.DataFrame:
    category, label = _named(_categories(LABS))
    calcium = units.conversion("calcium", "mg/dL")
    divisor = 1.0 if calcium is None else calcium.divisor
    is_calcium = pl.col("category") == "calcium_ionized"
    return (
        events.with_columns(category=category, label=label)
        .filter(pl.col("category").is_not_null())
        .select(
            hospitalization_id=_text("HADM_ID"),
            lab_order_dttm=_utc("CHARTTIME"),
            lab_collect_dttm=_utc("CHARTTIME"),
            lab_result_dttm=_utc("CHARTTIME") + pl.duration(minutes=45),
            lab_order_category=pl.lit("misc"),
            lab_name="label",
            lab_category="category",
            lab_value="VALUE",
            lab_value_numeric=pl.when(is_calcium).then(pl.col("VALUENUM") * divisor).otherwise("VALUENUM"),
            reference_unit=pl.when(is_calcium)
            .then(pl.lit("mg/dL"))
            .when(pl.col("category").str.starts_with("ph_"))
            .then(pl.lit("(no units)"))
            .otherwise("VALUEUOM"),
        )
    )


def finish(folder: Path, file_format: str) -> None:
    """Write nothing: all of CLIF's tables hold patients."""


CLIF = Layout(
    name="clif",
    formats=("parquet",),
    tables=("clif_patient", "clif_hospitalization", "clif_adt", "clif_vitals", "clif_labs"),
    frames=frames,
    finish=finish,
)
