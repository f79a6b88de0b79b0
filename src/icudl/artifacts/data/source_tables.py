"""The tables of a source."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Self

import polars as pl

from icudl.artifacts.base import Schema, check_schema
from icudl.artifacts.files.codecs import (
    read_frame,
    read_json,
    variables_from_json,
    variables_to_json,
    write_frame,
    write_json,
)
from icudl.variables import Variable

STAYS_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "patient_id": pl.Int64,
    "admission_id": pl.Int64,
    "age_years": pl.Float32,  # at ICU admission; null where unknown; ages that the source hides are 91.4
    "sex": pl.String,  # "F", "M" or null
    "icu_type": pl.String,  # first care unit, or null
    "height_cm": pl.Float32,
    "weight_kg": pl.Float32,
    "source_set": pl.String,  # part of the source the stay came from ("a", "b"), or ""
    "stay_number": pl.Int32,  # 1 for the patient's first ICU stay
    "stay_hours": pl.Float64,  # ICU admission to ICU discharge
    "death_hours": pl.Float64,  # ICU admission to death in hospital; null for survivors
    "died": pl.Boolean,  # death in hospital during this admission; null where the source tells another outcome only
}
HOURS_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "hour": pl.Int16,  # 0 is the first hour after ICU admission
    "variable": pl.UInt8,  # index into the variables of the same artifact
    "mean": pl.Float64,  # of the values charted in that hour, in the variable's unit
    "count": pl.UInt32,  # how many values that mean is made of
}
OUTCOMES_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "icu_death": pl.Boolean,  # death before the patient left the ICU; null where unknown
    "any_death_hours": pl.Float64,  # ICU admission to death, in hospital or after; null where none is known
    "followed_hours": pl.Float64,  # ICU admission to the last hour at which a death would be known
    "readmission_hours": pl.Float64,  # leaving the ICU to the patient's next ICU stay; null where there is none
    "column": pl.Boolean,  # an outcome of the hospital's own; null where unknown
    "column_hours": pl.Float64,  # ICU admission to that outcome; null where there is none or its time is unknown
}
CLEANING_SCHEMA: Schema = {
    "variable": pl.String,
    "rule": pl.String,
    "rows": pl.Int64,  # that the rule touched
}


def no_outcomes() -> pl.DataFrame:
    """Return the table of outcomes of a source that tells no outcome besides those of the stays."""
    return pl.DataFrame(schema={"stay_id": pl.Int64})


@dataclasses.dataclass(frozen=True, eq=False)
class SourceTables:
    """The tables of a source: stays, and the hourly means of their measurements inside the window.

    Attributes:
        stays: One row per ICU stay (``STAYS_SCHEMA``), sorted by stay_id.
        hours: One row per stay, hour and variable in which something was charted (``HOURS_SCHEMA``), sorted by
            stay_id, hour, variable.
        cleaning: Rows touched by each rule (``CLEANING_SCHEMA``), sorted by variable, rule.
        variables: F variables, in the order of ``hours.variable``.
        window_hours: Length T of the window.
        population: Whose patients these are (``"mimic-iii"``). Two data sets of one population hold the same patients
            under the same ids.
        warnings: What a reader of any result of these tables has to know, in sentences.
        outcomes: What else the source tells of how stays ended: stay_id and any of the columns of ``OUTCOMES_SCHEMA``,
            sorted by stay_id; without rows where it tells nothing else.
    """

    stays: pl.DataFrame
    hours: pl.DataFrame
    cleaning: pl.DataFrame
    variables: tuple[Variable, ...]
    window_hours: int
    population: str = dataclasses.field(kw_only=True)
    warnings: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)
    outcomes: pl.DataFrame = dataclasses.field(default_factory=no_outcomes, kw_only=True)

    def __post_init__(self) -> None:
        told = {name: dtype for name, dtype in OUTCOMES_SCHEMA.items() if name in {"stay_id", *self.outcomes.columns}}
        object.__setattr__(self, "outcomes", check_schema("outcomes", self.outcomes, told).sort("stay_id"))
        object.__setattr__(self, "stays", check_schema("stays", self.stays, STAYS_SCHEMA).sort("stay_id"))
        object.__setattr__(
            self, "hours", _in_order(check_schema("hours", self.hours, HOURS_SCHEMA), "stay_id", "hour", "variable")
        )
        object.__setattr__(
            self,
            "cleaning",
            check_schema("cleaning", self.cleaning, CLEANING_SCHEMA).sort("variable", "rule"),
        )

    def write(self, folder: Path) -> None:
        """Write ``stays``, ``hours``, ``cleaning`` and any ``outcomes`` as Parquet and the rest as JSON."""
        write_frame(folder / "stays.parquet", self.stays)
        write_frame(folder / "hours.parquet", self.hours)
        write_frame(folder / "cleaning.parquet", self.cleaning)
        if self.outcomes.width > 1:
            write_frame(folder / "outcomes.parquet", self.outcomes)
        meta: dict[str, Any] = {
            "variables": variables_to_json(self.variables),
            "window_hours": self.window_hours,
            "population": self.population,
        }
        if self.outcomes.width > 1:
            meta["outcomes"] = self.outcomes.columns
        if self.warnings:
            meta["warnings"] = list(self.warnings)
        write_json(folder / "tables.json", meta)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        meta = read_json(folder / "tables.json")
        return cls(
            stays=read_frame(folder / "stays.parquet", STAYS_SCHEMA),
            hours=read_frame(folder / "hours.parquet", HOURS_SCHEMA),
            cleaning=read_frame(folder / "cleaning.parquet", CLEANING_SCHEMA),
            variables=variables_from_json(meta["variables"]),
            window_hours=meta["window_hours"],
            population=meta["population"],
            warnings=tuple(meta.get("warnings", ())),
            outcomes=_outcomes(folder, meta.get("outcomes", [])),
        )


def _outcomes(folder: Path, columns: list[str]) -> pl.DataFrame:
    if not columns:
        return no_outcomes()
    schema = {name: dtype for name, dtype in OUTCOMES_SCHEMA.items() if name in columns}
    return read_frame(folder / "outcomes.parquet", schema)


def _in_order(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Return ``frame`` sorted by columns without nulls; a sorted frame is returned without a copy."""
    ordered = pl.lit(value=True)
    for column in reversed(columns):
        now, before = pl.col(column), pl.col(column).shift(1)
        ordered = (now > before) | ((now == before) & ordered)
    is_sorted = frame.lazy().select(ordered.slice(1).all()).collect().item()
    return frame if is_sorted else frame.sort(columns)
