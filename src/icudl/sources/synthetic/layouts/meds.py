"""The hospital as MEDS, with the codes of the ETL of MIMIC-IV and results at the time of the sample."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from icudl.artifacts import Schema, write_json
from icudl.files import write_atomically
from icudl.sources.synthetic.layouts import mimic4
from icudl.sources.synthetic.layouts.base import Frames, Layout

_DATA = "data/train/0"
_SCHEMA: Schema = {
    "subject_id": pl.Int64, "time": pl.Datetime("us"), "code": pl.String, "numeric_value": pl.Float32,
    "text_value": pl.String, "hadm_id": pl.Int64, "icustay_id": pl.Int64,
}  # fmt: skip


def _events(frame: pl.DataFrame, time: pl.Expr, code: pl.Expr, **columns: pl.Expr) -> pl.DataFrame:
    rows = frame.select(subject_id="subject_id", time=time, code=code, **columns)
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in _SCHEMA.items()
    )


def _code(*parts: str | pl.Expr) -> pl.Expr:
    texts = [pl.lit(part) if isinstance(part, str) else part.cast(pl.String).fill_null("UNK") for part in parts]
    return pl.concat_str(texts, separator="//")


def frames(tables: Frames) -> Frames:
    """Return the events of one block, sorted by subject and time, static ones first."""
    of = mimic4.frames(tables)
    patients, admissions, stays = of["hosp/patients"], of["hosp/admissions"], of["icu/icustays"]
    birth = pl.datetime(pl.col("anchor_year") - pl.col("anchor_age"), 1, 1)
    hadm, icu = pl.col("hadm_id"), pl.col("stay_id")
    value = {"numeric_value": pl.col("valuenum"), "text_value": pl.col("value"), "hadm_id": hadm}
    death = admissions.group_by("subject_id").agg(pl.col("deathtime").min())
    dead = patients.join(death, on="subject_id").with_columns(
        moment=pl.coalesce("deathtime", pl.col("dod").cast(pl.Datetime("us")))
    )
    charts, labs = of["icu/chartevents"], of["hosp/labevents"]
    events = [
        _events(patients, pl.lit(None), _code("GENDER", pl.col("gender"))),
        _events(patients, birth, pl.lit("MEDS_BIRTH")),
        _events(dead.filter(pl.col("moment").is_not_null()), pl.col("moment"), pl.lit("MEDS_DEATH")),
        _events(
            admissions,
            pl.col("admittime"),
            _code("HOSPITAL_ADMISSION", pl.col("admission_type"), pl.col("admission_location")),
            hadm_id=hadm,
        ),
        _events(
            admissions, pl.col("dischtime"), _code("HOSPITAL_DISCHARGE", pl.col("discharge_location")), hadm_id=hadm
        ),
        _events(
            stays, pl.col("intime"), _code("ICU_ADMISSION", pl.col("first_careunit")), hadm_id=hadm, icustay_id=icu
        ),
        _events(
            stays, pl.col("outtime"), _code("ICU_DISCHARGE", pl.col("last_careunit")), hadm_id=hadm, icustay_id=icu
        ),
        _events(charts, pl.col("charttime"), _lab_code(), icustay_id=icu, **value),
        _events(labs, pl.col("charttime"), _lab_code(), **value),
    ]
    return {_DATA: pl.concat(events).sort("subject_id", "time", nulls_last=False, maintain_order=True)}


def _lab_code() -> pl.Expr:
    return _code("LAB", pl.col("itemid"), pl.col("valueuom"))


def finish(folder: Path, file_format: str) -> None:
    """Write the metadata."""
    described = {
        "dataset_name": "MIMIC-IV layout of a synthetic hospital",
        "etl_name": "icudl synth",
        "meds_version": "0.4.0",
    }
    codes = pl.scan_parquet(folder / f"{_DATA}.{file_format}").select("code").unique().sort("code").collect()
    empty = codes.with_columns(description=pl.lit(None, pl.String), parent_codes=pl.lit(None, pl.List(pl.String)))
    write_atomically(folder / "metadata" / "dataset.json", lambda path: write_json(path, described))
    write_atomically(folder / "metadata" / "codes.parquet", empty.write_parquet)


MEDS = Layout(name="meds", formats=("parquet",), tables=(_DATA,), frames=frames, finish=finish)
