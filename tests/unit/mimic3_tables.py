"""Hand-made MIMIC-III tables of a few rows, written to folders in any of the formats."""

from __future__ import annotations

import dataclasses
import gzip
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from icudl.artifacts import SourceTables
from icudl.execution.context import RunContext
from icudl.sources.base import VariableOptions, WindowOptions
from icudl.sources.mimic3.files import Mimic3Files
from icudl.sources.mimic3.options import Mimic3Options
from icudl.stages.extract import extract
from icudl.variables import STUDY_NAMES

START = datetime(2150, 1, 1, 10, 0, 0)  # noqa: DTZ001
"""INTIME of stay 200 of patient 1."""


def at(hours: float = 0, seconds: int = 0) -> str:
    """A time after ``START`` as MIMIC-III writes it."""
    return str(START + timedelta(hours=hours, seconds=seconds))


def chart(hours: float, item: int, value: float | str | None, *, subject: int = 1, error: int | None = 0, seconds=0):
    """A CHARTEVENTS row; its ICUSTAY_ID is wrong on purpose: the reader goes by time."""
    return [7, subject, 100, 999, item, at(hours, seconds), at(hours), 1, value, value, "x", 0, error, None, None]


def lab(hours: float, item: int, value: float | str | None, *, subject: int = 1, hadm: int | None = 100, seconds=0):
    """A LABEVENTS row."""
    return [7, subject, hadm, item, at(hours, seconds), value, value, "x", None]


def stay(icustay: int, start: float, end: float | None, *, subject: int = 1, hadm: int = 100):
    """An ICUSTAYS row."""
    outtime = None if end is None else at(end)
    return [7, subject, hadm, icustay, "carevue", "MICU", "SICU", 1, 2, at(start), outtime, 1.0]


def admission(hadm: int = 100, *, subject: int = 1, death: float | None = None):
    """An ADMISSIONS row."""
    died = int(death is not None)
    time = None if death is None else at(death)
    return [7, subject, hadm, at(-5), at(500), time, "EMERGENCY", 'a "quoted", text', died, 1]


def patient(subject: int = 1, *, sex: str = "F", born: str = "2090-01-01 00:00:00"):
    """A PATIENTS row."""
    return [7, subject, sex, born, None, 0]


HEADERS = {
    "PATIENTS": "ROW_ID SUBJECT_ID GENDER DOB DOD EXPIRE_FLAG",
    "ADMISSIONS": "ROW_ID SUBJECT_ID HADM_ID ADMITTIME DISCHTIME DEATHTIME ADMISSION_TYPE DIAGNOSIS "
    "HOSPITAL_EXPIRE_FLAG HAS_CHARTEVENTS_DATA",
    "ICUSTAYS": "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID DBSOURCE FIRST_CAREUNIT LAST_CAREUNIT FIRST_WARDID LAST_WARDID "
    "INTIME OUTTIME LOS",
    "CHARTEVENTS": "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID ITEMID CHARTTIME STORETIME CGID VALUE VALUENUM VALUEUOM "
    "WARNING ERROR RESULTSTATUS STOPPED",
    "LABEVENTS": "ROW_ID SUBJECT_ID HADM_ID ITEMID CHARTTIME VALUE VALUENUM VALUEUOM FLAG",
}
_FLOATS = {"VALUENUM", "LOS"}
_TEXTS = {"VALUE", "VALUEUOM", "RESULTSTATUS", "STOPPED", "FLAG", "GENDER", "DIAGNOSIS", "ADMISSION_TYPE", "DBSOURCE"}


@dataclasses.dataclass
class Hospital:
    """The five tables; patient 1 has stay 200 from hour 0 to hour 100 unless told otherwise."""

    charts: list = dataclasses.field(default_factory=list)
    labs: list = dataclasses.field(default_factory=lambda: [lab(0.5, 51006, 20)])
    stays: list = dataclasses.field(default_factory=lambda: [stay(200, 0, 100)])
    admissions: list = dataclasses.field(default_factory=lambda: [admission()])
    patients: list = dataclasses.field(default_factory=lambda: [patient()])

    def frames(self) -> dict[str, pl.DataFrame]:
        """The tables as text columns, as a CSV file has them."""
        content = {
            "PATIENTS": self.patients,
            "ADMISSIONS": self.admissions,
            "ICUSTAYS": self.stays,
            "CHARTEVENTS": self.charts or [chart(0.5, 211, 80)],
            "LABEVENTS": self.labs,
        }
        return {
            name: pl.DataFrame(
                [[None if cell is None else str(cell) for cell in row] for row in rows],
                schema=dict.fromkeys(HEADERS[name].split(), pl.String),
                orient="row",
            )
            for name, rows in content.items()
        }

    def write(self, folder: Path, *, ending: str = "csv", lower: bool = False) -> Path:
        """Write all tables in one format (csv, csv.gz or parquet)."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in self.frames().items():
            write_table(folder, name, frame, ending=ending, lower=lower)
        return folder


def write_table(folder: Path, name: str, frame: pl.DataFrame, *, ending: str = "csv", lower: bool = False) -> Path:
    """Write one table."""
    if ending == "parquet":
        frame = frame.with_columns(_typed(column) for column in frame.columns)
    if lower:
        name, frame = name.lower(), frame.rename(str.lower)
    path = folder / f"{name}.{ending}"
    if ending == "parquet":
        frame.write_parquet(path)
    elif ending == "csv.gz":
        path.write_bytes(gzip.compress(frame.write_csv().encode(), mtime=0))
    else:
        frame.write_csv(path)
    return path


def _typed(column: str) -> pl.Expr:
    if column in _FLOATS:
        return pl.col(column).cast(pl.Float64)
    if column.endswith("TIME") or column in {"DOB", "DOD"}:
        return pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S")
    return pl.col(column) if column in _TEXTS or "UNIT" in column else pl.col(column).cast(pl.Int32)


def read(folder: Path, context: RunContext, *, use: tuple[str, ...] = STUDY_NAMES, hours: int = 48) -> SourceTables:
    """Extract from a folder."""
    source = Mimic3Files(Mimic3Options(path=str(folder)), seed=0)
    return extract(source, VariableOptions(use=use), WindowOptions(hours=hours), context)


def cells(tables: SourceTables) -> dict[tuple[int, int, str], tuple[float, int]]:
    """Means and counts by (stay, hour, variable)."""
    return {
        (stay_id, hour, tables.variables[variable].name): (mean, count)
        for stay_id, hour, variable, mean, count in tables.hours.iter_rows()
    }


def rule_counts(tables: SourceTables, variable: str) -> dict[str, int]:
    """Rows by rule of one variable, zeros left out."""
    rows = tables.cleaning.filter((pl.col("variable") == variable) & (pl.col("rows") > 0))
    return dict(zip(rows["rule"], rows["rows"], strict=True))
