"""The tables of a CLIF folder: ``clif_NAME.parquet``, ``.csv`` or ``.csv.gz``, and the columns that are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from icudl.errors import SourceError
from icudl.sources.clif.items import ASSESSMENTS, BREATHS, DEVICE, FIO2_SET, LABS, RESPIRATORY, VITALS
from icudl.sources.reading.blocks import ENDINGS, TableFile, Types
from icudl.sources.reading.listing import listed

EDITION = "CLIF 2.1"
PREFIX = "clif_"
REQUIRED = ("patient", "hospitalization", "adt")
"""Tables without which there are no stays."""

_REAL, _TEXT, _TIME = pl.Float64, pl.String, pl.Datetime
COLUMNS: Mapping[str, Types] = {
    "patient": {"patient_id": _TEXT, "death_dttm": _TIME, "sex_category": _TEXT},
    "hospitalization": {
        "patient_id": _TEXT,
        "hospitalization_id": _TEXT,
        "discharge_dttm": _TIME,
        "age_at_admission": _REAL,
        "discharge_category": _TEXT,
    },
    "adt": {
        "hospitalization_id": _TEXT,
        "hospital_id": _TEXT,
        "in_dttm": _TIME,
        "out_dttm": _TIME,
        "location_name": _TEXT,
        "location_category": _TEXT,
        "location_type": _TEXT,
    },
    VITALS: {
        "hospitalization_id": _TEXT,
        "recorded_dttm": _TIME,
        "vital_name": _TEXT,
        "vital_category": _TEXT,
        "vital_value": _REAL,
    },
    LABS: {
        "hospitalization_id": _TEXT,
        "lab_collect_dttm": _TIME,
        "lab_result_dttm": _TIME,
        "lab_name": _TEXT,
        "lab_category": _TEXT,
        "lab_value": _TEXT,
        "lab_value_numeric": _REAL,
        "reference_unit": _TEXT,
    },
    ASSESSMENTS: {
        "hospitalization_id": _TEXT,
        "recorded_dttm": _TIME,
        "assessment_name": _TEXT,
        "assessment_category": _TEXT,
        "numerical_value": _REAL,
    },
    RESPIRATORY: {
        "hospitalization_id": _TEXT,
        "recorded_dttm": _TIME,
        DEVICE: _TEXT,
        FIO2_SET: _REAL,
        BREATHS: _REAL,
    },
}
"""Columns of each table that are read; all others are ignored."""

OPTIONAL: frozenset[str] = frozenset(
    {
        "hospital_id", "location_name", "location_type", "vital_name", "lab_name", "lab_value", "lab_value_numeric",
        "lab_result_dttm", "assessment_name", BREATHS,
    }
)  # fmt: skip
"""Columns that a file may lack; the format asks for some of them, and nothing is read wrongly without them."""


def find_tables(folder: Path) -> dict[str, TableFile]:
    """Return the tables of a folder that are read; those that make stays must be among them.

    Raises:
        SourceError: The folder or a required table is missing, or a table has several files.
    """
    if not folder.is_dir():
        raise SourceError(
            f"source.path = {str(folder)!r} is not a folder. Give the folder that holds clif_patient.parquet."
        )
    found = files_of(folder)
    tables = {}
    for table in COLUMNS:
        paths = found.get(table, [])
        if len(paths) > 1:
            raise SourceError(
                f"The table {table} has {len(paths)} files: {', '.join(path.name for path in paths)}. Keep one."
            )
        if paths:
            tables[table] = TableFile(table, paths[0], COLUMNS[table], EDITION, OPTIONAL)
    missing = [f"{PREFIX}{table}" for table in REQUIRED if table not in tables]
    if missing:
        raise SourceError(
            f"source.path = {str(folder)!r} lacks {', '.join(missing)} (as .parquet, .csv or .csv.gz); found: "
            f"{listed(folder)}. Give the folder of the CLIF tables."
        )
    return tables


def files_of(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each CLIF table in a folder, by its name without ``clif_``."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        for ending in ENDINGS:
            if name.startswith(PREFIX) and name.endswith(ending) and path.is_file():
                found.setdefault(name.removesuffix(ending).removeprefix(PREFIX), []).append(path)
    return found
