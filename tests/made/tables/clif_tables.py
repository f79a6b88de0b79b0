"""Small CLIF tables written by hand, in Parquet or CSV."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from icudl.artifacts import SourceTables
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.sources import WindowOptions
from icudl.sources.clif import Clif, ClifOptions
from icudl.variables import select

START = datetime(2150, 1, 1, 10, 0, 0, tzinfo=UTC)
"""ICU admission of hospitalization H1."""

Row = dict[str, Any]


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def patient(number: int = 1, **changes: Any) -> Row:
    return {
        "patient_id": f"P{number}",
        "death_dttm": None,
        "sex_category": "Female",
        "race_category": "Unknown",
    } | changes


def hospitalization(number: int = 1, **changes: Any) -> Row:
    return {
        "patient_id": f"P{number}", "hospitalization_id": f"H{number}", "admission_dttm": at(-5),
        "discharge_dttm": at(120), "age_at_admission": 60, "admission_type_category": "ed",
        "discharge_category": "Home",
    } | changes  # fmt: skip


def location(start: float = 0, end: float | None = 100, number: int = 1, **changes: Any) -> Row:
    return {
        "hospitalization_id": f"H{number}", "hospital_id": "north", "hospital_type": "academic", "in_dttm": at(start),
        "out_dttm": None if end is None else at(end), "location_name": "4 West", "location_category": "icu",
        "location_type": "medical_icu",
    } | changes  # fmt: skip


def vital(hours: float | None, category: str, value: float | None, number: int = 1, name: str | None = None) -> Row:
    return {
        "hospitalization_id": f"H{number}", "recorded_dttm": None if hours is None else at(hours),
        "vital_name": name, "vital_category": category, "vital_value": value, "meas_site_name": None,
    }  # fmt: skip


def lab(hours: float, category: str, value: Any, unit: str | None = None, number: int = 1, **changes: Any) -> Row:
    return {
        "hospitalization_id": f"H{number}", "lab_order_dttm": at(hours), "lab_collect_dttm": at(hours),
        "lab_result_dttm": at(hours + 1), "lab_order_category": "bmp", "lab_name": None, "lab_category": category,
        "lab_value": None if value is None else str(value),
        "lab_value_numeric": value if isinstance(value, int | float) else None, "reference_unit": unit,
    } | changes  # fmt: skip


def assessment(hours: float, category: str, value: float | None, number: int = 1) -> Row:
    return {
        "hospitalization_id": f"H{number}", "recorded_dttm": at(hours), "assessment_name": category,
        "assessment_category": category, "numerical_value": value, "categorical_value": None,
    }  # fmt: skip


def device(hours: float, number: int = 1, **values: Any) -> Row:
    return {
        "hospitalization_id": f"H{number}", "recorded_dttm": at(hours), "device_category": None, "fio2_set": None,
        "resp_rate_obs": None,
    } | values  # fmt: skip


_TYPES: dict[str, Any] = dict.fromkeys(
    ("vital_value", "lab_value_numeric", "numerical_value", "fio2_set", "resp_rate_obs"), pl.Float64
)


@dataclasses.dataclass
class Hospital:
    """Rows by table; a table whose rows are None is not written."""

    patient: list[Row] = dataclasses.field(default_factory=lambda: [patient()])
    hospitalization: list[Row] = dataclasses.field(default_factory=lambda: [hospitalization()])
    adt: list[Row] = dataclasses.field(default_factory=lambda: [location()])
    vitals: list[Row] | None = dataclasses.field(default_factory=lambda: [vital(1, "heart_rate", 80)])
    labs: list[Row] | None = None
    patient_assessments: list[Row] | None = None
    respiratory_support: list[Row] | None = None

    def write(self, folder: Path, ending: str = "parquet", zones: frozenset[str] | None = None) -> Path:
        """Write the tables; ``zones`` names those whose times keep their zone (all by default)."""
        folder.mkdir(parents=True, exist_ok=True)
        for field in dataclasses.fields(self):
            rows = getattr(self, field.name)
            if rows is None:
                continue
            kinds = {
                name: pl.Datetime("us", "UTC") if name.endswith("_dttm") else _TYPES.get(name, pl.String)
                for name in (rows[0] if rows else {})
            }
            frame = pl.DataFrame(rows, schema_overrides=kinds, strict=False)
            if zones is not None and field.name not in zones:
                frame = frame.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.replace_time_zone(None))
            path = folder / f"clif_{field.name}.{ending}"
            if ending == "parquet":
                frame.write_parquet(path)
            else:
                aware = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
                texts = [pl.col(name).dt.strftime("%Y-%m-%d %H:%M:%S") for name in aware]
                if zones is None or field.name in zones:
                    texts = [text + "+00:00" for text in texts]
                frame.with_columns(texts).write_csv(path)
        return folder


def read(folder: Path, use: tuple[str, ...] = ("heartrate",), hours: int = 48, **options: Any) -> SourceTables:
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=1)
    return Clif(ClifOptions(path=str(folder), **options), 1).extract(select(use), WindowOptions(hours=hours), context)


def study_folder(folder: Path) -> None:
    """Write a hospital that has every variable of the study, for the contract of sources."""
    labs = {
        "potassium": (4, "mmol/L"), "calcium_ionized": (4.4, "mg/dL"), "ph_arterial": (7.4, None),
        "pco2_arterial": (40, "mmHg"), "lactate": (2, "mmol/L"), "albumin": (3, "g/dL"), "bun": (20, "mg/dL"),
        "creatinine": (1, "mg/dL"), "sodium": (140, "mmol/L"), "bicarbonate": (24, "mmol/L"),
        "platelet_count": (200, "10*3/uL"), "glucose_serum": (120, "mg/dL"), "magnesium": (2, "mg/dL"),
    }  # fmt: skip
    charted = {"heart_rate": 80, "sbp": 120, "dbp": 70, "temp_c": 37, "respiratory_rate": 18, "spo2": 97}
    stays = range(1, 9)
    Hospital(
        patient=[patient(k) for k in stays],
        hospitalization=[hospitalization(k, discharge_category="Home" if k % 3 else "Expired") for k in stays],
        adt=[location(number=k) for k in stays],
        vitals=[
            vital(hour, name, value, k) for k in stays for hour in range(-1, 60, 6) for name, value in charted.items()
        ],
        labs=[lab(hour, name, *value, k) for k in stays for hour in (1, 30) for name, value in labs.items()],
    ).write(folder)
