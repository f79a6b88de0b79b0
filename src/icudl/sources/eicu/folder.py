"""The tables of an eICU folder: which files they are, and which columns are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from icudl.errors import ConfigError, SourceError, suggestion
from icudl.sources.eicu.items import CUFF, FLUIDS, LAB, MONITOR, NURSE, RESPIRATORY
from icudl.sources.reading.blocks import ENDINGS, TableFile, Types
from icudl.sources.reading.listing import listed

_WHOLE, _REAL, _TEXT = pl.Int64, pl.Float64, pl.String
COLUMNS: Mapping[str, Types] = {
    "patient": {
        "patientunitstayid": _WHOLE,
        "patienthealthsystemstayid": _WHOLE,
        "uniquepid": _TEXT,
        "gender": _TEXT,
        "age": _TEXT,
        "hospitalid": _WHOLE,
        "admissionheight": _REAL,
        "admissionweight": _REAL,
        "hospitaldischargeyear": _WHOLE,
        "hospitaldischargeoffset": _WHOLE,
        "hospitaldischargestatus": _TEXT,
        "unittype": _TEXT,
        "unitvisitnumber": _WHOLE,
        "unitdischargeoffset": _WHOLE,
        "unitdischargestatus": _TEXT,
    },
    LAB: {
        "patientunitstayid": _WHOLE,
        "labresultoffset": _WHOLE,
        "labname": _TEXT,
        "labresult": _REAL,
        "labmeasurenameinterface": _TEXT,
        "labresultrevisedoffset": _WHOLE,
    },
    NURSE: {
        "patientunitstayid": _WHOLE,
        "nursingchartoffset": _WHOLE,
        "nursingchartcelltypevallabel": _TEXT,
        "nursingchartcelltypevalname": _TEXT,
        "nursingchartvalue": _TEXT,
    },
    MONITOR: {"patientunitstayid": _WHOLE, "observationoffset": _WHOLE}
    | dict.fromkeys(
        (
            "temperature", "sao2", "heartrate", "respiration", "systemicsystolic", "systemicdiastolic", "systemicmean",
        ),
        _REAL,
    ),
    CUFF: {"patientunitstayid": _WHOLE, "observationoffset": _WHOLE}
    | dict.fromkeys(("noninvasivesystolic", "noninvasivediastolic", "noninvasivemean"), _REAL),
    RESPIRATORY: {
        "patientunitstayid": _WHOLE,
        "respchartoffset": _WHOLE,
        "respchartvaluelabel": _TEXT,
        "respchartvalue": _TEXT,
    },
    FLUIDS: {
        "patientunitstayid": _WHOLE,
        "intakeoutputoffset": _WHOLE,
        "cellpath": _TEXT,
        "celllabel": _TEXT,
        "cellvaluenumeric": _REAL,
    },
}  # fmt: skip
"""Columns of each table that are read; all others are ignored."""

ENTERED: Mapping[str, str] = {
    NURSE: "nursingchartentryoffset",
    RESPIRATORY: "respchartentryoffset",
    FLUIDS: "intakeoutputentryoffset",
}
"""Columns that tell when a row was entered, besides that of LAB, which is read anyway. Monitors enter by themselves."""

_EDITION = "eICU 2.0"


def columns_by(known: str) -> Mapping[str, Types]:
    """Return the columns that are read where values count as known when they were charted or stored (``base.BY``)."""
    if known == "charted":
        return COLUMNS
    return {**COLUMNS, **{table: {**COLUMNS[table], column: _WHOLE} for table, column in ENTERED.items()}}


def find_tables(folder: Path, files: Mapping[str, Any], known: str = "charted") -> dict[str, TableFile]:
    """Return the tables of a folder; PATIENT must be among them.

    Args:
        folder: ``source.path``.
        files: Paths below the folder by table (``source.files``).
        known: As of ``columns_by``.

    Raises:
        SourceError: The folder, PATIENT or a named file is missing, or a table has several files.
    """
    if not folder.is_dir():
        raise SourceError(f"source.path = {str(folder)!r} is not a folder. Give the folder that holds patient.csv.gz.")
    named = {str(table).lower(): folder / str(file) for table, file in files.items()}
    for table, path in named.items():
        if not path.is_file():
            raise SourceError(f"source.files.{table} names {files[table]!r}, which is no file below {str(folder)!r}.")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        for ending in ENDINGS:
            if path.name.lower().endswith(ending) and path.is_file():
                found.setdefault(path.name.lower().removesuffix(ending), []).append(path)
    tables = {}
    columns = columns_by(known)
    for table in columns:
        paths = [named[table]] if table in named else found.get(table, [])
        if len(paths) > 1:
            raise SourceError(
                f"The table {table.upper()} has {len(paths)} files: {', '.join(path.name for path in paths)}. Keep one."
            )
        if paths:
            tables[table] = TableFile(table, paths[0], columns[table], _EDITION)
    if "patient" not in tables:
        raise SourceError(
            f"source.path = {str(folder)!r} lacks PATIENT (as .csv, .csv.gz or .parquet); found: {listed(folder)}. "
            "Give the folder of the eICU release."
        )
    return tables


def check_files(files: Mapping[str, Any]) -> None:
    """Check the option ``files``.

    Raises:
        ConfigError: A table is unknown, or a file is no text.
    """
    for table, file in files.items():
        if table not in COLUMNS:
            raise ConfigError(
                f"source.files names the table {table!r}.{suggestion(table, COLUMNS)} Known: {', '.join(COLUMNS)}."
            )
        if not isinstance(file, str) or not file:
            raise ConfigError(f"source.files.{table} = {file!r}. Give the path of a file below source.path.")
