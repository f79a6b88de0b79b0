"""Hand-made MIMIC-IV tables of a few rows, written to folders in any of the formats and versions."""

from __future__ import annotations

import dataclasses
import gzip
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

START = datetime(2150, 1, 1, 10, 0, 0)  # noqa: DTZ001
"""INTIME of stay 30000200 of patient 10000001."""

PATIENT, HADM, STAY = 10_000_001, 20_000_100, 30_000_200


def at(hours: float = 0, seconds: int = 0) -> str:
    """A time after ``START`` as MIMIC-IV writes it."""
    return str(START + timedelta(hours=hours, seconds=seconds))


def patient(subject: int = PATIENT, *, sex="F", age: int | None = 60, year=2150, group: str | None = "2014 - 2016"):
    """A row of patients."""
    return [subject, sex, age, year, group, None]


def admission(hadm: int = HADM, *, subject: int = PATIENT, death: float | None = None, flag: int | None = None):
    """A row of admissions; the flag agrees with the time of death unless it is given."""
    died = int(death is not None) if flag is None else flag
    time = None if death is None else at(death)
    return [subject, hadm, at(-5), at(500), time, "URGENT", None, "HOME", 'a "quoted", text', died]


def stay(number: int = STAY, start: float = 0, end: float | None = 100, *, subject: int = PATIENT, hadm: int = HADM):
    """A row of icustays."""
    outtime = None if end is None else at(end)
    return [subject, hadm, number, "Neuro Stepdown", "Neuro Stepdown", at(start), outtime, 1.0]


def chart(hours: float, item: int, value: float | str | None, *, subject: int = PATIENT, seconds=0):
    """A row of chartevents; its stay_id is wrong on purpose: the reader goes by time."""
    return [subject, HADM, 39_999_999, None, at(hours, seconds), at(hours), item, value, value, "x", 0]


def lab(hours: float, item: int, value: float | str | None, *, subject: int = PATIENT, seconds=0):
    """A row of labevents, outside any admission as far as the table says."""
    return [7, subject, None, 9, item, None, at(hours, seconds), None, value, value, "x", None, None, None, None, "a,b"]


def output(hours: float, item: int, value: float | None, *, subject: int = PATIENT):
    """A row of outputevents."""
    return [subject, HADM, STAY, None, at(hours), at(hours), item, value, "ml"]


HEADERS = {
    "patients": "subject_id gender anchor_age anchor_year anchor_year_group dod",
    "admissions": "subject_id hadm_id admittime dischtime deathtime admission_type admit_provider_id "
    "discharge_location race hospital_expire_flag",
    "icustays": "subject_id hadm_id stay_id first_careunit last_careunit intime outtime los",
    "chartevents": "subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valuenum valueuom warning",
    "labevents": "labevent_id subject_id hadm_id specimen_id itemid order_provider_id charttime storetime value "
    "valuenum valueuom ref_range_lower ref_range_upper flag priority comments",
    "outputevents": "subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valueuom",
}
FOLDERS = {
    "3.1": dict(zip(HEADERS, ("hosp", "hosp", "icu", "icu", "hosp", "icu"), strict=True)),
    "1.0": dict(zip(HEADERS, ("core", "core", "icu", "icu", "hosp", "icu"), strict=True)),
    "flat": dict.fromkeys(HEADERS, ""),
}
_FLOATS = {"valuenum", "los"}
_INTEGERS = {"subject_id", "hadm_id", "stay_id", "itemid", "anchor_age", "anchor_year", "hospital_expire_flag"}


@dataclasses.dataclass
class Hospital:
    """The six tables; patient 10000001 has stay 30000200 from hour 0 to hour 100 unless told otherwise."""

    charts: list = dataclasses.field(default_factory=lambda: [chart(0.5, 220045, 80)])
    labs: list = dataclasses.field(default_factory=lambda: [lab(0.5, 51006, 20)])
    outputs: list = dataclasses.field(default_factory=lambda: [output(0.5, 226559, 100)])
    stays: list = dataclasses.field(default_factory=lambda: [stay()])
    admissions: list = dataclasses.field(default_factory=lambda: [admission()])
    patients: list = dataclasses.field(default_factory=lambda: [patient()])

    def frames(self) -> dict[str, pl.DataFrame]:
        """The tables as text columns, as a CSV file has them."""
        content = (self.patients, self.admissions, self.stays, self.charts, self.labs, self.outputs)
        return {
            name: pl.DataFrame(
                [[None if cell is None else str(cell) for cell in row] for row in rows],
                schema=dict.fromkeys(header.split(), pl.String),
                orient="row",
            )
            for (name, header), rows in zip(HEADERS.items(), content, strict=True)
        }

    def write(self, folder: Path, *, ending: str = "csv", version: str = "3.1") -> Path:
        """Write all tables in one format (csv, csv.gz or parquet) into the folders of a version."""
        for name, frame in self.frames().items():
            place = folder / FOLDERS[version][name]
            place.mkdir(parents=True, exist_ok=True)
            write_table(place / f"{name}.{ending}", frame)
        return folder


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write one table; a Parquet file gets the types of its columns."""
    if path.suffix == ".parquet":
        frame.with_columns(_typed(path.name, column) for column in frame.columns).write_parquet(path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(frame.write_csv().encode(), mtime=0))
    else:
        frame.write_csv(path)


def _typed(table: str, column: str) -> pl.Expr:
    if column in _FLOATS or (column == "value" and table.startswith("outputevents")):
        return pl.col(column).cast(pl.Float64)
    if column.endswith("time"):
        return pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S")
    return pl.col(column).cast(pl.Int32) if column in _INTEGERS else pl.col(column)


ITEMS = {
    220045: (60, 120),
    220179: (90, 150),
    225309: (90, 150),
    220180: (50, 90),
    223761: (96, 103),
    220277: (80, 100),
}
LAB_ITEMS = {50820: (7.2, 7.5), 50822: (3, 5), 51006: (10, 60), 50931: (80, 200)}


def busy_hospital(seed: int = 5, patients: int = 12, rows: int = 600) -> Hospital:
    """One or two stays of each patient, and random rows in them and around them."""
    rng = np.random.default_rng(seed)
    hospital = Hospital(charts=[], labs=[], outputs=[], stays=[], admissions=[], patients=[])
    for number in range(patients):
        subject = PATIENT + number
        group = ("2011 - 2013", "2014 - 2016", "2017 - 2019")[number % 3]
        hospital.patients.append(patient(subject, sex="FM"[number % 2], age=40 + number, group=group))
        for repeat in range(1 + number % 2):
            start, hadm = 200.0 * repeat, HADM + 2 * number + repeat
            death = start + 90 if number % 4 == 0 else None
            hospital.admissions.append(admission(hadm, subject=subject, death=death))
            hospital.stays.append(stay(STAY + 2 * number + repeat, start, start + 95, subject=subject, hadm=hadm))
    for _ in range(rows):
        subject, hours = PATIENT + int(rng.integers(patients)), round(float(rng.uniform(-5, 320)), 1)
        item = int(rng.choice([*ITEMS, 224015]))
        value = None if rng.random() < 0.05 else round(float(rng.uniform(*ITEMS.get(item, (0, 1)))), 1)
        hospital.charts.append(chart(hours, item, value, subject=subject))
        item = int(rng.choice(list(LAB_ITEMS)))
        hospital.labs.append(lab(hours, item, round(float(rng.uniform(*LAB_ITEMS[item])), 2), subject=subject))
        hospital.outputs.append(output(hours, 226559, int(rng.integers(10, 400)), subject=subject))
    hospital.charts += hospital.charts[:30]
    return hospital
