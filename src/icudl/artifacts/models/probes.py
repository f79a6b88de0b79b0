"""What a model says of records that were changed on purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
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

PROBED_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "patient_id": pl.Int64,
    "label": pl.Int8,  # 1 for death
    "member": pl.String,  # text of the Member that was probed: one that was not fitted on the stay
    "split": pl.String,  # "out-of-fold" or "test"
    "probability": pl.Float64,  # of death, for the unchanged stay; null where the model gives no number
    "threshold": pl.Float64,  # of the member: the verdict is death from here on
}
RESPONSES_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "derangement": pl.String,
    "course": pl.String,  # "held" or "worsening"
    "level": pl.Float64,  # 0 for the normal value, 1 for the deranged one
    "probability": pl.Float64,  # of death
}
VERDICTS_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "level": pl.String,  # "low", "usual" or "high"
    "rate": pl.Float64,  # chance that an entry is wrong
    "expected_errors": pl.Float64,  # mean number of wrong values of the stay
    "one": pl.Float64,  # chance that exactly one value is wrong
    "one_reversed": pl.Float64,  # chance that exactly one is, and that it reverses the verdict
    "several": pl.Float64,  # chance that two or more values are wrong
    "draws": pl.Int32,  # records drawn with two or more wrong values
    "several_reversed": pl.Int32,  # of which the verdict is reversed
}
SLIPS_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "kind": pl.String,  # of error
    "errors": pl.Int32,  # that would reach the model
    "caught": pl.Int32,  # that the cleaning would drop
    "reversing": pl.Int32,  # that reverse the verdict alone
    "weight": pl.Float64,  # how often errors of the kind happen, relative to the other rows
    "weight_reversing": pl.Float64,  # how often such as reverse the verdict do
}
TABLES: Mapping[str, Schema] = {
    "stays": PROBED_SCHEMA,
    "responses": RESPONSES_SCHEMA,
    "verdicts": VERDICTS_SCHEMA,
    "slips": SLIPS_SCHEMA,
}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Probes:
    """How the risk of stays follows derangements, and how errors of entry reverse verdicts.

    Attributes:
        stays: One row per stay (``PROBED_SCHEMA``).
        responses: One row per stay, derangement, course and level (``RESPONSES_SCHEMA``).
        verdicts: One row per stay and rate of errors (``VERDICTS_SCHEMA``).
        slips: One row per stay and kind of error that can happen to it (``SLIPS_SCHEMA``).
        variables: F variables.
        options: Options of the probes.
    """

    stays: pl.DataFrame
    responses: pl.DataFrame
    verdicts: pl.DataFrame
    slips: pl.DataFrame
    variables: tuple[Variable, ...]
    options: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        for name, schema in TABLES.items():
            write_frame(folder / f"{name}.parquet", check_schema(name, getattr(self, name), schema))
        meta = {"variables": variables_to_json(self.variables), "options": dict(self.options)}
        write_json(folder / "probes.json", meta)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        meta = read_json(folder / "probes.json")
        tables = {name: read_frame(folder / f"{name}.parquet", schema) for name, schema in TABLES.items()}
        return cls(**tables, variables=variables_from_json(meta["variables"]), options=meta["options"])
