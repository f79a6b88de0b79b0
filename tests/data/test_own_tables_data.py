"""PhysioNet 2012 written as a hospital's own tables, with other names and units, and read back by both readers."""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path

import polars as pl
import pytest

from icudl.execution.context import RunContext
from icudl.sources import WindowOptions
from icudl.sources.physionet2012 import PhysioNet2012, PhysioNet2012Options
from icudl.variables import STUDY_NAMES, select
from own_tables import counts, said, tables_of

pytestmark = pytest.mark.data

RECORDS = 250
USE = tuple(name for name in STUDY_NAMES if name != "calcium")
NAMES = {
    "Kalium": "potassium", "pH": "ph", "PaCO2": "pco2", "Laktat": "lactate", "Albumin": "albumin",
    "Harnstoff-N": "bun", "Kreatinin": "creatinine", "Na": "sodium", "HCO3": "bicarbonate", "Platelets": "platelet",
    "Glukose": "glucose", "Mg": "magnesium", "HR": "heartrate", "SysABP": "sysbp", "NISysABP": "sysbp",
    "DiasABP": "diasbp", "NIDiasABP": "diasbp", "Temp": "tempc", "RespRate": "resprate", "SaO2": "spo2",
}  # fmt: skip
RENAMED = {"K": "Kalium", "Lactate": "Laktat", "BUN": "Harnstoff-N", "Creatinine": "Kreatinin", "Glucose": "Glukose"}
# Factors of the tables of units that laboratories print, not of the package.
SI = {
    "PaCO2": ("kPa", 0.133322), "Albumin": ("g/L", 10), "Harnstoff-N": ("mmol/L", 0.356968), "Mg": ("mmol/L", 0.411438),
    "Kreatinin": ("umol/L", 88.40170), "Glukose": ("mmol/L", 0.0555074), "SysABP": ("kPa", 0.133322),
}  # fmt: skip


def write_tables(folder: Path, archive: Path, outcomes: Path, records: int) -> None:
    """Write the first records of a set as two tables in other units; -1 becomes an empty cell, zeros go."""
    died = dict(pl.read_csv(outcomes).select("RecordID", "In-hospital_death").iter_rows())
    with (
        tarfile.open(archive) as packed,
        (folder / "stays.csv").open("w") as stays,
        (folder / "measurements.csv").open("w") as values,
    ):
        of_stays, of_values = csv.writer(stays, delimiter=";"), csv.writer(values, delimiter=";")
        of_stays.writerow(["FALL", "patient_id", "Alter", "died", "stay_hours"])
        of_values.writerow(["FALL", "Minuten", "Parameter", "Wert", "Einheit"])
        members = sorted((member for member in packed if member.isfile()), key=lambda member: member.name)
        for member in members[:records]:
            lines = packed.extractfile(member).read().decode().splitlines()[1:]
            record = int(Path(member.name).stem)
            rows = [line.split(",") for line in lines]
            age = next(value for _, name, value in rows if name == "Age")
            of_stays.writerow([record, record, age, died[record], 48])
            for time, name, value in rows:
                own = RENAMED.get(name, name)
                if own in NAMES and float(value) != 0:
                    unit, factor = SI.get(own, ("", 1))
                    shown = "" if float(value) == -1 else f"{float(value) * factor:.9g}".replace(".", ",")
                    minute = int(time[:2]) * 60 + int(time[3:])
                    of_values.writerow([record, minute, own, shown, unit])


@pytest.mark.slow
def test_two_readers_agree(data_folder: Path, tmp_path: Path, context: RunContext) -> None:
    source = data_folder / "physionet-2012"
    folder = tmp_path / "tables"
    folder.mkdir()
    write_tables(folder, source / "set-a.tar.gz", source / "Outcomes-a.txt", RECORDS)
    columns = {"stay_id": "FALL", "time": "Minuten", "name": "Parameter", "value": "Wert", "unit": "Einheit"}
    found = tables_of(
        folder, USE, stay_columns={"stay_id": "FALL", "age": "Alter"}, value_columns=columns, names=NAMES,
        time_unit="minutes", decimal=",",
    )  # fmt: skip
    records = found.stays["stay_id"].to_list()
    assert len(records) == RECORDS
    expected = PhysioNet2012(PhysioNet2012Options(path=str(source / "set-a.tar.gz")), 1).extract(
        select(USE), WindowOptions(hours=48), context
    )
    theirs = expected.hours.filter(pl.col("stay_id").is_in(records))
    # The challenge's reader mends a pH filed times 100 and temperatures in Fahrenheit; here they are implausible.
    both = theirs.join(found.hours, on=["stay_id", "hour", "variable"], how="full", suffix="_own", coalesce=True)
    alone = both.filter(
        pl.col("mean").is_null() | pl.col("mean_own").is_null() | (pl.col("count") != pl.col("count_own"))
    )
    mended = expected.cleaning.filter(pl.col("rule") == "repaired unit")["rows"].sum()
    assert len(alone) <= mended
    assert both.height > 50_000
    close = both.join(alone, on=["stay_id", "hour", "variable"], how="anti")
    assert close.select(((pl.col("mean") / pl.col("mean_own") - 1).abs() < 1e-4).all()).item()
    assert counts(found, "creatinine")["converted unit"] > 500
    assert "looks like" not in said(found)
