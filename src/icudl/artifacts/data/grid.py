"""The cohort as hourly tensors."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts.base import Floats, Schema
from icudl.artifacts.data.outcome import HOSPITAL_DEATH, Outcome
from icudl.artifacts.data.source_tables import STAYS_SCHEMA
from icudl.artifacts.files.codecs import (
    map_large_arrays,
    read_frame,
    read_json,
    variables_from_json,
    variables_to_json,
    write_arrays,
    write_frame,
    write_json,
)
from icudl.variables import Variable

FLOW_SCHEMA: Schema = {
    "criterion": pl.String,
    "removed": pl.Int64,
    "stays": pl.Int64,  # left after the criterion
    "patients": pl.Int64,
    "deaths": pl.Int64,  # stays with the outcome, whatever it is
}


@dataclasses.dataclass(frozen=True, eq=False)
class GridDataset:
    """Clean hourly tensors of the cohort, in clinical units: never imputed, never scaled.

    A data set that was read maps ``values`` and ``counts`` from its file; they cannot be written to.

    Attributes:
        values: (N, T, F) float32 hourly means, NaN where nothing was charted.
        counts: (N, T, F) uint16 number of values behind each mean, 0 where nothing was charted.
        lengths: (N,) int16 hours of each stay inside the window; cells at or beyond it are NaN.
        labels: (N,) int8, 1 where the outcome came about.
        statics: (N, S) float32 static descriptors, NaN where unknown.
        static_names: Names of the S descriptors.
        stays: The cohort's rows of ``SourceTables.stays``, in the order of the arrays.
        is_test: (N,) bool, held out from everything that is fitted; all True in an external data set.
        folds: (N,) int8 fold of cross-validation, -1 for test stays.
        flow: Attrition table (``FLOW_SCHEMA``).
        variables: F variables.
        population: Whose patients these are, as in ``SourceTables``.
        outcome: What the labels say.
        cautions: What a reader of any result of these stays has to know, in sentences.
    """

    values: Floats
    counts: npt.NDArray[np.uint16]
    lengths: npt.NDArray[np.int16]
    labels: npt.NDArray[np.int8]
    statics: Floats
    static_names: tuple[str, ...]
    stays: pl.DataFrame
    is_test: npt.NDArray[np.bool_]
    folds: npt.NDArray[np.int8]
    flow: pl.DataFrame
    variables: tuple[Variable, ...]
    population: str = dataclasses.field(kw_only=True)
    outcome: Outcome = dataclasses.field(default=HOSPITAL_DEATH, kw_only=True)
    cautions: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)

    @property
    def stay_ids(self) -> npt.NDArray[np.int64]:
        """(N,) stay identifiers."""
        return self.stays["stay_id"].to_numpy()

    @property
    def patient_ids(self) -> npt.NDArray[np.int64]:
        """(N,) patient identifiers."""
        return self.stays["patient_id"].to_numpy()

    @property
    def n_folds(self) -> int:
        """Number of folds; 0 in an external data set."""
        return int(self.folds.max()) + 1

    def write(self, folder: Path) -> None:
        """Write arrays as safetensors, tables as Parquet, names as JSON."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "values": self.values,
            "counts": self.counts,
            "lengths": self.lengths,
            "labels": self.labels,
            "statics": self.statics,
            "is_test": self.is_test,
            "folds": self.folds,
        }
        write_arrays(folder / "grid.safetensors", arrays)
        write_frame(folder / "stays.parquet", self.stays)
        write_frame(folder / "flow.parquet", self.flow)
        meta: dict[str, Any] = {
            "variables": variables_to_json(self.variables),
            "static_names": list(self.static_names),
            "population": self.population,
        }
        if self.outcome != HOSPITAL_DEATH:
            meta["outcome"] = dataclasses.asdict(self.outcome)
        if self.cautions:
            meta["cautions"] = list(self.cautions)
        write_json(folder / "grid.json", meta)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        meta = read_json(folder / "grid.json")
        return cls(
            **map_large_arrays(folder / "grid.safetensors"),
            stays=read_frame(folder / "stays.parquet", STAYS_SCHEMA),
            flow=read_frame(folder / "flow.parquet", FLOW_SCHEMA),
            variables=variables_from_json(meta["variables"]),
            static_names=tuple(meta["static_names"]),
            population=meta["population"],
            outcome=Outcome(**meta["outcome"]) if "outcome" in meta else HOSPITAL_DEATH,
            cautions=tuple(meta.get("cautions", ())),
        )
