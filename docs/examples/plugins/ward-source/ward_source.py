"""A ward's own export as a data source: stays.csv and measurements.csv in one folder.

stays.csv: stay, patient, age, sex, hours (ICU admission to discharge), died (0 or 1), death_hour (empty for survivors).
measurements.csv: stay, time (hours from ICU admission), name (of a variable of icudl), value (in its unit).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA, HOURS_SCHEMA, STAYS_SCHEMA, SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import SourceFingerprint, SourceOptions, WindowOptions
from icudl.variables import Variable

TABLES = ("stays.csv", "measurements.csv")


class WardSource:
    """Reads the two files; everything derived from them is marked restricted."""

    citations: tuple[str, ...] = ()

    def __init__(self, options: SourceOptions, seed: int) -> None:
        self.restricted = not options.open_data
        self._folder = Path(options.path)

    def fingerprint(self, memory: Path) -> SourceFingerprint:
        """Hash the files: equal bytes, equal tables."""
        hashes = {name: hashlib.sha256(self._file(name).read_bytes()).hexdigest() for name in TABLES}
        digest = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()
        return SourceFingerprint(digest=digest, details={"tables": hashes})

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Clean and bin what was measured inside the window."""
        stays = self._stays()
        rows = (
            pl.read_csv(self._file("measurements.csv"))
            .join(_numbered(variables), on="name")
            .filter(
                pl.col("time") >= 0, pl.col("time") < window.hours, pl.col("stay").is_in(stays["stay_id"].to_list())
            )
        )
        plausible = rows.filter(pl.col("value").is_between(pl.col("low"), pl.col("high")))
        hours = (
            plausible.group_by(
                pl.col("stay").alias("stay_id"), pl.col("time").floor().cast(pl.Int16).alias("hour"), "variable"
            )
            .agg(pl.col("value").cast(pl.Float64).sort().mean().alias("mean"), pl.len().cast(pl.UInt32).alias("count"))
            .select(list(HOURS_SCHEMA))
        )
        return SourceTables(
            stays=stays,
            hours=hours,
            cleaning=_cleaning(rows, plausible),
            variables=variables,
            window_hours=window.hours,
            population="ward",
        )

    def _stays(self) -> pl.DataFrame:
        table = pl.read_csv(self._file("stays.csv"), schema_overrides={"death_hour": pl.Float64, "sex": pl.String})
        unknown = {name: pl.lit(None).alias(name) for name in STAYS_SCHEMA}
        known = {
            "stay_id": pl.col("stay"),
            "patient_id": pl.col("patient"),
            "admission_id": pl.col("stay"),
            "age_years": pl.col("age"),
            "sex": pl.col("sex"),
            "source_set": pl.lit(""),
            "stay_number": pl.col("stay").rank("ordinal").over("patient"),
            "stay_hours": pl.col("hours"),
            "death_hours": pl.col("death_hour"),
            "died": pl.col("died") == 1,
        }
        return table.select(
            (known.get(name, unknown[name])).cast(dtype).alias(name) for name, dtype in STAYS_SCHEMA.items()
        )

    def _file(self, name: str) -> Path:
        path = self._folder / name
        if not path.is_file():
            raise SourceError(f"{str(path)!r} does not exist. Set source.path to the folder that holds {name}.")
        return path


def _numbered(variables: tuple[Variable, ...]) -> pl.DataFrame:
    """Name, number and plausible range of each variable."""
    rows = [(variable.name, number, variable.low, variable.high) for number, variable in enumerate(variables)]
    return pl.DataFrame(
        rows, schema={"name": pl.String, "variable": pl.UInt8, "low": pl.Float64, "high": pl.Float64}, orient="row"
    )


def _cleaning(rows: pl.DataFrame, plausible: pl.DataFrame) -> pl.DataFrame:
    """Count, variable by variable, what was read and what the plausible range removed."""
    counts = rows.group_by("name").len().join(plausible.group_by("name").len(), on="name", how="left", suffix="_kept")
    records = []
    for name, read, kept in counts.sort("name").iter_rows():
        records += [(name, "read", read), (name, "outside plausible range", read - (kept or 0))]
    return pl.DataFrame(records, schema=dict(CLEANING_SCHEMA), orient="row")
