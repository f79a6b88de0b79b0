"""A ward's own export as a data source: stays.csv and measurements.csv in one folder.

stays.csv: stay, patient, age, sex, hours (ICU admission to discharge), died (0 or 1), death_hour (empty for survivors).
measurements.csv: stay, time (hours from ICU admission), name (of a variable of icudl), value (in its unit).
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import ClassVar

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA, HOURS_SCHEMA, STAYS_SCHEMA, SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext
from icudl.options import option
from icudl.sources import (
    SourceBase,
    SourceFingerprint,
    SourceOptions,
    WindowOptions,
    count_unknown_names,
    rows_of_variables,
)
from icudl.variables import Variable

TABLES = ("stays.csv", "measurements.csv")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WardOptions(SourceOptions):
    """Which ward's export is read."""

    name: str = option("ward", "Source plug-in.")
    path: str = option("", "Folder of the two files.", identity=False, path=True)
    open_data: bool = option(False, "Nothing made from the data is marked restricted.")


class WardSource(SourceBase):
    """Reads the two files; everything derived from them is marked restricted unless the options say otherwise."""

    Options: ClassVar[type[SourceOptions]] = WardOptions

    def __init__(self, options: WardOptions, seed: int) -> None:
        super().__init__(options, seed)
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
        table = pl.read_csv(self._file("measurements.csv"), schema_overrides={"name": pl.String})
        rows = rows_of_variables(table, variables).filter(
            pl.col("time") >= 0, pl.col("time") < window.hours, pl.col("stay").is_in(stays["stay_id"].to_list())
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
            cleaning=pl.concat([_cleaning(rows, plausible), count_unknown_names(table["name"])]),
            variables=variables,
            window_hours=window.hours,
            population=self.population,
        )

    def reach(self) -> str:
        """Look for the files."""
        return f"{' and '.join(self._file(name).name for name in TABLES)} in {self._folder}"

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


def _cleaning(rows: pl.DataFrame, plausible: pl.DataFrame) -> pl.DataFrame:
    """Count, variable by variable, what was read and what the plausible range removed."""
    counts = rows.group_by("name").len().join(plausible.group_by("name").len(), on="name", how="left", suffix="_kept")
    records = []
    for name, read, kept in counts.sort("name").iter_rows():
        records += [(name, "read", read), (name, "outside plausible range", read - (kept or 0))]
    return pl.DataFrame(records, schema=dict(CLEANING_SCHEMA), orient="row")
