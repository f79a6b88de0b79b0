"""The scores of a model on stays that it was not fitted on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Self

import polars as pl

from icudl.artifacts.base import Schema, check_schema
from icudl.artifacts.files.codecs import read_frame, read_json, write_frame, write_json

PREDICTIONS_SCHEMA: Schema = {
    "model": pl.String,  # model plug-in or baseline
    "member": pl.String,  # text of a Member: "fold-0", "final"
    "split": pl.String,  # "out-of-fold", "test" or "external": all are stays that the member was not fitted on
    "fold": pl.Int16,  # fold of the stay; -1 for test stays and for external ones
    "stay_id": pl.Int64,
    "label": pl.Int8,
    "probability": pl.Float64,
    "threshold": pl.Float64,  # chosen on validation stays of the member
}
METRICS_SCHEMA: Schema = {
    "model": pl.String,
    "split": pl.String,
    "subgroup": pl.String,  # "all", or "sex=F", "age_years=65-79", ...
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,  # bounds of the 95 % bootstrap interval over stays
    "high": pl.Float64,
    "stays": pl.Int64,
    "deaths": pl.Int64,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """The scores of the final member of a training on an external data set.

    Attributes:
        predictions: One row per stay (``PREDICTIONS_SCHEMA``).
        metrics: With bootstrap intervals (``METRICS_SCHEMA``).
        left_out: Number of stays of patients whom the training has met; they are not scored.
        missing: Variables and static descriptors that the model reads and the data set lacks: never measured.
        unused: Variables of the data set that the model does not read.
        warnings: What a reader of the scores has to know about the data set, in sentences.
    """

    predictions: pl.DataFrame
    metrics: pl.DataFrame
    left_out: int = 0
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write both tables as Parquet and the rest as JSON."""
        meta = {"left_out": self.left_out, "missing": list(self.missing), "unused": list(self.unused)}
        if self.warnings:
            meta["warnings"] = list(self.warnings)
        write_json(folder / "scores.json", meta)
        write_frame(folder / "predictions.parquet", check_schema("predictions", self.predictions, PREDICTIONS_SCHEMA))
        write_frame(folder / "metrics.parquet", check_schema("metrics", self.metrics, METRICS_SCHEMA))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        meta = read_json(folder / "scores.json")
        return cls(
            predictions=read_frame(folder / "predictions.parquet", PREDICTIONS_SCHEMA),
            metrics=read_frame(folder / "metrics.parquet", METRICS_SCHEMA),
            left_out=meta["left_out"],
            missing=tuple(meta["missing"]),
            unused=tuple(meta["unused"]),
            warnings=tuple(meta.get("warnings", ())),
        )
