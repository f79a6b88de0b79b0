"""Small MEDS data sets written by hand, in the official layout."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from icudl.artifacts import SourceTables
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.sources import WindowOptions
from icudl.sources.meds import Meds, MedsOptions
from icudl.variables import STUDY_NAMES, select

START = datetime(2150, 1, 1, 10, 0, 0)  # noqa: DTZ001
"""ICU admission of subject 1."""

Event = tuple[int, datetime | None, str, float | None, int | None, int | None]
MIMIC = {"dataset_name": "MIMIC-IV", "dataset_version": "3.1", "meds_version": "0.4.0"}
EICU = {"dataset_name": "eICU", "meds_version": "0.4.0"}


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def event(
    hours: float | None, code: str, value: float | None = None, *, subject: int = 1, hadm: int | None = None,
    stay: int | None = None,
) -> Event:  # fmt: skip
    return (subject, None if hours is None else at(hours), code, value, hadm, stay)


def person(subject: int = 1, *, sex: str = "F", born: datetime | None = None) -> list[Event]:
    """Sex and birth: 60 years in the year of admission."""
    return [
        event(None, f"GENDER//{sex}", subject=subject),
        (subject, born or datetime(2090, 1, 1), "MEDS_BIRTH", None, None, None),  # noqa: DTZ001
    ]


def stay(
    start: float = 0, end: float = 100, *, subject: int = 1, left: str = "HOME", ids: int | None = None
) -> list[Event]:
    """An ICU stay within a hospital admission from 5 hours before it to 20 hours after it."""
    hadm, icu = (None, None) if ids is None else (ids + 1000, ids)
    return [
        event(start - 5, "HOSPITAL_ADMISSION//URGENT//UNK", subject=subject, hadm=hadm),
        event(start, "ICU_ADMISSION//MICU", subject=subject, hadm=hadm, stay=icu),
        event(end, "ICU_DISCHARGE//SICU", subject=subject, hadm=hadm, stay=icu),
        event(end + 20, f"HOSPITAL_DISCHARGE//{left}", subject=subject, hadm=hadm),
    ]


@dataclasses.dataclass
class DataSet:
    """Events by shard; ``described`` is dataset.json, None for no metadata."""

    shards: Mapping[str, Iterable[Event]]
    described: Mapping[str, Any] | None = dataclasses.field(default_factory=lambda: MIMIC)
    has_ids: bool = False
    single: bool = True

    def write(self, folder: Path) -> Path:
        for name, events in self.shards.items():
            path = folder / "data" / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame = pl.DataFrame(
                list(events),
                schema={
                    "subject_id": pl.Int64, "time": pl.Datetime("us"), "code": pl.String, "numeric_value": pl.Float64,
                    "hadm_id": pl.Int64, "icustay_id": pl.Int64,
                },
                orient="row",
            )  # fmt: skip
            if self.single:
                frame = frame.with_columns(pl.col("numeric_value").cast(pl.Float32))
            if not self.has_ids:
                frame = frame.drop("hadm_id", "icustay_id")
            frame.sort("subject_id", "time", nulls_last=False, maintain_order=True).write_parquet(path)
        if self.described is not None:
            metadata = folder / "metadata"
            metadata.mkdir(parents=True, exist_ok=True)
            (metadata / "dataset.json").write_text(json.dumps(self.described), "utf-8")
            codes = sorted({each[2] for events in self.shards.values() for each in events})
            pl.DataFrame({"code": codes}).write_parquet(metadata / "codes.parquet")
        return folder


def read(
    folder: Path, use: tuple[str, ...] = ("heartrate", "creatinine"), hours: int = 48, **options: Any
) -> SourceTables:
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=1)
    return Meds(MedsOptions(path=str(folder), **options), 1).extract(select(use), WindowOptions(hours=hours), context)


def of(*events: Event | list[Event], path: Path, use: tuple[str, ...] = ("heartrate", "creatinine"), **options: Any):
    """Write the events as one shard and read them."""
    flat = [one for each in events for one in (each if isinstance(each, list) else [each])]
    return read(DataSet({"0": flat}).write(path / "meds"), use, **options)


STUDY_CODES = {
    "potassium": ("LAB//50822//mEq/L", 4), "calcium": ("LAB//50808//mmol/L", 1.1), "ph": ("LAB//50820//units", 7.4),
    "pco2": ("LAB//50818//mm Hg", 40), "lactate": ("LAB//50813//mmol/L", 2), "albumin": ("LAB//50862//g/dL", 3),
    "bun": ("LAB//51006//mg/dL", 20), "creatinine": ("LAB//50912//mg/dL", 1), "sodium": ("LAB//50983//mEq/L", 140),
    "bicarbonate": ("LAB//50882//mEq/L", 24), "platelet": ("LAB//51265//K/uL", 200),
    "glucose": ("LAB//50931//mg/dL", 120), "magnesium": ("LAB//50960//mg/dL", 2),
    "heartrate": ("LAB//220045//bpm", 80), "sysbp": ("LAB//220179//mmHg", 120), "diasbp": ("LAB//220180//mmHg", 70),
    "tempc": ("LAB//223761//°F", 98.6), "resprate": ("LAB//220210//insp/min", 18), "spo2": ("LAB//220277//%", 97),
}  # fmt: skip


def study_folder(folder: Path) -> None:
    """Write a data set that has every variable of the study, for the contract of sources."""
    assert set(STUDY_CODES) == set(STUDY_NAMES)
    events: dict[str, list[Event]] = {"train/0": [], "held_out/0": []}
    for subject in range(1, 9):
        shard = events["train/0" if subject < 6 else "held_out/0"]
        left = "DIED" if subject % 3 == 0 else "HOME"
        shard += person(subject) + stay(subject=subject, left=left)
        shard += [
            event(hour + 0.5, code, value, subject=subject)
            for hour in range(-2, 60, 6)
            for code, value in STUDY_CODES.values()
        ]
    DataSet(events).write(folder)
