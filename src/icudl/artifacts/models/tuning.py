"""The trials of a search and its choice."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import polars as pl

from icudl.artifacts.base import Schema, check_schema
from icudl.artifacts.files.codecs import read_frame, read_json, write_frame, write_json
from icudl.artifacts.models.objective import Direction, Objective

TRIALS_SCHEMA: Schema = {
    "trial": pl.Int32,
    "state": pl.String,  # a TrialState value
    "value": pl.Float64,  # score; null for a failed trial
    "parameters": pl.String,  # JSON object keyed by dotted configuration paths
    "seconds": pl.Float64,  # always null: a duration would differ from run to run
    "steps": pl.Int32,  # intermediate scores
}


class TrialState(enum.StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"  # given up early, because it could hardly win
    FAILED = "failed"  # the model diverged with these parameters


@dataclasses.dataclass(frozen=True, eq=False)
class TuningResult:
    """All trials of a search and the setting it chose.

    Attributes:
        trials: ``TRIALS_SCHEMA``.
        best: Chosen values, keyed by dotted configuration path.
        best_trial: Number of the chosen trial.
        best_value: Its score.
        objective: What was optimised.
    """

    trials: pl.DataFrame
    best: Mapping[str, Any]
    best_trial: int
    best_value: float
    objective: Objective

    def write(self, folder: Path) -> None:
        """Write the trials as Parquet and the choice as JSON."""
        write_frame(folder / "trials.parquet", check_schema("trials", self.trials, TRIALS_SCHEMA))
        meta = {
            "best": dict(self.best),
            "best_trial": self.best_trial,
            "best_value": self.best_value,
            "objective": dataclasses.asdict(self.objective),
        }
        write_json(folder / "tuning.json", meta)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        meta = read_json(folder / "tuning.json")
        objective = meta["objective"]
        return cls(
            trials=read_frame(folder / "trials.parquet", TRIALS_SCHEMA),
            best=meta["best"],
            best_trial=meta["best_trial"],
            best_value=meta["best_value"],
            objective=Objective(objective["metric"], Direction(objective["direction"])),
        )
